"""NodeDeclaredFeatures: a pod that needs what not every kubelet can do runs where the node says that it can.

Source: pkg/scheduler/framework/plugins/nodedeclaredfeatures; staging/src/k8s.io/component-helpers/nodedeclaredfeatures
(on by default since v1.36).
"""

from __future__ import annotations

import numpy as np

from tiphys.scheduler.columns import Bools, Rows
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable


def applies(pod: PodRecord) -> bool:
    return bool(pod.shape.features)


def filter(table: NodeTable, pod: PodRecord, rows: Rows) -> Bools:  # noqa: A001 - the extension point's name
    """bool[rows]: the node declares all that the pod needs. O(rows), in Python: few pods need any."""
    asked = np.arange(table.capacity)[rows]
    return np.fromiter((filter_row(table, pod, int(row)) for row in asked), np.bool_, len(asked))


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    node = table.nodes[row] if row < len(table.nodes) else None
    return pod.shape.features <= frozenset(() if node is None else node.status.declared_features)


def _declared(pod: PodRecord, change: Change) -> bool:
    return change.node is not None and pod.shape.features <= frozenset(change.node.status.declared_features)


SPEC = PluginSpec(
    name="NodeDeclaredFeatures",
    reason="node(s) didn't match Pod's required features",
    applies=applies,
    filter=filter,
    filter_row=filter_row,
    wakes={Wake.NODE_ADDED: _declared, Wake.NODE_FEATURES: _declared},
)
