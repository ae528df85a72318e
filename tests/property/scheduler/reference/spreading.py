"""PodTopologySpread, after upstream's text."""

from __future__ import annotations

import math

from tests.property.scheduler.reference.local import affine, tolerated
from tests.property.scheduler.reference.world import World

from tiphys.api.kinds.core.node import Node
from tiphys.scheduler.plugin import SCORE_MAX
from tiphys.scheduler.plugins import pod_topology_spread


def score(world: World, feasible: list[bool]) -> list[int]:
    """PodTopologySpread's score, node by node, after upstream's text."""
    soft = pod_topology_spread.constraints(world.pod, "ScheduleAnyway")
    own = bool(world.pod.shape.spread)

    def has_all(node: Node) -> bool:
        return all(c.key in node.metadata.labels for c in soft)

    candidates = [ok and (not own or has_all(node)) for ok, node in zip(feasible, world.nodes, strict=True)]
    chosen = [node for node, ok in zip(world.nodes, candidates, strict=True) if ok]

    def matching(node: Node, c: pod_topology_spread.Constraint) -> int:
        return sum(c.group.has(p.identity, leaving=p.terminating) for p in world.on[node.metadata.name])

    def counts(node: Node, c: pod_topology_spread.Constraint) -> bool:
        return (
            (not own or has_all(node))
            and (not c.honor_affinity or affine(world, node))
            and (not c.honor_taints or tolerated(world, node))
        )

    raw: list[int | None] = []
    for node, ok in zip(world.nodes, candidates, strict=True):
        if not ok:
            raw.append(None)
            continue
        total = 0.0
        for c in soft:
            value = node.metadata.labels.get(c.key)
            if value is None:
                continue
            if c.key == pod_topology_spread.HOSTNAME:
                count, size = matching(node, c), len(chosen)
            else:
                size = len({n.metadata.labels.get(c.key) for n in chosen})
                count = sum(
                    matching(n, c) for n in world.nodes if n.metadata.labels.get(c.key) == value and counts(n, c)
                )
            total += count * math.log(size + 2) + (c.max_skew - 1)
        raw.append(math.floor(total + 0.5))
    known = [r for r in raw if r is not None]
    low, high = min(known, default=0), max(known, default=0)
    return [0 if r is None else SCORE_MAX if high == 0 else SCORE_MAX * (high + low - r) // high for r in raw]


def passes(world: World, node: Node) -> bool:
    """PodTopologySpread's filter for one node, after upstream's text."""
    hard = pod_topology_spread.constraints(world.pod, "DoNotSchedule")
    if any(c.key not in node.metadata.labels for c in hard):
        return False
    for c in hard:
        domains: dict[str, int] = {}
        for other in world.nodes:
            if any(k.key not in other.metadata.labels for k in hard):
                continue
            if c.honor_affinity and not affine(world, other):
                continue
            if c.honor_taints and not tolerated(world, other):
                continue
            value = other.metadata.labels[c.key]
            domains[value] = domains.get(value, 0) + sum(
                c.group.has(p.identity, leaving=p.terminating) for p in world.on[other.metadata.name]
            )
        smallest = min(domains.values()) if domains and len(domains) >= c.domains_min else 0
        if domains.get(node.metadata.labels[c.key], 0) + 1 - smallest > c.max_skew:
            return False
    return True
