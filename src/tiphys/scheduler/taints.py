"""Nodes' taints as small numbers: nodes with the same taints share one, and a pod is compared once with each."""

from __future__ import annotations

import numpy as np

from tiphys.api.kinds.core.node import Node
from tiphys.scheduler.columns import Ids, grown

TaintKey = tuple[str, str, str]
"""Key, value, effect."""
_SPARE = 1024


class TaintSets:
    """The column of numbers, and what they stand for."""

    def __init__(self, capacity: int) -> None:
        self.of: Ids = np.zeros(capacity, dtype=np.intp)
        """By row: index into `sets`. Replaced when the table grows: take it at each use."""
        self.sets: list[tuple[TaintKey, ...]] = [()]
        self._numbers: dict[tuple[TaintKey, ...], int] = {(): 0}
        self.epoch = 0
        """Changes when `sets` is numbered anew."""

    def set_node(self, row: int, node: Node | None) -> None:
        """None: the row stands for no node any more."""
        taints = tuple((t.key, t.value, t.effect) for t in node.spec.taints) if node is not None else ()
        self.of[row] = self._number(taints)

    def grow(self, capacity: int) -> None:
        self.of = grown(self.of, capacity)

    def _number(self, taints: tuple[TaintKey, ...]) -> int:
        known = self._numbers.get(taints)
        if known is None:
            if len(self.sets) > 2 * len(self.of) + _SPARE:
                self._renumber()
            known = self._numbers[taints] = len(self.sets)
            self.sets.append(taints)
        return known

    def _renumber(self) -> None:
        """Forget sets that no node has any more."""
        used = [int(i) for i in np.unique(self.of)]
        kept = [(), *(self.sets[i] for i in used if i)]
        self._numbers = {taints: i for i, taints in enumerate(kept)}
        renumber = np.zeros(len(self.sets), dtype=np.intp)
        renumber[used] = [self._numbers[self.sets[i]] for i in used]
        self.of = renumber[self.of]
        self.sets = kept
        self.epoch += 1
