"""VolumeRestrictions: disks that cannot be shared, and claims that only one pod may use.

Source: pkg/scheduler/framework/plugins/volumerestrictions/volume_restrictions.go.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Bools
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import PluginSpec, everything_resolvable
from tiphys.scheduler.plugins.volume_binding import own_claim
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable
from tiphys.scheduler.volumes.index import key_of

DISK = "node(s) had no available disk"
IN_USE = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
)
ONCE = "ReadWriteOncePod"


def applies(pod: PodRecord) -> bool:
    return bool(pod.shape.disks or pod.claims)


def refuse(table: NodeTable, pod: PodRecord) -> str:
    for name, ephemeral in pod.claims:
        if not ephemeral and f"{pod.namespace}/{name}" not in table.volumes.claims:
            return f'persistentvolumeclaim "{name}" not found'
    return ""


def _in_use(table: NodeTable, pod: PodRecord) -> bool:
    """Another pod, wherever it is, uses a claim that only one may use."""
    return any(
        ONCE in claim.spec.access_modes and table.held.claim_users.get(key_of(claim)) for claim in table.volumes.of(pod)
    )


def _conflict(table: NodeTable, pod: PodRecord, row: int) -> bool:
    for key, read_only in pod.shape.disks:
        users = table.held.disks.get(key, {}).get(row)
        if users and not (read_only and all(users)):
            return True
    return False


def filter_among(table: NodeTable, pod: PodRecord, _feasible: Bools) -> Bools | None:
    """bool[high]. O(nodes that use the same disks)."""
    if _in_use(table, pod):
        return np.zeros(table.high, dtype=np.bool_)
    rows = {row for key, _ in pod.shape.disks for row in table.held.disks.get(key, {})}
    taken = [row for row in rows if _conflict(table, pod, row)]
    if not taken:
        return None
    passed = np.ones(table.high, dtype=np.bool_)
    passed[taken] = False
    return passed


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    return not _conflict(table, pod, row) and not _in_use(table, pod)


def explain(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Mapping[str, int]:
    conflicts = sum(_conflict(table, pod, row) for row in rows.tolist())
    return {DISK: conflicts, IN_USE: len(rows) - conflicts}


def _shared(pod: PodRecord, change: Change) -> bool:
    """The pod that left had a disk or a claim that this one wants."""
    gone = change.pod
    if gone is None:
        return True
    disks = {disk.key for disk in pod.shape.disks} & {disk.key for disk in gone.shape.disks}
    return bool(disks) or (pod.namespace == gone.namespace and bool(set(pod.claims) & set(gone.claims)))


SPEC = PluginSpec(
    name="VolumeRestrictions",
    applies=applies,
    refuse=refuse,
    filter_among=filter_among,
    filter_row=filter_row,
    explain=explain,
    resolvable=everything_resolvable,
    wakes={Wake.POD_REMOVED: _shared, Wake.CLAIM: own_claim, Wake.NODE_ADDED: None},
)
