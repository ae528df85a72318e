"""Growing columns: one array per fact about nodes, row i of each being the same node."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Ids: TypeAlias = npt.NDArray[np.intp]
"""As wide as numpy's own indexes: looking something up by narrower ones takes ten times as long."""
Rows: TypeAlias = slice | npt.NDArray[np.intp]
"""Which rows an array function is asked about; its answer has as many entries."""

ABSENT = -1
"""The id of a label that a node does not have."""


def grown(array: npt.NDArray[Any], capacity: int, fill: int = 0) -> npt.NDArray[Any]:
    """A copy of `array` whose last axis has `capacity` entries, the new ones being `fill`."""
    bigger = np.full((*array.shape[:-1], capacity), fill, dtype=array.dtype)
    bigger[..., : array.shape[-1]] = array
    return bigger


_versions = itertools.count(1)


class LabelColumn:
    """The values of one label key over all nodes, as small numbers: equal text, equal number, absent -1."""

    __slots__ = ("_ids_by_text", "ids", "texts", "version")

    def __init__(self, capacity: int) -> None:
        self.ids: Ids = np.full(capacity, ABSENT, dtype=np.intp)
        self.texts: list[str] = []
        self._ids_by_text: dict[str, int] = {}
        self.version = next(_versions)
        """Another one after each change of any number; never that of another column."""

    def set(self, row: int, text: str | None) -> None:
        before = self.ids[row]
        self._set(row, text)
        if self.ids[row] != before:
            self.version = next(_versions)

    def _set(self, row: int, text: str | None) -> None:
        if text is None:
            self.ids[row] = ABSENT
            return
        known = self._ids_by_text.get(text)
        if known is None:
            known = self._ids_by_text[text] = len(self.texts)
            self.texts.append(text)
        self.ids[row] = known

    def id_of(self, text: str) -> int:
        """The number of `text`; -2, which no node has, when it was never seen."""
        return self._ids_by_text.get(text, -2)

    def used(self) -> Bools:
        """bool[texts]: which values some node has."""
        found = np.zeros(len(self.texts) + 1, dtype=np.bool_)
        found[self.ids] = True
        return found[:-1]

    def compact(self) -> None:
        """Forget texts that no row uses any more, once they outnumber the rows."""
        if len(self.texts) <= 2 * len(self.ids):
            return
        used = [int(i) for i in np.unique(self.ids) if i != ABSENT]
        renumber = np.full(len(self.texts) + 1, ABSENT, dtype=np.intp)
        renumber[used] = np.arange(len(used), dtype=np.intp)
        self.ids = renumber[self.ids]  # -1 picks the last entry, which is ABSENT
        self.texts = [self.texts[i] for i in used]
        self.version = next(_versions)
        self._ids_by_text = {text: i for i, text in enumerate(self.texts)}


class LabelColumns:
    """Label columns, made when a pod first asks about a key: most labels of a node are never asked about.

    Limits: `columns_max` columns; the one unused for longest goes, and costs one pass over the nodes to make again.
    """

    def __init__(self, labels_of: Callable[[], Iterable[tuple[int, dict[str, str]]]], columns_max: int = 256) -> None:
        self._labels_of = labels_of
        self._columns: dict[str, LabelColumn] = {}
        self._columns_max = columns_max

    def get(self, key: str, capacity: int) -> LabelColumn:
        column = self._columns.pop(key, None)
        if column is None:
            column = LabelColumn(capacity)
            for row, labels in self._labels_of():
                column.set(row, labels.get(key))
            if len(self._columns) >= self._columns_max:
                del self._columns[next(iter(self._columns))]
        self._columns[key] = column
        return column

    def set_row(self, row: int, labels: dict[str, str]) -> None:
        for key, column in self._columns.items():
            column.set(row, labels.get(key))
            column.compact()

    def clear_row(self, row: int) -> None:
        for column in self._columns.values():
            column.set(row, None)

    def grow(self, capacity: int) -> None:
        for column in self._columns.values():
            column.ids = grown(column.ids, capacity, ABSENT)
