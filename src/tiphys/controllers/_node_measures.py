"""What the controllers of nodes show at /metrics.

Source: pkg/controller/{nodelifecycle/metrics.go,tainteviction/metrics,podgc/metrics,nodeipam/ipam/cidrset/metrics.go}.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tiphys.api.kinds import NODE, POD
from tiphys.api.kinds.core.node import Node
from tiphys.controllers._actions import Patch
from tiphys.controllers._eviction_rate import is_evicted, zone_of
from tiphys.controllers._measures import CounterOf, GaugeOf, HistogramOf, Labels, Measured, Turn
from tiphys.controllers._nodes import condition_status

if TYPE_CHECKING:
    from tiphys.controllers import node_ipam, node_lifecycle, pod_gc, taint_eviction
    from tiphys.controllers._spec import Listers


def _by_zone(listers: Listers) -> dict[str, tuple[int, int]]:
    """(nodes, of these not ready)."""
    found: dict[str, tuple[int, int]] = {}
    for node in listers.list(NODE):
        size, unhealthy = found.get(zone_of(node), (0, 0))
        found[zone_of(node)] = size + 1, unhealthy + (condition_status(node, "Ready") != "True")
    return found


def _sizes(listers: Listers) -> Mapping[Labels, float]:
    return {(zone,): float(size) for zone, (size, _) in _by_zone(listers).items()}


def _unhealthy(listers: Listers) -> Mapping[Labels, float]:
    return {(zone,): float(unhealthy) for zone, (_, unhealthy) in _by_zone(listers).items()}


def _health(listers: Listers) -> Mapping[Labels, float]:
    return {(zone,): 100.0 * (size - unhealthy) / size for zone, (size, unhealthy) in _by_zone(listers).items()}


EVICTIONS = CounterOf(
    "node_collector_evictions_total",
    "Number of Node evictions that happened since current instance of NodeController started.",
    ("zone",),
)
UPDATE_S = HistogramOf(
    "node_collector_update_node_health_duration_seconds",
    "Duration in seconds for NodeController to update the health of a single node.",
    tuple(0.001 * 4**power for power in range(8)),
)
LIFECYCLE_METRICS = (
    GaugeOf("node_collector_zone_health", "Gauge measuring percentage of healthy nodes per zone.", ("zone",), _health),
    GaugeOf("node_collector_zone_size", "Gauge measuring number of registered Nodes per zones.", ("zone",), _sizes),
    GaugeOf(
        "node_collector_unhealthy_nodes_in_zone",
        "Gauge measuring number of not Ready Nodes per zones.",
        ("zone",),
        _unhealthy,
    ),
    EVICTIONS,
    UPDATE_S,
)


def measure_lifecycle(turn: Turn[node_lifecycle.World | node_lifecycle.Removed]) -> Iterator[Measured]:
    node = getattr(turn.world, "node", None)
    if node is None:
        return
    yield Measured(UPDATE_S, (), turn.seconds)
    if turn.error is None and not is_evicted(node) and any(_begins_eviction(each) for each in turn.actions):
        yield Measured(EVICTIONS, (zone_of(node),))


def _begins_eviction(action: object) -> bool:
    if not isinstance(action, Patch) or action.kind is not NODE:
        return False
    return any(taint["effect"] == "NoExecute" for taint in action.patch.get("spec", {}).get("taints", ()))


EVICTED = CounterOf(
    "taint_eviction_controller_pod_deletions_total",
    "Total number of Pods deleted by TaintEvictionController since its start.",
)
EVICTED_S = HistogramOf(
    "taint_eviction_controller_pod_deletion_duration_seconds",
    "Latency, in seconds, between the time when a taint effect has been activated for the Pod and its deletion via "
    "TaintEvictionController.",
    (0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240),
)


def measure_eviction(turn: Turn[taint_eviction.World]) -> Iterator[Measured]:
    from tiphys.controllers.taint_eviction import active_since

    if turn.error is None and any(turn.deleted(POD)):
        yield Measured(EVICTED)
        yield Measured(EVICTED_S, (), (turn.world.now - active_since(turn.world)).total_seconds() + turn.seconds)


_BY_REASON = ("namespace", "reason")
COLLECTED = CounterOf(
    "pod_gc_collector_force_delete_pods_total",
    "Number of pods that are being forcefully deleted since the Pod GC Controller started.",
    _BY_REASON,
)
NOT_COLLECTED = CounterOf(
    "pod_gc_collector_force_delete_pod_errors_total",
    "Number of errors encountered when forcefully deleting the pods since the Pod GC Controller started.",
    _BY_REASON,
)


def measure_collection(turn: Turn[pod_gc.World]) -> Iterator[Measured]:
    world = turn.world
    unscheduled = {pod.metadata.uid for pod in world.pods}
    for each in turn.deleted(POD):
        if world.node_name:
            reason = "orphaned" if world.node is None else "out-of-service"
        else:
            reason = "unscheduled" if each.uid in unscheduled else "terminated"
        yield Measured(COLLECTED if turn.error is None else NOT_COLLECTED, (each.namespace, reason))


ALLOCATIONS = CounterOf(
    "node_ipam_controller_cidrset_cidrs_allocations_total",
    "Counter measuring total number of CIDR allocations.",
    ("clusterCIDR",),
)


RELEASES = CounterOf(
    "node_ipam_controller_cidrset_cidrs_releases_total",
    "Counter measuring total number of CIDR releases.",
    ("clusterCIDR",),
)


def measure_release(listers: Listers, old: Node | None, new: Node | None) -> Iterator[Measured]:
    """The ranges of a node that went are free again."""
    if new is None and old is not None:
        for cidr in filter(None, old.spec.pod_cidrs or [old.spec.pod_cidr]):
            for family, _ in _families(listers):
                if (":" in cidr) == (":" in family):
                    yield Measured(RELEASES, (family,))


def _families(listers: Listers) -> Iterator[tuple[str, int]]:
    """The cluster's ranges, and how many parts each has."""
    settings = listers.settings
    for cidr in filter(None, settings.cluster_cidr.split(",")):
        network = ipaddress.ip_network(cidr.strip())
        size = settings.node_cidr_mask_size if network.version == 4 else settings.node_cidr_mask_size_ipv6
        yield cidr.strip(), 1 << max(0, size - network.prefixlen)


def _largest(listers: Listers) -> Mapping[Labels, float]:
    return {(cidr,): float(count) for cidr, count in _families(listers)}


def _used(listers: Listers) -> Mapping[Labels, float]:
    taken = [cidr for node in listers.list(NODE) for cidr in (node.spec.pod_cidrs or [node.spec.pod_cidr]) if cidr]
    return {
        (family,): sum((":" in cidr) == (":" in family) for cidr in taken) / count
        for family, count in _families(listers)
    }


IPAM_METRICS = (
    ALLOCATIONS,
    RELEASES,
    GaugeOf(
        "node_ipam_controller_cirdset_max_cidrs",
        "Maximum number of CIDRs that can be allocated.",
        ("clusterCIDR",),
        _largest,
    ),
    GaugeOf(
        "node_ipam_controller_cidrset_usage_cidrs",
        "Gauge measuring percentage of allocated CIDRs.",
        ("clusterCIDR",),
        _used,
    ),
)


def measure_ipam(turn: Turn[node_ipam.World]) -> Iterator[Measured]:
    if turn.error is None and turn.world.free is not None:
        for family in turn.world.families:
            yield Measured(ALLOCATIONS, (family,))
