"""What a scheduling plugin is: one file in `plugins/` with a `SPEC` and array functions.

A plugin reads the node table and one pod and says, for many nodes at once, whether the pod may run there (`filter`,
one bool per row) and how good each node is (`score`, one int64 per row). Functions are pure: no I/O, no clock, no
random, nothing mutated but `shape.memo`.

*Local* functions look at each row by itself, so that after one node changed only its row is worked out again. They
come twice: over arrays, and for one row in plain Python (`filter_row`, `score_row`), which is some twenty times cheaper
than an array of length one. Property tests hold the two equal. Functions over the whole cluster (spreading, affinity)
are the `_among` ones: they run for every pod, and their `filter_row` answers for the table as it is supposed to be at
the moment (`NodeTable.without`, `with_more`).

Source: staging/src/k8s.io/kube-scheduler/framework/interface.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Bools, Ints, Rows
from tiphys.scheduler.pods import PodRecord

if TYPE_CHECKING:
    from tiphys.scheduler.events import Hint, Wake
    from tiphys.scheduler.table import NodeTable

SCORE_MAX = 100


class Normalize(Enum):
    """How raw scores become 0..100 over the nodes that passed. Source: plugins/helper/normalize_score.go."""

    NONE = "none"
    """They already are."""
    SHARE = "share"
    """In proportion to the largest."""
    REVERSE = "reverse"
    """The same, then less is better; all equal to zero is best for all."""


class PluginError(Exception):
    """A plugin or an extender failed: its `name`, and what went wrong."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f'running plugin "{name}": {problem}')
        self.name = name


def _nothing_resolvable(_table: NodeTable, _pod: PodRecord, rows: npt.NDArray[np.intp]) -> Bools:
    return np.zeros(len(rows), dtype=np.bool_)


def everything_resolvable(_table: NodeTable, _pod: PodRecord, rows: npt.NDArray[np.intp]) -> Bools:
    return np.ones(len(rows), dtype=np.bool_)


def _always(_pod: PodRecord) -> bool:
    return True


@dataclass(frozen=True)
class PluginSpec:
    """One plugin, declared. Rows are those of `NodeTable`; results have one entry per asked row."""

    name: str
    """Upstream's name: it appears in messages and decides who is woken."""
    reason: str = ""
    """Upstream's words for a node that `filter` refuses."""
    applies: Callable[[PodRecord], bool] = _always
    """False: the filters have nothing to say about this pod and are not run. Reads its shape, and whether it has
    claims, devices or a group: the answer is kept for pods that are alike in that."""
    refuse: Callable[[NodeTable, PodRecord], str] | None = None
    """Why the pod can run on no node at all, whatever the nodes; empty when that is not so. Asked before filters."""
    filter: Callable[[NodeTable, PodRecord, Rows], Bools] | None = None
    """bool[rows]: True where the pod may run. Cost O(rows)."""
    filter_row: Callable[[NodeTable, PodRecord, int], bool] | None = None
    """`filter`, or `filter_among`, for one row. Goes with either."""
    filter_among: Callable[[NodeTable, PodRecord, Bools], Bools | None] | None = None
    """bool[high], given the rows that the other filters let through; None: all pass. Runs for every pod. Cost O(N)."""
    explain: Callable[[NodeTable, PodRecord, npt.NDArray[np.intp]], Mapping[str, int]] | None = None
    """Reason to number of rows, for refused rows; without it all count under `reason`."""
    resolvable: Callable[[NodeTable, PodRecord, npt.NDArray[np.intp]], Bools] = _nothing_resolvable
    """For refused rows: whether removing pods from the node could help."""
    narrow: Callable[[PodRecord], frozenset[str] | None] | None = None
    """The only nodes that the pod names itself; None when it names none. For messages: `filter` agrees with it."""
    conflict: str = ""
    """Upstream's words when `narrow` leaves no node at all."""
    scores: Callable[[PodRecord], bool] = _always
    """False: `score` is the same for all nodes and is not run. Reads what `applies` may."""
    score: Callable[[NodeTable, PodRecord, Rows], Ints] | None = None
    """int64[rows], before `normalize`. Cost O(rows)."""
    score_row: Callable[[NodeTable, PodRecord, int], int] | None = None
    """`score` for one row. Goes with `score`."""
    normalize: Normalize = Normalize.NONE
    score_among: Callable[[NodeTable, PodRecord, Bools], Ints | None] | None = None
    """int64[high] in 0..100, given the rows that passed; None: equal for all. Runs for every pod. Cost O(N)."""
    weight: int = 0
    wakes: Mapping[Wake, Hint | None] | None = None
    """The changes that may help a pod this plugin refused; the hint, where given, looks closer."""

    def __post_init__(self) -> None:
        if (self.score is not None or self.score_among is not None) != (self.weight > 0):
            raise ValueError(f"plugin {self.name}: a score needs a weight, and the reverse")
        filters = self.filter is not None or self.filter_among is not None
        if filters != (self.filter_row is not None) or (self.score is None) != (self.score_row is None):
            raise ValueError(f"plugin {self.name}: array functions and row functions come in pairs")
