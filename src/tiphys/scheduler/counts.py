"""How many pods of a group run on each node, kept up to date pod by pod.

Spreading asks "how many pods that my selector matches are on each node". Counting anew for every pod would cost
O(pods); here each selector in use has a column, built once from the pods of its namespace and then adjusted when a pod
comes or goes. Pods with the labels of an earlier pod find their columns in one dict look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from tiphys.scheduler.columns import Ints, grown
from tiphys.scheduler.pods import Group, PodRecord


class GroupCounts:
    """Columns of pod counts, one per group that was asked for.

    Limits: `groups_max` columns, the one unused for longest goes; the memo of label sets is dropped when it exceeds
    `labels_max` entries.
    """

    def __init__(
        self,
        pods_of: Callable[[str], Iterable[tuple[PodRecord, int]]],
        *,
        groups_max: int = 256,
        labels_max: int = 8192,
    ) -> None:
        self._pods_of = pods_of
        self._columns: dict[Group, Ints] = {}
        self._groups_by_labels: dict[tuple[str, frozenset[tuple[str, str]]], tuple[Group, ...]] = {}
        self._groups_max = groups_max
        self._labels_max = labels_max

    def get(self, group: Group, capacity: int) -> Ints:
        """Pods of `group` per row: int64[capacity], a view that `add` keeps current."""
        column = self._columns.pop(group, None)
        if column is None:
            column = np.zeros(capacity, dtype=np.int64)
            for pod, row in self._pods_of(group.namespace):
                if group.has(pod):
                    column[row] += 1
            if len(self._columns) >= self._groups_max:
                del self._columns[next(iter(self._columns))]
            self._groups_by_labels.clear()
        self._columns[group] = column
        return column

    def add(self, pod: PodRecord, row: int, sign: int) -> None:
        """A pod came to (`sign` 1) or left (-1) the node of `row`."""
        if not self._columns or pod.terminating:
            return
        key = (pod.namespace, frozenset(pod.labels.items()))
        groups = self._groups_by_labels.get(key)
        if groups is None:
            groups = tuple(group for group in self._columns if group.has(pod))
            if len(self._groups_by_labels) >= self._labels_max:
                self._groups_by_labels.clear()
            self._groups_by_labels[key] = groups
        for group in groups:
            self._columns[group][row] += sign

    def clear_row(self, row: int) -> None:
        for column in self._columns.values():
            column[row] = 0

    def grow(self, capacity: int) -> None:
        self._columns = {group: grown(column, capacity) for group, column in self._columns.items()}
