"""NodeUnschedulable: cordoned nodes take no pods, save those that tolerate the unschedulable taint.

Source: pkg/scheduler/framework/plugins/nodeunschedulable/node_unschedulable.go.
"""

from __future__ import annotations

import numpy as np

from tiphys.scheduler.columns import Bools, Rows
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable
from tiphys.scheduler.tolerance import NO_SCHEDULE, tolerates

TAINT = ("node.kubernetes.io/unschedulable", "", NO_SCHEDULE)


def _tolerates_cordon(pod: PodRecord) -> bool:
    memo = pod.shape.memo
    known: bool | None = memo.get(SPEC.name)
    if known is None:
        known = memo[SPEC.name] = tolerates(pod.shape.tolerations, TAINT)
    return known


def filter(table: NodeTable, pod: PodRecord, rows: Rows) -> Bools:  # noqa: A001 - the extension point's name
    """bool[rows]: not cordoned, or tolerated. O(rows)."""
    if _tolerates_cordon(pod):
        return np.ones(len(table.live[rows]), dtype=np.bool_)
    return ~table.unschedulable[rows]


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    return not table.unschedulable[row] or _tolerates_cordon(pod)


def _opened(_pod: PodRecord, change: Change) -> bool:
    return change.node is not None and not change.node.spec.unschedulable


SPEC = PluginSpec(
    name="NodeUnschedulable",
    reason="node(s) were unschedulable",
    filter=filter,
    filter_row=filter_row,
    wakes={Wake.NODE_ADDED: _opened, Wake.NODE_TAINTS: _opened},
)
