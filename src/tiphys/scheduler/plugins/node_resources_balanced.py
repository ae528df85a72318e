"""NodeResourcesBalancedAllocation: prefer nodes whose cpu and memory would be used evenly.

The score is how much the pod improves the balance: 75 for no change, towards 100 for better, towards 50 for worse.
Pods that state neither resource are not scored, or they would gather on one node.
Source: pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Ints, Rows
from tiphys.scheduler.plugin import SCORE_MAX, PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable


def scores(pod: PodRecord) -> bool:
    return not pod.shape.best_effort


def score(table: NodeTable, pod: PodRecord, rows: Rows) -> Ints:
    """int64[rows] in 50..100. O(rows)."""
    capacity = table.allocatable[:2, rows]
    used = table.requested[:2, rows]
    asked = np.array([[pod.shape.cpu_stated], [pod.shape.memory_stated]], dtype=np.int64)
    before, after = _evenness(capacity, np.array((used, used + asked)))
    half = SCORE_MAX // 2
    result: Ints = half + (half + after - before) // 2
    return result


def _evenness(capacity: Ints, used: Ints) -> Ints:
    """100 for equal shares, 50 for all of one and nothing of the other; 100 where the node lacks either resource.

    `capacity` is [resource, row], `used` [case, resource, row], the result [case, row].
    """
    shares: npt.NDArray[np.float64] = np.minimum(used / np.maximum(capacity, 1), 1.0)
    deviation = np.abs((shares[:, 0] - shares[:, 1]) / 2)
    deviation[:, ~capacity.all(axis=0)] = 0.0
    evenness: Ints = ((1 - deviation) * SCORE_MAX).astype(np.int64)
    return evenness


def score_row(table: NodeTable, pod: PodRecord, row: int) -> int:
    cpu, memory = int(table.allocatable[0, row]), int(table.allocatable[1, row])
    used_cpu, used_memory = int(table.requested[0, row]), int(table.requested[1, row])
    before = _evenness_of(cpu, memory, used_cpu, used_memory)
    after = _evenness_of(cpu, memory, used_cpu + pod.shape.cpu_stated, used_memory + pod.shape.memory_stated)
    half = SCORE_MAX // 2
    return half + (half + after - before) // 2


def _evenness_of(cpu: int, memory: int, used_cpu: int, used_memory: int) -> int:
    """`_evenness` for one node."""
    if not cpu or not memory:
        return SCORE_MAX
    deviation = abs((min(used_cpu / cpu, 1.0) - min(used_memory / memory, 1.0)) / 2)
    return int((1 - deviation) * SCORE_MAX)


SPEC = PluginSpec(name="NodeResourcesBalancedAllocation", scores=scores, score=score, score_row=score_row, weight=1)
