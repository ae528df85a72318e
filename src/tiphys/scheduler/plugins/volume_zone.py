"""VolumeZone: a volume with labels of zone or region is only used by nodes that share them.

Nodes without any such label are taken to be where all volumes are: a cluster of one zone.
Source: pkg/scheduler/framework/plugins/volumezone/volume_zone.go.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tiphys.scheduler.columns import ABSENT, Bools
from tiphys.scheduler.events import Wake
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.plugins.volume_binding import applies, own_claim
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable
from tiphys.scheduler.volumes.index import class_of

_ZONE, _REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
KEYS = {
    "failure-domain.beta.kubernetes.io/zone": _ZONE,
    "failure-domain.beta.kubernetes.io/region": _REGION,
    _ZONE: _ZONE,
    _REGION: _REGION,
}
"""Labels of volumes, and what they are called on nodes today."""
_SEPARATOR = "__"
"""Between the zones of a volume that is in several."""


def refuse(table: NodeTable, pod: PodRecord) -> str:
    for claim in table.volumes.of(pod):
        name = claim.spec.volume_name
        if name:
            if name not in table.volumes.volumes:
                return f'persistentvolume "{name}" not found'
            continue
        if not class_of(claim):
            return "PersistentVolumeClaim had no pv name and storageClass name"
        if class_of(claim) not in table.volumes.classes:
            return f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
        if not table.volumes.is_delayed(claim):
            return "PersistentVolume had no name"
    return ""


def _wanted(table: NodeTable, pod: PodRecord) -> Iterator[tuple[str, frozenset[str]]]:
    """(label key, the values that will do) of the pod's volumes."""
    for claim in table.volumes.of(pod):
        volume = table.volumes.volumes.get(claim.spec.volume_name)
        labels = volume.metadata.labels if volume is not None else {}
        for key in KEYS:
            if key in labels:
                yield key, frozenset(labels[key].split(_SEPARATOR))


def filter_among(table: NodeTable, pod: PodRecord, _feasible: Bools) -> Bools | None:
    """bool[high]. O(N) per label of a volume."""
    wanted = list(_wanted(table, pod))
    if not wanted:
        return None
    high = table.high
    located = np.zeros(high, dtype=np.bool_)
    for key in KEYS:
        located |= table.label(key).ids[:high] != ABSENT
    passed = np.ones(high, dtype=np.bool_)
    for key, values in wanted:
        own, today = table.label(key), table.label(KEYS[key])
        here = np.isin(own.ids[:high], [own.id_of(v) for v in values])
        passed &= here | ((own.ids[:high] == ABSENT) & np.isin(today.ids[:high], [today.id_of(v) for v in values]))
    return passed | ~located


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    labels = table.labels_of(row)
    if not any(key in labels for key in KEYS):
        return True
    return all(labels.get(key, labels.get(KEYS[key])) in values for key, values in _wanted(table, pod))


SPEC = PluginSpec(
    name="VolumeZone",
    reason="node(s) had no available volume zone",
    applies=applies,
    refuse=refuse,
    filter_among=filter_among,
    filter_row=filter_row,
    wakes={
        Wake.CLAIM: own_claim,
        Wake.VOLUME: None,
        Wake.STORAGE_CLASS: None,
        Wake.NODE_ADDED: None,
        Wake.NODE_LABELS: None,
    },
)
