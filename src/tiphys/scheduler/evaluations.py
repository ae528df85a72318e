"""What is known about one kind of pod on every node, kept current row by row.

Pods that are alike (same `Shape`, node and priority) share one `Evaluation`: which rows pass all local filters, and the
weighted sum of the local scores. When a few rows changed since it was last used, typically the one that took the
previous pod, only those are worked out again. What depends on the whole cluster (spreading, affinity, volumes) is not
in it: `cycle.py` asks about that for every pod.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Bools, Ints, Rows
from tiphys.scheduler.diagnosis import Diagnosis
from tiphys.scheduler.plugin import Normalize, PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable

_ROWS_ONE_BY_ONE = 4
"""Up to about so many changed rows, row by row is cheaper than whole columns."""

_LEVELS_MAX = 8


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
    row_varying: Sequence[PluginSpec] = ()
    """The local plugins that have something to say about this kind of pod."""
    refusers: Sequence[PluginSpec] = ()
    global_filters: Sequence[PluginSpec] = ()
    global_scores: Sequence[PluginSpec] = ()
    """Those that look at the whole cluster."""
    levels: list[tuple[int, list[int]]] = field(default_factory=list)
    """The largest entries of `fixed`, largest first, each with all rows that have it, in order. Empty: not known."""
    diagnosis: Diagnosis | None = None
    """Why no node fits, while nothing changed."""


@dataclass(slots=True)
class Plugins:
    """The profile, sorted by what has to be run when."""

    every: Sequence[PluginSpec]
    asking: str = ""
    """The one that was called last: where one raises, it is named."""
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


class Evaluations:
    """The evaluations of one table by one profile.

    Limits: keeps `evaluations_max`, the one unused for longest goes (24 bytes per node and evaluation).
    """

    def __init__(self, table: NodeTable, plugins: Plugins, *, evaluations_max: int = 64) -> None:
        self._table = table
        self._plugins = plugins
        self._known: dict[Hashable, Evaluation] = {}
        self._known_max = evaluations_max

    def of(self, pod: PodRecord) -> Evaluation:
        """The evaluation of the pod's kind, as of now."""
        key = kind_of(pod)
        known = self._known.pop(key, None)
        if known is None and len(self._known) >= self._known_max:
            del self._known[next(iter(self._known))]
        evaluation = self._known[key] = self._current(pod, known)
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
        row_varying = [p for p in self._plugins.varying if p.score_row and p.scores(pod)]
        varying = []
        for plugin in row_varying:
            self._plugins.asking = plugin.name
            varying.append((plugin, plugin.score(self._table, pod, every)))  # type: ignore[misc]  # it has one
        return Evaluation(
            size=size,
            position=self._table.position,
            passed=passed,
            fixed=self._fixed(pod, every, passed),
            # Equal raw scores for all normalise to the same for all, which changes no choice.
            varying=[(plugin, raw) for plugin, raw in varying if raw.any()],
            row_filters=self._row_filters(pod),
            row_scores=[p for p in self._plugins.fixed if p.score_row and p.scores(pod)],
            row_varying=row_varying,
            refusers=[p for p in self._plugins.refusers if p.applies(pod)],
            global_filters=[p for p in self._plugins.global_filters if p.applies(pod)],
            global_scores=[p for p in self._plugins.global_scores if p.scores(pod)],
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
        for plugin in known.row_varying:
            self._plugins.asking = plugin.name
            values = plugin.score(self._table, pod, rows)  # type: ignore[misc]  # it has one
            raw = _raw(known, plugin, create=bool(values.any()))
            if raw is not None:
                raw[rows] = values

    def _redo_row(self, pod: PodRecord, known: Evaluation, row: int) -> None:
        passed = known.passed[row] = self._passed_row(pod, row, known.row_filters)
        total = -1
        if passed:
            total = 0
            for plugin in known.row_scores:
                self._plugins.asking = plugin.name
                total += plugin.weight * plugin.score_row(self._table, pod, row)  # type: ignore[misc]  # it has one
        known.fixed[row] = total
        _moved(known, row, total)
        for plugin in known.row_varying:
            self._plugins.asking = plugin.name
            value = plugin.score_row(self._table, pod, row)  # type: ignore[misc]  # it has one
            raw = _raw(known, plugin, create=bool(value))
            if raw is not None:
                raw[row] = value

    def _passed_row(self, pod: PodRecord, row: int, filters: Sequence[PluginSpec]) -> bool:
        if not self._table.live[row] or not self._row_by_itself(pod, row, filters):
            return False
        if not self._table.nominations.node_of:
            return True
        others = self._table.nominations.on(self._table.names[row], pod.priority)
        if not others:
            return True
        with self._table.with_more(others, row):
            return self._row_by_itself(pod, row, filters)

    def _row_by_itself(self, pod: PodRecord, row: int, filters: Sequence[PluginSpec]) -> bool:
        for plugin in filters:
            self._plugins.asking = plugin.name
            if not plugin.filter_row(self._table, pod, row):  # type: ignore[misc]  # it has one
                return False
        return True

    def _passed(self, pod: PodRecord, rows: Rows) -> Bools:
        passed: Bools = self._table.live[rows].copy()
        for plugin in self._plugins.filters:
            if plugin.filter and plugin.applies(pod):
                self._plugins.asking = plugin.name
                passed &= plugin.filter(self._table, pod, rows)
        if self._table.nominations.node_of:
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
                self._plugins.asking = plugin.name
                total += plugin.weight * plugin.score(self._table, pod, rows)
        total[~passed] = -1
        return total


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


def kind_of(pod: PodRecord) -> Hashable:
    """Pods with equal kinds share an evaluation: no local plugin, nor what decides who is asked at all, reads more."""
    return (pod.shape, pod.node, pod.priority, not pod.claims, pod.devices, pod.group is None)
