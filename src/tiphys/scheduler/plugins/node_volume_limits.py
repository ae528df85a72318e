"""NodeVolumeLimits: a CSI driver attaches only so many volumes to a node, and may have to be on it at all.

Source: pkg/scheduler/framework/plugins/nodevolumelimits/csi.go.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Bools
from tiphys.scheduler.events import Wake
from tiphys.scheduler.plugin import PluginSpec, everything_resolvable
from tiphys.scheduler.plugins.volume_binding import applies, own_claim
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable
from tiphys.scheduler.volumes.index import limits_of

TOO_MANY = "node(s) exceed max volume count"
NOT_INSTALLED = "{} CSI driver is not installed on the node"
_Volumes = dict[str, str]
"""What the driver calls a volume, to the driver."""


def _of(table: NodeTable, pod: PodRecord) -> _Volumes:
    found: _Volumes = {}
    for claim in table.volumes.of(pod):
        driver, handle = table.volumes.driver_and_handle(claim)
        if driver:
            found[f"{driver}/{handle}"] = driver
    return found


def _attached(table: NodeTable, row: int) -> _Volumes:
    """Volumes that pods on the node use, or that are attached to it."""
    found: _Volumes = {}
    for key in table.held.claims_on.get(row, ()):
        claim = table.volumes.claims.get(key)
        if claim is not None:
            driver, handle = table.volumes.driver_and_handle(claim)
            found[f"{driver}/{handle}"] = driver
    return found | table.volumes.attached.get(table.names[row], {})


def _refusal(table: NodeTable, row: int, wanted: _Volumes) -> str:
    node = table.volumes.nodes.get(table.names[row])
    for driver in wanted.values():
        stated = table.volumes.drivers.get(driver)
        if stated is None or not stated.spec.prevent_pod_scheduling_if_missing:
            continue
        if node is None or not any(d.name == driver for d in node.spec.drivers):
            return NOT_INSTALLED.format(driver)
    limits = limits_of(node)
    if not any(driver in limits for driver in wanted.values()):
        return ""
    there = _attached(table, row)
    added = [driver for name, driver in wanted.items() if name not in there]
    for driver in set(added):
        used = sum(other == driver for other in there.values())
        if driver in limits and used + added.count(driver) > limits[driver]:
            return TOO_MANY
    return ""


def filter_among(table: NodeTable, pod: PodRecord, feasible: Bools) -> Bools | None:
    """bool[high]; only rows of `feasible` are looked at, one by one."""
    wanted = _of(table, pod)
    if not wanted:
        return None
    passed = feasible.copy()
    for row in np.flatnonzero(feasible).tolist():
        passed[row] = not _refusal(table, row, wanted)
    return passed


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    wanted = _of(table, pod)
    return not wanted or not _refusal(table, row, wanted)


def explain(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Mapping[str, int]:
    wanted = _of(table, pod)
    reasons: dict[str, int] = {}
    for row in rows.tolist():
        why = _refusal(table, row, wanted)
        reasons[why] = reasons.get(why, 0) + 1
    return reasons


SPEC = PluginSpec(
    name="NodeVolumeLimits",
    applies=applies,
    filter_among=filter_among,
    filter_row=filter_row,
    explain=explain,
    resolvable=everything_resolvable,
    wakes={
        Wake.CSI_NODE: None,
        Wake.POD_REMOVED: lambda _pod, change: change.pod is None or bool(change.pod.claims),
        Wake.CLAIM: own_claim,
        Wake.NODE_ADDED: None,
    },
)
