"""What the controllers of EndpointSlices show at /metrics: both the same, each under its own prefix.

Source: staging/src/k8s.io/endpointslice/metrics, pkg/controller/endpointslicemirroring/metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tiphys.api.kinds import ENDPOINTSLICE, SERVICE
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.controllers._actions import Create, Delete, Update
from tiphys.controllers._measures import CounterOf, Declared, GaugeOf, HistogramOf, Labels, Measured, Turn, exponential
from tiphys.controllers._zone_hints import is_wanted

if TYPE_CHECKING:
    from tiphys.controllers._spec import Listers

_BOUNDS = exponential(2, 2, 15)
_SERVICE, _MANAGED_BY = "kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"


class SliceMetrics:
    """Of one of the two controllers; `manager` is what its slices say."""

    def __init__(self, prefix: str, manager: str) -> None:
        self._manager = manager
        self.added = HistogramOf(
            f"{prefix}_endpoints_added_per_sync", "Number of endpoints added on each Service sync", _BOUNDS
        )
        self.removed = HistogramOf(
            f"{prefix}_endpoints_removed_per_sync", "Number of endpoints removed on each Service sync", _BOUNDS
        )
        self.changes = CounterOf(f"{prefix}_changes", "Number of EndpointSlice changes", ("operation",))
        self.declared: tuple[Declared, ...] = (
            self.added,
            self.removed,
            self.changes,
            GaugeOf(f"{prefix}_endpoints_desired", "Number of endpoints desired", (), self._endpoints),
            GaugeOf(f"{prefix}_num_endpoint_slices", "Number of EndpointSlices", (), self._slices),
        )

    def _own(self, listers: Listers) -> Iterator[EndpointSlice]:
        return (each for each in listers.list(ENDPOINTSLICE) if each.metadata.labels.get(_MANAGED_BY) == self._manager)

    def _endpoints(self, listers: Listers) -> Mapping[Labels, float]:
        return {(): float(sum(len(each.endpoints) for each in self._own(listers)))}

    def _slices(self, listers: Listers) -> Mapping[Labels, float]:
        return {(): float(sum(1 for _ in self._own(listers)))}

    def measure(self, turn: Turn[Any]) -> Iterator[Measured]:
        if turn.error is not None:
            return
        known = {each.metadata.name: each for each in turn.world.slices}
        made, updated = list(turn.created(ENDPOINTSLICE)), list(turn.updated(ENDPOINTSLICE))
        doomed = [known[each.name] for each in turn.deleted(ENDPOINTSLICE) if each.name in known]
        changed = [known[each.metadata.name] for each in updated if each.metadata.name in known]
        before, after = _addresses([*changed, *doomed]), _addresses([*made, *updated])
        yield Measured(self.added, (), len(after - before))
        yield Measured(self.removed, (), len(before - after))
        for operation, slices in (("create", made), ("update", updated), ("delete", doomed)):
            if slices:
                yield Measured(self.changes, (operation,), len(slices))


def _addresses(slices: Iterable[EndpointSlice]) -> set[tuple[str, ...]]:
    return {(each.address_type, *endpoint.addresses) for each in slices for endpoint in each.endpoints}


_PREFIX = "endpoint_slice_controller"
OWN = SliceMetrics(_PREFIX, "endpointslice-controller.k8s.io")
MIRRORED = SliceMetrics("endpoint_slice_mirroring_controller", "endpointslicemirroring-controller.k8s.io")
SYNCS = CounterOf(f"{_PREFIX}_syncs", "Number of EndpointSlice syncs", ("result",))
CHANGED = HistogramOf(
    f"{_PREFIX}_endpointslices_changed_per_sync",
    "Number of EndpointSlices changed on each Service sync",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    ("topology", "traffic_distribution"),
)


def _wanted(listers: Listers) -> Mapping[Labels, float]:
    """How few slices would hold all endpoints."""
    sizes: Counter[tuple[object, ...]] = Counter()
    for each in listers.list(ENDPOINTSLICE):
        ports = tuple((port.name, port.protocol, port.port) for port in each.ports)
        sizes[each.metadata.namespace, each.metadata.labels.get(_SERVICE), each.address_type, ports] += len(
            each.endpoints
        )
    most = listers.settings.max_endpoints_per_slice
    return {(): float(sum(max(1, -(-size // most)) for size in sizes.values()))}


def _distributions(listers: Listers) -> Mapping[Labels, float]:
    chosen = (service.spec.traffic_distribution for service in listers.list(SERVICE))
    return {(name,): float(count) for name, count in Counter(name for name in chosen if name).items()}


SERVICE_METRICS: tuple[Declared, ...] = (
    *OWN.declared,
    SYNCS,
    CHANGED,
    GaugeOf(
        f"{_PREFIX}_desired_endpoint_slices",
        "Number of EndpointSlices that would exist with perfect endpoint allocation",
        (),
        _wanted,
    ),
    GaugeOf(
        f"{_PREFIX}_services_count_by_traffic_distribution",
        "Number of Services using some specific trafficDistribution",
        ("traffic_distribution",),
        _distributions,
    ),
)


def measure_service(turn: Turn[Any]) -> Iterator[Measured]:
    yield from OWN.measure(turn)
    stale = getattr(turn.error, "reason", "") == "Conflict"
    yield Measured(SYNCS, ("stale" if stale else turn.result,))
    if turn.error is None:
        hinted = is_wanted(turn.world.service.metadata.annotations)
        labels = ("Auto" if hinted else "Disabled", turn.world.service.spec.traffic_distribution or "")
        writes = [each for each in turn.actions if isinstance(each, Create | Update | Delete)]
        yield Measured(CHANGED, labels, len(writes))
