"""Deletes PodCertificateRequests a quarter of an hour after they were made, whatever became of them.

Woken by: requests. Writes: deletes them. Runs only where the API is served (`--runtime-config`), as upstream behind its
gate. Races: a deletion names the UID.
Source: pkg/controller/certificates/cleaner/pcrcleaner.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import PODCERTIFICATEREQUEST
from tiphys.api.kinds.certificates.podcertificaterequest import PodCertificateRequest
from tiphys.base.clock import parse_rfc3339
from tiphys.controllers._actions import Action, Delete, RequeueAfter
from tiphys.controllers._spec import ControllerSpec, Key, Listers

AGE_MAX_S = 15 * 60.0


@dataclass(frozen=True)
class World:
    request: PodCertificateRequest
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    request = listers.get(PODCERTIFICATEREQUEST, key.name, key.namespace)
    return World(request, now) if request is not None else None


def plan(_key: Key, world: World) -> Sequence[Action]:
    metadata = world.request.metadata
    if metadata.deletion_timestamp is not None or not metadata.creation_timestamp:
        return ()
    left_s = AGE_MAX_S - (world.now - parse_rfc3339(metadata.creation_timestamp)).total_seconds()
    if left_s > 0:
        return [RequeueAfter(left_s)]
    return [Delete(PODCERTIFICATEREQUEST, metadata.name, metadata.namespace, metadata.uid)]


SPEC = ControllerSpec(
    name="podcertificaterequest-cleaner-controller",
    primary=PODCERTIFICATEREQUEST,
    read=read,
    plan=plan,
    workers=1,
)
