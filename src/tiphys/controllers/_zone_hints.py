"""Which zone each endpoint of a Service is for, in proportion to the zones' processors: topology mode `Auto`. Pure.

Hints that are there stay while no zone has too much or too little; else all are given anew, always in the same way.
Source: staging/src/k8s.io/endpointslice/topologycache.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.discovery.endpointslice import Endpoint, EndpointHints, ForZone
from tiphys.base.quantity import milli
from tiphys.controllers._nodes import condition_status

ANNOTATIONS = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
ENABLED = "Topology Aware Hints has been enabled"
DISABLED = "Topology Aware Hints has been disabled"
_ZONE = "topology.kubernetes.io/zone"
_EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_OVERLOAD = 0.2
"""How much more than its share an endpoint may get."""


def is_wanted(annotations: Mapping[str, str]) -> bool:
    """Whether a Service asks for it; the older annotation counts first."""
    chosen = next((annotations[name] for name in ANNOTATIONS if name in annotations), "")
    return chosen in ("Auto", "auto")


def shares_of(nodes: Iterable[Node]) -> dict[str, float] | None:
    """Each zone's part of the processors of ready nodes; None: a node does not say enough, or there is one zone."""
    found: Counter[str] = Counter()
    for node in nodes:
        labels = node.metadata.labels
        if any(name in labels for name in _EXCLUDED) or condition_status(node, "Ready") != "True":
            continue
        zone, cpu = labels.get(_ZONE, ""), milli(node.status.allocatable.get("cpu", "0"))
        if not zone or not cpu:
            return None
        found[zone] += cpu
    total = sum(found.values())
    return {zone: found[zone] / total for zone in sorted(found)} if len(found) > 1 else None


@dataclass(frozen=True, slots=True)
class _Share:
    """How many endpoints a zone should have."""

    least: int
    most: int
    desired: float


def assign(
    endpoints: Sequence[Endpoint], before: Mapping[tuple[str, ...], str], shares: Mapping[str, float] | None
) -> str:
    """Give all ready endpoints hints, others none. `before`: zones by addresses, of hints that are there.

    Returns why there are no hints, in upstream's words; empty: there are.
    """
    for endpoint in endpoints:
        endpoint.hints = None
    ready = sorted((each for each in endpoints if each.conditions.ready), key=lambda each: each.addresses)
    zones = _shares(len(ready), shares)
    if isinstance(zones, str):
        return zones
    if any(not each.zone for each in ready):
        return "One or more endpoints do not have a zone specified"
    kept = [before.get(tuple(each.addresses), "") for each in ready]
    counts = Counter(kept)
    if not all(zone in zones for zone in kept) or any(not s.least <= counts[z] <= s.most for z, s in zones.items()):
        kept = _anew([each.zone or "" for each in ready], zones)
    for endpoint, zone in zip(ready, kept, strict=True):
        endpoint.hints = EndpointHints(for_zones=[ForZone(name=zone)])
    return ""


def _shares(count: int, shares: Mapping[str, float] | None) -> dict[str, _Share] | str:
    if shares is None:
        return "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
    figures = f"({count} endpoints, {len(shares)} zones)"
    if len(shares) > count:
        return f"Insufficient number of endpoints {figures}"
    least = {zone: math.ceil(share * count / (1 + _OVERLOAD)) for zone, share in shares.items()}
    spare = count - sum(least.values())
    if spare < 0:
        text = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
        return f"{text} {figures}"
    return {
        zone: _Share(least[zone], least[zone] + spare, max(share * count, least[zone]))
        for zone, share in shares.items()
    }


def _anew(own: Sequence[str], zones: Mapping[str, _Share]) -> list[str]:
    """Each endpoint for its own zone, but for those that a zone with too many gives to one with too few."""
    counts = Counter(own)
    giving = {zone: counts[zone] - share.desired for zone, share in zones.items() if counts[zone] > share.desired}
    giving |= {zone: float(count) for zone, count in counts.items() if zone not in zones}
    taking = {zone: share.desired - counts[zone] for zone, share in zones.items() if counts[zone] < share.desired}
    gifts: dict[str, list[str]] = {}
    while giving and taking:
        giver, taker = _most(giving), _most(taking)
        gives, takes = giving[giver], taking[taker]
        if (gives < 1 and takes < 1) or gives < 0.5 or takes < 0.5:
            break
        gifts.setdefault(giver, []).append(taker)
        giving[giver] -= 1
        taking[taker] -= 1
    return [gifts[zone].pop(0) if gifts.get(zone) else zone for zone in own]


def _most(zones: Mapping[str, float]) -> str:
    return max(sorted(zones), key=lambda zone: zones[zone])
