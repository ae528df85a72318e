"""NodeName: a pod that names its node runs there or nowhere.

Source: pkg/scheduler/framework/plugins/nodename/node_name.go.
"""

from __future__ import annotations

import numpy as np

from tiphys.scheduler.columns import Bools, Rows
from tiphys.scheduler.events import Wake
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable


def applies(pod: PodRecord) -> bool:
    return bool(pod.node)


def filter(table: NodeTable, pod: PodRecord, rows: Rows) -> Bools:  # noqa: A001 - the extension point's name
    """bool[rows]: True on the named node only. O(capacity)."""
    mask = np.zeros(table.capacity, dtype=np.bool_)
    row = table.rows.get(pod.node)
    if row is not None:
        mask[row] = True
    named: Bools = mask[rows]
    return named


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    return pod.node == table.names[row]


SPEC = PluginSpec(
    name="NodeName",
    reason="node(s) didn't match the requested node name",
    applies=applies,
    filter=filter,
    filter_row=filter_row,
    wakes={Wake.NODE_ADDED: None},
)
