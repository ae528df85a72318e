"""Choosing a node: the table and a pod in, a decision out. Nothing is written, waited for or looked up elsewhere.

The work is shared twice. Pods that are alike (same `Shape`, same spreading group) share one `Evaluation`: which rows
pass all local filters, and the weighted sum of the local scores. And when a few rows changed since it was last used,
typically the one that took the previous pod, only those are worked out again. What is left per pod is finding the
maximum of one column.

    for pod in batch:                       # about 40 us each on 5,000 nodes
        decision = cycle.decide(pod)
        table.assume(pod placed on decision.node)     # logs one changed row

Ties are broken by `pick`, so the same table and the same `pick` give the same decision.

Source: pkg/scheduler/schedule_one.go (schedulePod); all nodes are scored, so there is no percentageOfNodesToScore.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Bools, Ints, Rows
from tiphys.scheduler.diagnosis import Diagnosis, diagnose, refuser
from tiphys.scheduler.extenders.verdict import Verdict
from tiphys.scheduler.plugin import SCORE_MAX, Normalize, PluginError, PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable

_ROWS_ONE_BY_ONE = 4
"""Up to about so many changed rows, row by row is cheaper than whole columns."""

_LEVELS_MAX = 8

Pick = Callable[[int], int]
"""Given a number of equally good nodes, the index of the one to take."""


@dataclass(frozen=True, slots=True)
class Decision:
    node: str
    """Empty: no node fits, and `diagnosis` says why."""
    score: int = 0
    feasible: int = 0
    """How many nodes passed every filter."""
    diagnosis: Diagnosis | None = None


class Rotation:
    """Takes equally good nodes in turn."""

    def __init__(self, start: int = 0) -> None:
        self._next = start

    def __call__(self, count: int) -> int:
        self._next += 1
        return self._next % count


@dataclass(slots=True)
class Evaluation:
    """What is known about one kind of pod on every row below `size`."""

    size: int
    position: int
    """Where in the table's log of changes this was current."""
    passed: Bools
    """Rows that pass every local filter."""
    fixed: Ints
    """Weighted sum of scores that need no normalising; -1 where `passed` is False."""
    varying: list[tuple[PluginSpec, Ints]]
    """Raw scores that are normalised over the rows that pass."""
    row_filters: Sequence[PluginSpec] = ()
    row_scores: Sequence[PluginSpec] = ()
    """The local plugins that have something to say about this kind of pod."""
    levels: list[tuple[int, list[int]]] = field(default_factory=list)
    """The largest entries of `fixed`, largest first, each with all rows that have it, in order. Empty: not known."""
    diagnosis: Diagnosis | None = None
    """Why no node fits, while nothing changed."""


@dataclass(slots=True)
class Plugins:
    """The profile, sorted by what has to be run when."""

    every: Sequence[PluginSpec]
    refusers: list[PluginSpec] = field(init=False)
    row_filters: list[PluginSpec] = field(init=False)
    filters: list[PluginSpec] = field(init=False)
    global_filters: list[PluginSpec] = field(init=False)
    fixed: list[PluginSpec] = field(init=False)
    varying: list[PluginSpec] = field(init=False)
    global_scores: list[PluginSpec] = field(init=False)

    def __post_init__(self) -> None:
        self.refusers = [p for p in self.every if p.refuse]
        self.row_filters = [p for p in self.every if p.filter_row]
        self.filters = [p for p in self.every if p.filter]
        self.global_filters = [p for p in self.every if p.filter_among]
        self.fixed = [p for p in self.every if p.score and p.normalize is Normalize.NONE]
        self.varying = [p for p in self.every if p.score and p.normalize is not Normalize.NONE]
        self.global_scores = [p for p in self.every if p.score_among]


class Cycle:
    """Decides for one table with one profile.

    A plugin that raises makes `decide` raise PluginError with its name.
    Limits: keeps `evaluations_max` evaluations, the one unused for longest goes (24 bytes per node and evaluation).
    """

    def __init__(
        self,
        table: NodeTable,
        plugins: Sequence[PluginSpec],
        pick: Pick | None = None,
        *,
        evaluations_max: int = 64,
    ) -> None:
        self._table = table
        self._plugins = Plugins(plugins)
        self._pick = pick or Rotation()
        self._evaluations: dict[Hashable, Evaluation] = {}
        self._evaluations_max = evaluations_max
        self._asking = ""

    @property
    def plugins(self) -> Sequence[PluginSpec]:
        return self._plugins.every

    def decide(self, pod: PodRecord, verdict: Verdict | None = None) -> Decision:
        """The best node for `pod`, or why there is none. Cost O(N), mostly in one pass over a column.

        `verdict` is what extenders said about the nodes that `weigh` found.
        """
        try:
            return self._decide(pod, verdict)
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(self._asking, f"{type(error).__name__}: {error}") from error

    def weigh(self, pod: PodRecord) -> tuple[list[str], Decision | None]:
        """The names of all nodes that fit, for extenders to look at; or the decision, when there are none."""
        try:
            self._asking = ""
            if not self._table.count or self._refused_at_all(pod):
                return [], self._decide(pod, None)
            rows = np.flatnonzero(self._feasible(pod, self._evaluation(pod)))
            names = [self._table.names[row] for row in rows.tolist()]
            return names, None if names else self._decide(pod, None)
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(self._asking, f"{type(error).__name__}: {error}") from error

    def _decide(self, pod: PodRecord, verdict: Verdict | None) -> Decision:
        if not self._table.count:
            return Decision("", diagnosis=Diagnosis.no_nodes())
        evaluation = self._evaluation(pod)
        if self._plugins.refusers and self._refused_at_all(pod):
            return self._refused(pod, evaluation, None)
        if pod.nominated:
            row = self._table.rows.get(pod.nominated)
            if row is not None and (verdict is None or verdict.allows(pod.nominated)) and self.fits(pod, row):
                return Decision(pod.nominated, feasible=1)
        feasible = self._feasible(pod, evaluation)
        if verdict is not None:
            feasible = feasible & verdict.mask(self._table)
        total = self._total(pod, evaluation, feasible)
        if verdict is not None:
            total = np.where(feasible, total + verdict.scores(self._table), -1)
        best, ties = _best(evaluation, total)
        if best < 0:
            return self._refused(pod, evaluation, verdict)
        row = ties[self._pick(len(ties)) if len(ties) > 1 else 0]
        return Decision(self._table.names[row], score=best, feasible=int(np.count_nonzero(feasible)))

    def _refused_at_all(self, pod: PodRecord) -> bool:
        for plugin in self._plugins.refusers:
            if plugin.refuse and plugin.applies(pod):
                self._asking = plugin.name
                if plugin.refuse(self._table, pod):
                    return True
        return False

    def _refused(self, pod: PodRecord, evaluation: Evaluation, verdict: Verdict | None) -> Decision:
        diagnosis = evaluation.diagnosis
        if diagnosis is None:
            diagnosis = diagnose(self._table, self._plugins.every, pod, self._ask)
            if verdict is not None:
                diagnosis = verdict.add_to(diagnosis, self._table)
            elif _shared(pod):
                evaluation.diagnosis = diagnosis
        return Decision("", diagnosis=diagnosis)

    def _ask(self, plugin: PluginSpec) -> None:
        self._asking = plugin.name

    # Rows that pass

    def fits(self, pod: PodRecord, row: int) -> bool:
        """Whether the node of `row` passes every filter, with and without the pods that it is kept for."""
        if not self._table.live[row]:
            return False
        others = self._table.nominations.on(self._table.names[row], pod.priority)
        if others:
            with self._table.with_more(others, row):
                if self.refuser(pod, row) is not None:
                    return False
        return self.refuser(pod, row) is None

    def refuser(self, pod: PodRecord, row: int) -> PluginSpec | None:
        """The first plugin that refuses the node of `row`, as the table is supposed to be at the moment."""
        return refuser(self._table, self._plugins.row_filters, pod, row)

    def _feasible(self, pod: PodRecord, evaluation: Evaluation) -> Bools:
        feasible = evaluation.passed
        for plugin in self._plugins.global_filters:
            if plugin.filter_among and plugin.applies(pod):
                self._asking = plugin.name
                passed = plugin.filter_among(self._table, pod, feasible)
                if passed is not None:
                    feasible = feasible & passed
        if len(self._table.nominations) and feasible is not evaluation.passed:
            self._leave_room(pod, feasible)
        return feasible

    def _leave_room(self, pod: PodRecord, feasible: Bools) -> None:
        """Take out the rows that pass only as long as the pods they are kept for are not there."""
        for name in self._table.nominations.nodes():
            row = self._table.rows.get(name)
            if row is None or row >= len(feasible) or not feasible[row]:
                continue
            others = self._table.nominations.on(name, pod.priority)
            if others:
                with self._table.with_more(others, row):
                    feasible[row] = self.refuser(pod, row) is None

    def _total(self, pod: PodRecord, evaluation: Evaluation, feasible: Bools) -> Ints:
        """Weighted sum of all scores, -1 where not feasible. May be the evaluation's own column: only read it."""
        total = evaluation.fixed
        for plugin, raw in evaluation.varying:
            total = total + plugin.weight * normalized(raw, feasible, plugin.normalize)
        for plugin in self._plugins.global_scores:
            if plugin.score_among and plugin.scores(pod):
                self._asking = plugin.name
                part = plugin.score_among(self._table, pod, feasible)
                if part is not None:
                    total = total + plugin.weight * part
        if total is not evaluation.fixed or feasible is not evaluation.passed:
            total = np.where(feasible, total, -1)
        return total

    # Evaluations

    def _evaluation(self, pod: PodRecord) -> Evaluation:
        key = _kind_of(pod)
        known = self._evaluations.pop(key, None)
        if known is None and len(self._evaluations) >= self._evaluations_max:
            del self._evaluations[next(iter(self._evaluations))]
        evaluation = self._evaluations[key] = self._current(pod, known)
        return evaluation

    def _current(self, pod: PodRecord, known: Evaluation | None) -> Evaluation:
        if known is None or known.size != self._table.high:
            return self._evaluate(pod)
        changed = self._table.changes_since(known.position)
        if changed is None:
            return self._evaluate(pod)
        if changed:
            rows = set(changed)
            if len(rows) > _ROWS_ONE_BY_ONE + known.size // 4:
                return self._evaluate(pod)
            self._redo(pod, known, rows)
        return known

    def _evaluate(self, pod: PodRecord) -> Evaluation:
        size = self._table.high
        every = slice(0, size)
        passed = self._passed(pod, every)
        varying = []
        for plugin in self._plugins.varying:
            if plugin.score and plugin.scores(pod):
                self._asking = plugin.name
                varying.append((plugin, plugin.score(self._table, pod, every)))
        return Evaluation(
            size=size,
            position=self._table.position,
            passed=passed,
            fixed=self._fixed(pod, every, passed),
            # Equal raw scores for all normalise to the same for all, which changes no choice.
            varying=[(plugin, raw) for plugin, raw in varying if raw.any()],
            row_filters=self._row_filters(pod),
            row_scores=[p for p in self._plugins.fixed if p.score_row and p.scores(pod)],
        )

    def _row_filters(self, pod: PodRecord) -> list[PluginSpec]:
        return [p for p in self._plugins.filters if p.filter_row and p.applies(pod)]

    def _redo(self, pod: PodRecord, known: Evaluation, changed: set[int]) -> None:
        """Bring `changed` rows up to date in place."""
        if len(changed) > _ROWS_ONE_BY_ONE:
            self._redo_together(pod, known, np.fromiter(changed, dtype=np.intp, count=len(changed)))
        else:
            for row in changed:
                self._redo_row(pod, known, row)
        known.position = self._table.position
        known.diagnosis = None

    def _redo_together(self, pod: PodRecord, known: Evaluation, rows: npt.NDArray[np.intp]) -> None:
        known.levels.clear()
        passed = known.passed[rows] = self._passed(pod, rows)
        known.fixed[rows] = self._fixed(pod, rows, passed)
        for plugin in self._plugins.varying:
            if plugin.score and plugin.scores(pod):
                self._asking = plugin.name
                values = plugin.score(self._table, pod, rows)
                raw = _raw(known, plugin, create=bool(values.any()))
                if raw is not None:
                    raw[rows] = values

    def _redo_row(self, pod: PodRecord, known: Evaluation, row: int) -> None:
        passed = known.passed[row] = self._passed_row(pod, row, known.row_filters)
        total = -1
        if passed:
            total = 0
            for plugin in known.row_scores:
                self._asking = plugin.name
                total += plugin.weight * plugin.score_row(self._table, pod, row)  # type: ignore[misc]  # it has one
        known.fixed[row] = total
        _moved(known, row, total)
        for plugin in self._plugins.varying:
            if plugin.score_row and plugin.scores(pod):
                self._asking = plugin.name
                value = plugin.score_row(self._table, pod, row)
                raw = _raw(known, plugin, create=bool(value))
                if raw is not None:
                    raw[row] = value

    def _passed_row(self, pod: PodRecord, row: int, filters: Sequence[PluginSpec]) -> bool:
        if not self._table.live[row] or not self._row_by_itself(pod, row, filters):
            return False
        if not len(self._table.nominations):
            return True
        others = self._table.nominations.on(self._table.names[row], pod.priority)
        if not others:
            return True
        with self._table.with_more(others, row):
            return self._row_by_itself(pod, row, filters)

    def _row_by_itself(self, pod: PodRecord, row: int, filters: Sequence[PluginSpec]) -> bool:
        for plugin in filters:
            self._asking = plugin.name
            if not plugin.filter_row(self._table, pod, row):  # type: ignore[misc]  # it has one
                return False
        return True

    def _passed(self, pod: PodRecord, rows: Rows) -> Bools:
        passed: Bools = self._table.live[rows].copy()
        for plugin in self._plugins.filters:
            if plugin.filter and plugin.applies(pod):
                self._asking = plugin.name
                passed &= plugin.filter(self._table, pod, rows)
        if len(self._table.nominations):
            self._leave_room_in(pod, rows, passed)
        return passed

    def _leave_room_in(self, pod: PodRecord, rows: Rows, passed: Bools) -> None:
        """Take out of `passed` the rows that pass only while the pods they are kept for are not there."""
        kept = {self._table.rows.get(name) for name in self._table.nominations.nodes()}
        numbers = range(rows.stop) if isinstance(rows, slice) else rows.tolist()
        for index, row in enumerate(numbers):
            if row in kept and passed[index]:
                passed[index] = self._passed_row(pod, row, self._row_filters(pod))

    def _fixed(self, pod: PodRecord, rows: Rows, passed: Bools) -> Ints:
        total = np.zeros(len(passed), dtype=np.int64)
        for plugin in self._plugins.fixed:
            if plugin.score and plugin.scores(pod):
                self._asking = plugin.name
                total += plugin.weight * plugin.score(self._table, pod, rows)
        total[~passed] = -1
        return total


def _best(evaluation: Evaluation, total: Ints) -> tuple[int, Sequence[int]]:
    """The largest entry of `total`, and the rows that have it. Remembered where `total` is the evaluation's own."""
    if total is not evaluation.fixed:
        best = int(total.max(initial=-1))
        return best, np.flatnonzero(total == best).tolist() if best >= 0 else ()
    levels = evaluation.levels
    if not levels:
        best = int(total.max(initial=-1))
        if best < 0:
            return best, ()
        levels.append((best, np.flatnonzero(total == best).tolist()))
    return levels[0]


def _moved(known: Evaluation, row: int, total: int) -> None:
    """Keep `levels` right after the entry of `row` became `total`."""
    levels = known.levels
    if not levels:
        return
    for index, (_, rows) in enumerate(levels):
        at = bisect_left(rows, row)
        if at < len(rows) and rows[at] == row:
            del rows[at]
            if not rows:
                del levels[index]
            break
    for index, (score, rows) in enumerate(levels):
        if total == score:
            rows.insert(bisect_left(rows, row), row)
            return
        if total > score:
            levels.insert(index, (total, [row]))
            del levels[_LEVELS_MAX:]
            return


def _raw(known: Evaluation, plugin: PluginSpec, *, create: bool) -> Ints | None:
    """The column of a plugin's raw scores; None where all are 0 and none is to be made."""
    for other, raw in known.varying:
        if other is plugin:
            return raw
    if not create:
        return None
    raw = np.zeros(known.size, dtype=np.int64)
    known.varying.append((plugin, raw))
    return raw


def normalized(raw: Ints, feasible: Bools, how: Normalize) -> Ints:
    """int64 in 0..100 where `feasible`; elsewhere meaningless."""
    largest = int(np.max(raw, where=feasible, initial=0))
    if how is Normalize.REVERSE:
        if largest == 0:
            return np.full(len(raw), SCORE_MAX, dtype=np.int64)
        return SCORE_MAX - SCORE_MAX * raw // largest
    return SCORE_MAX * raw // largest if largest else raw


def _kind_of(pod: PodRecord) -> Hashable:
    """Pods with equal kinds share an evaluation: nothing that a local plugin reads differs."""
    return (pod.shape, pod.node, pod.priority)


def _shared(pod: PodRecord) -> bool:
    """Whether why the pod fits nowhere depends on its kind alone."""
    return not (pod.shape.spread or pod.shape.terms or pod.claims or pod.devices or pod.gang)
