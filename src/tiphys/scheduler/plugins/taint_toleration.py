"""TaintToleration: taints keep pods away that do not tolerate them; the fewer unpreferred taints, the better.

Source: pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go.
"""

from __future__ import annotations

from tiphys.api.kinds.core.node import Node
from tiphys.scheduler.columns import Bools, Ints, Rows
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import Normalize, PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable
from tiphys.scheduler.tolerance import UNPREFERRED, UNTOLERATED, TaintKey, untolerated


def filter(table: NodeTable, pod: PodRecord, rows: Rows) -> Bools:  # noqa: A001 - the extension point's name
    """bool[rows]: every NoSchedule and NoExecute taint is tolerated. O(rows)."""
    passed: Bools = UNTOLERATED.per_node(table, pod.shape, rows) == 0
    return passed


def score(table: NodeTable, pod: PodRecord, rows: Rows) -> Ints:
    """int64[rows]: PreferNoSchedule taints that are not tolerated; normalised in reverse. O(rows)."""
    return UNPREFERRED.per_node(table, pod.shape, rows)


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    return UNTOLERATED.of_node(table, pod.shape, row) == 0


def score_row(table: NodeTable, pod: PodRecord, row: int) -> int:
    return UNPREFERRED.of_node(table, pod.shape, row)


def _taints(node: Node) -> list[TaintKey]:
    return [(t.key, t.value, t.effect) for t in node.spec.taints]


def _became_tolerable(pod: PodRecord, change: Change) -> bool:
    if change.node is None or untolerated(pod.shape.tolerations, _taints(change.node)):
        return False
    return change.old_node is None or untolerated(pod.shape.tolerations, _taints(change.old_node)) > 0


SPEC = PluginSpec(
    name="TaintToleration",
    reason="node(s) had untolerated taint(s)",
    filter=filter,
    filter_row=filter_row,
    score=score,
    score_row=score_row,
    normalize=Normalize.REVERSE,
    weight=3,
    wakes={Wake.NODE_ADDED: _became_tolerable, Wake.NODE_TAINTS: _became_tolerable},
)
