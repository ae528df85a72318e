"""ImageLocality: prefer nodes that have the pod's images, the more for large images that many nodes have.

Source: pkg/scheduler/framework/plugins/imagelocality/image_locality.go.
"""

from __future__ import annotations

import numpy as np

from tiphys.scheduler.columns import Bools, Ints
from tiphys.scheduler.plugin import SCORE_MAX, PluginSpec
from tiphys.scheduler.pods import PodRecord, Shape
from tiphys.scheduler.table import NodeTable

NAME = "ImageLocality"
_MEBIBYTE = 1024 * 1024
THRESHOLD_MIN = 23 * _MEBIBYTE
"""Less than so many bytes count as nothing."""
THRESHOLD_MAX = 1000 * _MEBIBYTE
"""Per container; more counts as so much."""


def score_among(table: NodeTable, pod: PodRecord, _feasible: Bools) -> Ints | None:
    """int64[high] in 0..100. O(N) once per shape and change of any node's images."""
    version = (table.images.version, table.epoch)
    known = pod.shape.memo.get(NAME)
    if known is None or known[0] != version:
        known = pod.shape.memo[NAME] = (version, _scores(table, pod.shape))
    scores: Ints | None = known[1]
    return scores


def _scores(table: NodeTable, shape: Shape) -> Ints | None:
    """None when every node is as good as any other."""
    sums = np.zeros(table.high, dtype=np.int64)
    for name in shape.images:
        image = table.images.by_name.get(name)
        if image is not None:
            rows = np.fromiter(image.rows, dtype=np.intp, count=len(image.rows))
            sums[rows] += int(float(image.size) * (len(image.rows) / table.count))
    largest = THRESHOLD_MAX * shape.containers
    scores: Ints = SCORE_MAX * (np.clip(sums, THRESHOLD_MIN, largest) - THRESHOLD_MIN) // (largest - THRESHOLD_MIN)
    return scores if scores.any() else None


SPEC = PluginSpec(name=NAME, score_among=score_among, weight=1)
