"""Scores by how full a node would be: the arithmetic that NodeResourcesFit and BalancedAllocation share.

Amounts come as int64[resource, row]; a resource that the node lacks, or that is extended and not asked for, has
capacity 0 and is left out. Every function has a twin for one node in plain Python (`..._of`).

Source: pkg/scheduler/framework/plugins/noderesources/{resource_allocation,least_allocated,most_allocated,
requested_to_capacity_ratio,balanced_allocation}.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Ints
from tiphys.scheduler.config.args import LEAST, MOST, UtilizationShapePoint
from tiphys.scheduler.plugin import SCORE_MAX

CUSTOM_MAX = 10
"""The largest score of a shape point (MaxCustomPriorityScore)."""

Share = Callable[[Ints, Ints], Ints]
"""(requested, capacity) to a score of 0..100, element by element."""
ShareOf = Callable[[int, int], int]


def _least(requested: Ints, capacity: Ints) -> Ints:
    free: Ints = np.maximum(capacity - requested, 0) * SCORE_MAX // np.maximum(capacity, 1)
    return free


def _least_of(requested: int, capacity: int) -> int:
    return max(capacity - requested, 0) * SCORE_MAX // capacity


def _most(requested: Ints, capacity: Ints) -> Ints:
    used: Ints = np.minimum(requested, capacity) * SCORE_MAX // np.maximum(capacity, 1)
    return used


def _most_of(requested: int, capacity: int) -> int:
    return min(requested, capacity) * SCORE_MAX // capacity


def broken_line(shape: Sequence[UtilizationShapePoint]) -> Callable[[int], int]:
    """Linear between the points, constant outside. Scores 0..10 become 0..100."""
    points = [(p.utilization, p.score * (SCORE_MAX // CUSTOM_MAX)) for p in shape]

    def at(utilization: int) -> int:
        before: tuple[int, int] | None = None
        for x, y in points:
            if utilization <= x:
                if before is None:
                    return y
                # Truncated towards zero, as Go divides.
                return before[1] + int((y - before[1]) * (utilization - before[0]) / (x - before[0]))
            before = (x, y)
        return points[-1][1]

    return at


def shares(strategy: str, shape: Sequence[UtilizationShapePoint] = ()) -> tuple[Share, ShareOf]:
    """How full each resource would be, as a score: for arrays and for one number."""
    if strategy == LEAST:
        return _least, _least_of
    if strategy == MOST:
        return _most, _most_of
    line = broken_line(shape)
    by_percent = np.array([line(percent) for percent in range(SCORE_MAX + 1)], dtype=np.int64)

    def ratio(requested: Ints, capacity: Ints) -> Ints:
        percent = np.minimum(requested, capacity) * SCORE_MAX // np.maximum(capacity, 1)
        found: Ints = by_percent[percent]
        return found

    def ratio_of(requested: int, capacity: int) -> int:
        return int(by_percent[min(requested, capacity) * SCORE_MAX // capacity])

    return ratio, ratio_of


def weighted(scores: Ints, counted: npt.NDArray[np.bool_], weights: Ints, *, rounded: bool) -> Ints:
    """int64[row]: the mean over the counted resources, by weight; 0 where none counts."""
    weight = weights[:, None] * counted
    sums, total = (scores * weight).sum(axis=0), weight.sum(axis=0)
    if rounded:
        exact = sums / np.maximum(total, 1)
        mean: Ints = np.floor(exact + 0.5).astype(np.int64)
    else:
        mean = sums // np.maximum(total, 1)
    return mean


def weighted_of(scores: Sequence[tuple[int, int]], *, rounded: bool) -> int:
    """The same for one node; pairs of score and weight."""
    sums = total = 0
    for score, weight in scores:
        sums += score * weight
        total += weight
    if not total:
        return 0
    return math.floor(sums / total + 0.5) if rounded else sums // total


def evenness(used: Ints, capacity: Ints) -> Ints:
    """int64[row]: 100 where all resources are used to the same share, 50 for all of one and nothing of the other."""
    present = capacity > 0
    parts = np.minimum(used / np.maximum(capacity, 1), 1.0)
    if len(capacity) == 2:
        deviation = np.where(present.all(axis=0), np.abs((parts[0] - parts[1]) / 2), 0.0)
    else:
        deviation = _deviations(parts, present)
    even: Ints = ((1 - deviation) * SCORE_MAX).astype(np.int64)
    return even


def _deviations(parts: npt.NDArray[np.float64], present: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Standard deviations; sums are taken in order, so that they are those of `evenness_of`."""
    number = present.sum(axis=0)
    total = np.zeros(parts.shape[1])
    for part, here in zip(parts, present, strict=True):
        total = total + np.where(here, part, 0.0)
    mean = total / np.maximum(number, 1)
    squares = np.zeros(parts.shape[1])
    low, high = np.full(parts.shape[1], np.inf), np.full(parts.shape[1], -np.inf)
    for part, here in zip(parts, present, strict=True):
        squares = squares + np.where(here, (part - mean) * (part - mean), 0.0)
        low, high = np.where(here, np.minimum(low, part), low), np.where(here, np.maximum(high, part), high)
    spread = np.sqrt(squares / np.maximum(number, 1))
    with np.errstate(invalid="ignore"):
        pair = np.abs((high - low) / 2)
    return np.where(number > 2, spread, np.where(number == 2, pair, 0.0))


def evenness_of(parts: Sequence[float]) -> int:
    """`evenness` for one node, given the shares of the resources that it has."""
    deviation = 0.0
    if len(parts) == 2:
        deviation = abs((parts[0] - parts[1]) / 2)
    elif len(parts) > 2:
        mean = sum(parts) / len(parts)
        squares = 0.0
        for part in parts:
            squares += (part - mean) * (part - mean)
        deviation = math.sqrt(squares / len(parts))
    return int((1 - deviation) * SCORE_MAX)
