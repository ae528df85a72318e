"""How fast pods are evicted from the silent nodes of a zone. The taints that are there tell when it began where.

Source: pkg/controller/nodelifecycle/node_lifecycle_controller.go (ComputeZoneState, ReducedQPSFunc).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import Node
from tiphys.base.clock import parse_rfc3339
from tiphys.controllers._nodes import condition_status
from tiphys.controllers._spec import Index

BLOCKED_LOOK_S = 30.0
"""How often a node whose zone is not evicted from looks whether that has changed."""
_EVICTING = frozenset(("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"))
_MANY = 2
"""So many silent nodes are no disruption of a zone, however small it is."""


class Rates(NamedTuple):
    normal: float
    """Nodes per second."""
    secondary: float
    """The same in a large zone that is partly disrupted."""
    unhealthy: float
    """From this part of silent nodes on, a zone is partly disrupted."""
    large: int
    """Zones of more nodes than this are large."""


def zone_of(node: Node) -> str:
    """Region and zone."""
    labels = node.metadata.labels
    return f"{labels.get('topology.kubernetes.io/region', '')}:{labels.get('topology.kubernetes.io/zone', '')}"


ZONE_READINESS = Index(NODE, "zone-readiness", lambda node: (f"{zone_of(node)}|{condition_status(node, 'Ready')}",))
"""Nodes by zone and condition Ready."""


def is_evicted(node: Node) -> bool:
    """Whether eviction from the node has begun."""
    return any(taint.effect == "NoExecute" and taint.key in _EVICTING for taint in node.spec.taints)


def rate(silent: int, answering: int, rates: Rates) -> float:
    """Nodes per second; 0: none. A zone that is silent altogether is evicted from like a healthy one: its pods go to
    other zones."""
    if answering and silent > _MANY and silent / (silent + answering) >= rates.unhealthy:
        return rates.secondary if silent + answering > rates.large else 0.0
    return rates.normal


def wait_s(node: Node, silent: Sequence[Node], answering: int, rates: Rates, now: datetime) -> float | None:
    """How long eviction from `node`, one of the `silent` nodes of a zone, has to wait; None: there is none.

    Nodes take turns by name.
    """
    per_s = rate(len(silent), answering, rates)
    if per_s <= 0:
        return None
    waiting = sorted(each.metadata.name for each in silent if not is_evicted(each))
    turn = waiting.index(node.metadata.name) if node.metadata.name in waiting else 0
    since_s = min((_since_s(each, now) for each in silent if is_evicted(each)), default=float("inf"))
    return max(0.0, 1 / per_s - since_s) + turn / per_s


def _since_s(node: Node, now: datetime) -> float:
    """How long ago eviction from the node began."""
    times = [taint.time_added for taint in node.spec.taints if taint.key in _EVICTING and taint.effect == "NoExecute"]
    known = [(now - parse_rfc3339(time)).total_seconds() for time in times if time]
    return min(known, default=0.0)
