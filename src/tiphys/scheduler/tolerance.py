"""Which taints a pod tolerates: for one taint, and for whole columns of nodes.

Nodes carry few different sets of taints, so a pod's answer is worked out once per set and looked up per node.
Source: staging/src/k8s.io/api/core/v1/toleration.go, component-helpers/scheduling/corev1/helpers.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tiphys.api.kinds.core.references import Toleration
from tiphys.scheduler.columns import Ints, Rows
from tiphys.scheduler.pods import Shape

if TYPE_CHECKING:
    from tiphys.scheduler.table import NodeTable

TaintKey = tuple[str, str, str]

NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE = "NoSchedule", "NoExecute", "PreferNoSchedule"


def tolerates(tolerations: Iterable[Toleration], taint: TaintKey) -> bool:
    """Whether any toleration covers the taint (key, value, effect)."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: Toleration, taint: TaintKey) -> bool:
    key, value, effect = taint
    if toleration.effect and toleration.effect != effect:
        return False
    if toleration.key and toleration.key != key:
        return False
    if toleration.operator in ("", "Equal"):
        return toleration.value == value
    return toleration.operator == "Exists"


def untolerated(tolerations: Sequence[Toleration], taints: Iterable[TaintKey]) -> int:
    """How many taints that keep pods away (NoSchedule, NoExecute) are not tolerated."""
    return sum(1 for t in taints if t[2] in (NO_SCHEDULE, NO_EXECUTE) and not tolerates(tolerations, t))


def unpreferred(tolerations: Sequence[Toleration], taints: Iterable[TaintKey]) -> int:
    """How many PreferNoSchedule taints are not tolerated."""
    relevant = [t for t in tolerations if t.effect in ("", PREFER_NO_SCHEDULE)]
    return sum(1 for t in taints if t[2] == PREFER_NO_SCHEDULE and not tolerates(relevant, t))


class Answers:
    """What pods answer to the taints of nodes, remembered per shape. Cost: once per new set of taints."""

    def __init__(self, answer: Callable[[Sequence[Toleration], Iterable[TaintKey]], int]) -> None:
        self._answer = answer

    def per_node(self, table: NodeTable, shape: Shape, rows: Rows) -> Ints:
        """int64[rows]. Cost O(rows)."""
        found: Ints = self._of(table, shape)[table.taints.of[rows]]
        return found

    def of_node(self, table: NodeTable, shape: Shape, row: int) -> int:
        return self._of(table, shape).item(table.taints.of.item(row))

    def _of(self, table: NodeTable, shape: Shape) -> Ints:
        taints = table.taints
        known: tuple[int, Ints] | None = shape.memo.get(self)
        if known is None or known[0] != taints.epoch or len(known[1]) != len(taints.sets):
            values = [self._answer(shape.tolerations, each) for each in taints.sets]
            known = shape.memo[self] = (taints.epoch, np.array(values, dtype=np.int64))
        return known[1]


UNTOLERATED, UNPREFERRED = Answers(untolerated), Answers(unpreferred)
