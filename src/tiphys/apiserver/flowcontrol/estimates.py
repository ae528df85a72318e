"""How many seats a request takes: lists by what they read, writes by how many watch.

Source: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/request.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from tiphys.apiserver.request import RequestInfo

MAX_LIST_SEATS = 100
MAX_SEATS = 10
_OBJECTS_PER_SEAT = 100.0
_WATCHES_PER_SEAT = 10.0
_EVENT_S = 0.005
_WRITES = frozenset({"create", "update", "patch", "delete"})


class Estimate(NamedTuple):
    seats: int
    after_seats: int = 0
    """Seats that stay in use when the request is answered,"""
    after_s: float = 0.0
    """and for how long."""


ONE = Estimate(1)


def of_list(info: RequestInfo, stored: int) -> Estimate:
    """`stored`: objects of the resource. Lists come from memory: what is sent counts."""
    if info.name or stored <= _OBJECTS_PER_SEAT:
        return ONE
    count = stored
    limit = next(iter(info.query.get("limit", ())), "")
    if limit.isdigit() and 0 < int(limit) < count:
        count = int(limit)
    return Estimate(max(1, min(math.ceil(count / _OBJECTS_PER_SEAT), MAX_LIST_SEATS)))


def of_watch(info: RequestInfo, stored: int) -> Estimate:
    """A watch that begins with what is there costs a list; another one nearly nothing."""
    query = info.query
    version = next(iter(query.get("resourceVersion", ())), "")
    initial = next(iter(query.get("sendInitialEvents", ())), "")
    if initial not in ("true", "1") and version not in ("", "0"):
        return ONE
    return of_list(info, stored)


def of_write(watchers: int) -> Estimate:
    if watchers < _WATCHES_PER_SEAT:
        return ONE
    wanted = math.ceil(watchers / _WATCHES_PER_SEAT)
    seats = min(wanted, MAX_SEATS)
    return Estimate(1, seats, wanted * _EVENT_S / seats)
