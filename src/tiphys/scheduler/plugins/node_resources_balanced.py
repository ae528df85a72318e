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


def reference_score(capacity: tuple[int, int], requested: tuple[int, int], pod: PodRecord) -> int:
    """`score` for one node, in plain Python; cpu then memory."""
    asked = (pod.shape.cpu_stated, pod.shape.memory_stated)
    before = _reference_evenness(capacity, requested)
    after = _reference_evenness(capacity, (requested[0] + asked[0], requested[1] + asked[1]))
    half = SCORE_MAX // 2
    return half + (half + after - before) // 2


def _reference_evenness(capacity: tuple[int, int], used: tuple[int, int]) -> int:
    shares = [min(u / c, 1.0) for u, c in zip(used, capacity, strict=True) if c]
    deviation = abs((shares[0] - shares[1]) / 2) if len(shares) == 2 else 0.0
    return int((1 - deviation) * SCORE_MAX)


SPEC = PluginSpec(name="NodeResourcesBalancedAllocation", scores=scores, score=score, weight=1)
