"""Gives each node a range of pod addresses of its own; in a cluster of two families, one of each.

Woken by: nodes without a range; for one of those, a node that goes or gets its range. Writes: `spec.podCIDR` and
`podCIDRs` of nodes that have none; a range, once given, never changes.
Races: two nodes must not get one range, so this controller is serial: it plans for a node only when all ranges that it
gave before are visible in its copy.
Source: pkg/controller/nodeipam/ipam/range_allocator.go, cidrset/cidr_set.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import Node
from tiphys.base.clock import parse_rfc3339
from tiphys.controllers._actions import Action, Event, Patch, RequeueAfter
from tiphys.controllers._node_measures import IPAM_METRICS, measure_ipam, measure_release
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch
from tiphys.controllers.settings import ControllerSettings

RETRY_S = 10.0
RETRY_CAP_S = 600.0
"""A node that finds no range tries again when it is twice as old, within these bounds: each try is an event."""

_NONE = ""
_BY_RANGE = Index(NODE, "pod-range", lambda node: _ranges(node))
_BY_SIZE = Index(NODE, "pod-range-size", lambda node: {each.rpartition("/")[2] for each in _ranges(node)} or (_NONE,))
"""Nodes by the prefix lengths of their ranges; under the empty text, those that have none."""
_SIZES = tuple(map(str, range(129)))


@dataclass(frozen=True)
class World:
    node: Node
    free: tuple[str, ...] | None
    """Ranges that nobody has, one per family; None: there is none of one family."""
    families: tuple[str, ...]
    """The cluster's ranges."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    node = listers.get(NODE, key.name)
    settings = listers.settings
    if node is None or _ranges(node) or not settings.cluster_cidr or node.metadata.deletion_timestamp is not None:
        return None
    found = [_free_of(listers, cidr, size) for cidr, size in _families(settings)]
    free = None if None in found else tuple(cidr for cidr in found if cidr is not None)
    return World(node, free, tuple(cidr for cidr, _ in _families(settings)), now)


def _families(settings: ControllerSettings) -> list[tuple[str, int]]:
    """The cluster's ranges, and how large a node's part is."""
    cidrs = [cidr.strip() for cidr in settings.cluster_cidr.split(",") if cidr.strip()]
    sizes = {4: settings.node_cidr_mask_size, 6: settings.node_cidr_mask_size_ipv6}
    return [(cidr, sizes[ipaddress.ip_network(cidr).version]) for cidr in cidrs]


def _free_of(listers: Listers, cluster_cidr: str, mask_size: int) -> str | None:
    size = str(mask_size)
    # Ranges of another size were given by hand, or are of the other family; sizes are few.
    odd = {
        cidr
        for other in _SIZES
        if other != size and listers.count(NODE, _BY_SIZE.name, other)
        for holder in listers.indexed(NODE, _BY_SIZE.name, other)
        for cidr in _ranges(holder)
        if not cidr.endswith(f"/{size}") and (":" in cidr) == (":" in cluster_cidr)
    }
    return free_range(
        cluster_cidr,
        mask_size,
        lambda cidr: listers.count(NODE, _BY_RANGE.name, cidr) > 0,
        start=listers.count(NODE, _BY_SIZE.name, size),
        odd=odd,
    )


def plan(_key: Key, world: World) -> Sequence[Action]:
    node = world.node
    if world.free is None:
        text = f"Node {node.metadata.name} status is now: CIDRNotAvailable"
        created = node.metadata.creation_timestamp
        age_s = (world.now - parse_rfc3339(created)).total_seconds() if created else 0.0
        retry = RequeueAfter(min(max(age_s, RETRY_S), RETRY_CAP_S))
        return [Event(node, "Normal", "CIDRNotAvailable", text), retry]
    patch = {"metadata": {"uid": node.metadata.uid}, "spec": {"podCIDR": world.free[0], "podCIDRs": [*world.free]}}
    return [Patch(NODE, node.metadata.name, "", patch)]


def free_range(
    cluster_cidr: str, mask_size: int, taken: Callable[[str], bool], *, start: int = 0, odd: Iterable[str] = ()
) -> str | None:
    """A range of `mask_size` in `cluster_cidr` that is not `taken` and overlaps none of `odd`; None: there is none.

    The search begins at range number `start`: after as many as are taken, in a cluster that only grew, it ends at once.
    """
    cluster = ipaddress.ip_network(cluster_cidr)
    others = [network for network in map(ipaddress.ip_network, odd) if network.version == cluster.version]
    count = _capacity(cluster_cidr, mask_size)
    for step in range(count):
        number = (start + step) % count
        first = int(cluster.network_address) + (number << (cluster.max_prefixlen - mask_size))
        candidate = ipaddress.ip_network((first, mask_size))
        if not taken(str(candidate)) and not any(candidate.overlaps(other) for other in others):
            return str(candidate)
    return None


def _capacity(cluster_cidr: str, mask_size: int) -> int:
    """How many ranges the cluster's holds."""
    return 1 << max(0, mask_size - ipaddress.ip_network(cluster_cidr).prefixlen)


def _ranges(node: Node) -> tuple[str, ...]:
    return tuple(node.spec.pod_cidrs) or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())


# --- what wakes a node


def _range_matters(old: Node | None, new: Node | None) -> bool:
    """Nodes are written often; a range is given once."""
    return old is None or new is None or _ranges(old) != _ranges(new)


def _keys_of_node(listers: Listers, node: Node) -> Iterable[Key]:
    """The node itself where it has no range; otherwise one that waits, if there may be room for it now."""
    settings = listers.settings
    if listers.get(NODE, node.metadata.name) is not None and not _ranges(node):
        yield Key("", node.metadata.name)
    elif not settings.cluster_cidr or not listers.count(NODE, _BY_SIZE.name, _NONE):
        return
    elif all(
        listers.count(NODE, _BY_SIZE.name, str(size)) < _capacity(cidr, size) for cidr, size in _families(settings)
    ):
        waiting = listers.indexed(NODE, _BY_SIZE.name, _NONE)
        chosen = next((each for each in waiting if each.metadata.deletion_timestamp is None), None)
        if chosen is not None:
            yield Key("", chosen.metadata.name)


SPEC = ControllerSpec(
    name="node-ipam-controller",
    alias="nodeipam",
    component="cidrAllocator",
    primary=NODE,
    read=read,
    plan=plan,
    watches=(Watch(NODE, _keys_of_node, when=_range_matters, measure=measure_release),),
    indexes=(_BY_RANGE, _BY_SIZE),
    serial=True,
    metrics=IPAM_METRICS,
    measure=measure_ipam,
)
