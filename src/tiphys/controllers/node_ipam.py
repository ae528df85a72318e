"""Gives each node a range of pod addresses of its own.

Woken by: nodes. Writes: `spec.podCIDR` and `podCIDRs` of nodes that have none; a range, once given, never changes.
Races: two nodes must not get one range, so this controller is serial: it plans for a node only when all ranges that it
gave before are visible in its copy.
Source: pkg/controller/nodeipam/ipam/range_allocator.go, cidrset/cidr_set.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import Node
from tiphys.controllers._actions import Action, Event, Patch, RequeueAfter
from tiphys.controllers._spec import ControllerSpec, Key, Listers

RETRY_S = 10.0


@dataclass(frozen=True)
class World:
    node: Node
    used: frozenset[str]
    """The ranges of all nodes."""
    cluster_cidr: str
    mask_size: int


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    node = listers.get(NODE, key.name)
    settings = listers.settings
    if node is None or node.spec.pod_cidr or not settings.cluster_cidr:
        return None
    used = frozenset(cidr for other in listers.list(NODE) for cidr in _ranges(other))
    return World(node, used, settings.cluster_cidr, settings.node_cidr_mask_size)


def plan(_key: Key, world: World) -> Sequence[Action]:
    node = world.node
    if node.spec.pod_cidr or node.metadata.deletion_timestamp is not None:
        return ()
    cidr = free_range(world.cluster_cidr, world.mask_size, world.used)
    if cidr is None:
        text = f"Node {node.metadata.name} status is now: CIDRNotAvailable"
        return [Event(node, "Normal", "CIDRNotAvailable", text), RequeueAfter(RETRY_S)]
    patch = {"metadata": {"uid": node.metadata.uid}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}
    return [Patch(NODE, node.metadata.name, "", patch)]


def free_range(cluster_cidr: str, mask_size: int, used: frozenset[str]) -> str | None:
    """A range of `mask_size` in `cluster_cidr` that overlaps none of `used`, or None when there is none.

    The search starts after as many ranges as are used: in a cluster that only grew that one is free.
    """
    cluster = ipaddress.ip_network(cluster_cidr)
    size = 1 << (cluster.max_prefixlen - mask_size)
    count = cluster.num_addresses // size
    start = int(cluster.network_address)
    # Ranges of another size were given by hand; they are few.
    odd = [network for network in map(ipaddress.ip_network, used) if network.prefixlen != mask_size]
    for step in range(count):
        number = (len(used) + step) % count
        candidate = ipaddress.ip_network((start + number * size, mask_size))
        if str(candidate) not in used and not any(
            candidate.version == other.version and candidate.overlaps(other) for other in odd
        ):
            return str(candidate)
    return None


def _ranges(node: Node) -> tuple[str, ...]:
    return tuple(node.spec.pod_cidrs) or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())


SPEC = ControllerSpec(
    name="node-ipam-controller",
    alias="nodeipam",
    component="cidrAllocator",
    primary=NODE,
    read=read,
    plan=plan,
    serial=True,
)
