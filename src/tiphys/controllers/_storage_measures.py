"""What the controllers of volumes show at /metrics.

Source: pkg/controller/volume/{persistentvolume,attachdetach,ephemeral}/metrics/metrics.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from tiphys.api.kinds import NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, VOLUMEATTACHMENT
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolume import class_of as class_of_volume
from tiphys.controllers._measures import CounterOf, GaugeOf, Labels, Measured, Turn
from tiphys.controllers._volumes import class_of_claim

if TYPE_CHECKING:
    from tiphys.controllers import attach_detach, ephemeral_volume
    from tiphys.controllers._spec import Listers

_CSI, _UNKNOWN = "kubernetes.io/csi", "N/A"
_PLUGINS = {"host_path": "host-path", "local": "local-volume", "nfs": "nfs", "iscsi": "iscsi"}


def plugin_of(volume: PersistentVolume) -> str:
    """The plugin's name as upstream has it."""
    if volume.spec.csi is not None:
        return f"{_CSI}:{volume.spec.csi.driver}"
    found = (name for field, name in _PLUGINS.items() if getattr(volume.spec, field) is not None)
    name = next(found, "")
    return f"kubernetes.io/{name}" if name else _UNKNOWN


def _figures(counts: Counter[Labels]) -> Mapping[Labels, float]:
    return {labels: float(count) for labels, count in counts.items()}


def _all_volumes(listers: Listers) -> Mapping[Labels, float]:
    volumes = listers.list(PERSISTENTVOLUME)
    return _figures(Counter((plugin_of(each), each.spec.volume_mode or "Filesystem") for each in volumes))


def _volumes(*, bound: bool) -> Callable[[Listers], Mapping[Labels, float]]:
    def collect(listers: Listers) -> Mapping[Labels, float]:
        volumes = (each for each in listers.list(PERSISTENTVOLUME) if (each.status.phase == "Bound") is bound)
        return _figures(Counter((class_of_volume(each),) for each in volumes))

    return collect


def _claims(*, bound: bool) -> Callable[[Listers], Mapping[Labels, float]]:
    def collect(listers: Listers) -> Mapping[Labels, float]:
        claims = (each for each in listers.list(PERSISTENTVOLUMECLAIM) if (each.status.phase == "Bound") is bound)
        return _figures(
            Counter(
                (each.metadata.namespace, class_of_claim(each), each.spec.volume_attributes_class_name or "")
                for each in claims
            )
        )

    return collect


_CLAIM = ("namespace", "storage_class", "volume_attributes_class")
VOLUME_METRICS = (
    GaugeOf(
        "pv_collector_total_pv_count",
        "Gauge measuring total number of persistent volumes",
        ("plugin_name", "volume_mode"),
        _all_volumes,
    ),
    GaugeOf(
        "pv_collector_bound_pv_count",
        "Gauge measuring number of persistent volume currently bound",
        ("storage_class",),
        _volumes(bound=True),
    ),
    GaugeOf(
        "pv_collector_unbound_pv_count",
        "Gauge measuring number of persistent volume currently unbound",
        ("storage_class",),
        _volumes(bound=False),
    ),
    GaugeOf(
        "pv_collector_bound_pvc_count",
        "Gauge measuring number of persistent volume claim currently bound",
        _CLAIM,
        _claims(bound=True),
    ),
    GaugeOf(
        "pv_collector_unbound_pvc_count",
        "Gauge measuring number of persistent volume claim currently unbound",
        _CLAIM,
        _claims(bound=False),
    ),
)

FORCED = CounterOf(
    "attach_detach_controller_attachdetach_controller_forced_detaches",
    "Number of times the A/D Controller performed a forced detach",
    ("reason",),
)


def _in_use(listers: Listers) -> Mapping[Labels, float]:
    counts: Counter[Labels] = Counter()
    for node in listers.list(NODE):
        for name in node.status.volumes_in_use:
            plugin, _, rest = name.rpartition("/")
            counts[node.metadata.name, f"{plugin}:{rest.partition('^')[0]}" if plugin == _CSI else plugin] += 1
    return _figures(counts)


def _attached(listers: Listers) -> Mapping[Labels, float]:
    counts: Counter[Labels] = Counter()
    for each in listers.list(VOLUMEATTACHMENT):
        plugin = f"{_CSI}:{each.spec.attacher}"
        counts[plugin, "desired_state_of_world"] += each.metadata.deletion_timestamp is None
        counts[plugin, "actual_state_of_world"] += each.status.attached
    return _figures(counts)


ATTACH_METRICS = (
    FORCED,
    GaugeOf(
        "storage_count_attachable_volumes_in_use",
        "Measure number of volumes in use",
        ("node", "volume_plugin"),
        _in_use,
    ),
    GaugeOf(
        "attachdetach_controller_total_volumes",
        "Number of volumes in A/D Controller",
        ("plugin_name", "state"),
        _attached,
    ),
)


def measure_attach(turn: Turn[attach_detach.World]) -> Iterator[Measured]:
    from tiphys.controllers.attach_detach import is_in_use, is_out_of_service

    world = turn.world
    if turn.error is not None or world.node is None:
        return
    reason = "out-of-service" if is_out_of_service(world.node) else "timeout"
    sources = {each.metadata.name: each.spec.source.persistent_volume_name or "" for each in world.attachments}
    for each in turn.deleted(VOLUMEATTACHMENT):
        if is_in_use(world, sources.get(each.name, "")):
            yield Measured(FORCED, (reason,))


CREATED = CounterOf("ephemeral_volume_controller_create_total", "Number of PersistentVolumeClaim creation requests")
NOT_CREATED = CounterOf(
    "ephemeral_volume_controller_create_failures_total", "Number of PersistentVolumeClaim creation requests that failed"
)


def measure_ephemeral(turn: Turn[ephemeral_volume.World]) -> Iterator[Measured]:
    wanted = len(list(turn.created(PERSISTENTVOLUMECLAIM)))
    if wanted:
        yield Measured(CREATED, (), wanted)
        if turn.error is not None:
            yield Measured(NOT_CREATED)
