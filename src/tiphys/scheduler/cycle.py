"""Choosing a node: the table and a pod in, a decision out. Nothing is written, waited for or looked up elsewhere.

Pods that are alike share one evaluation of all nodes (`evaluations.py`). What is left per pod is to ask the plugins
that look at the whole cluster, where they have something to say, and to find the maximum of one column.

    for pod in batch:                       # about 20 us each on 5,000 nodes
        decision = cycle.decide(pod)
        table.assume(pod placed on decision.node)     # logs one changed row

Ties are broken by `pick`, so the same table and the same `pick` give the same decision.

Source: pkg/scheduler/schedule_one.go (schedulePod); all nodes are scored, so there is no percentageOfNodesToScore.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Bools, Ints
from tiphys.scheduler.diagnosis import Diagnosis, diagnose
from tiphys.scheduler.evaluations import Evaluation, Evaluations, Plugins, kind_of
from tiphys.scheduler.extenders.verdict import Verdict
from tiphys.scheduler.plugin import SCORE_MAX, Normalize, PluginError, PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable

Pick = Callable[[int], int]
"""Given a number of equally good nodes, the index of the one to take."""


class Decision(msgspec.Struct, frozen=True):
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


class Cycle:
    """Decides for one table with one profile.

    A plugin that raises makes `decide` raise PluginError with its name.
    Limits: keeps `evaluations_max` evaluations.
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
        self._row_filters: tuple[Hashable, Sequence[PluginSpec]] = (None, ())
        """What has something to say about the kind of pod that was asked about last."""
        self._evaluations = Evaluations(table, self._plugins, evaluations_max=evaluations_max)

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
            raise PluginError(self._plugins.asking, f"{type(error).__name__}: {error}") from error

    def weigh(self, pod: PodRecord) -> tuple[list[str], Decision | None]:
        """The names of all nodes that fit, for extenders to look at; or the decision, when there are none."""
        try:
            self._plugins.asking = ""
            if not self._table.count:
                return [], self._decide(pod, None)
            evaluation = self._evaluations.of(pod)
            if self._refused_at_all(pod, evaluation):
                return [], self._decide(pod, None)
            rows = np.flatnonzero(self._feasible(pod, evaluation))
            names = [self._table.names[row] for row in rows.tolist()]
            return names, None if names else self._decide(pod, None)
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(self._plugins.asking, f"{type(error).__name__}: {error}") from error

    def _decide(self, pod: PodRecord, verdict: Verdict | None) -> Decision:
        if not self._table.count:
            return Decision("", diagnosis=Diagnosis.no_nodes())
        evaluation = self._evaluations.of(pod)
        if evaluation.refusers and self._refused_at_all(pod, evaluation):
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
        row = int(ties[self._pick(len(ties)) if len(ties) > 1 else 0])
        return Decision(self._table.names[row], score=best, feasible=int(np.count_nonzero(feasible)))

    def _refused_at_all(self, pod: PodRecord, evaluation: Evaluation) -> bool:
        for plugin in evaluation.refusers:
            if plugin.refuse:
                self._plugins.asking = plugin.name
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
        self._plugins.asking = plugin.name

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
        kind = kind_of(pod)
        if self._row_filters[0] != kind:  # preemption asks about one pod again and again
            self._row_filters = (kind, [p for p in self._plugins.row_filters if p.applies(pod)])
        for plugin in self._row_filters[1]:
            self._plugins.asking = plugin.name
            if not plugin.filter_row(self._table, pod, row):  # type: ignore[misc]  # it has one
                return plugin
        return None

    def _feasible(self, pod: PodRecord, evaluation: Evaluation) -> Bools:
        feasible = evaluation.passed
        for plugin in evaluation.global_filters:
            if plugin.filter_among:
                self._plugins.asking = plugin.name
                passed = plugin.filter_among(self._table, pod, feasible)
                if passed is not None:
                    feasible = feasible & passed
        if self._table.nominations.node_of and feasible is not evaluation.passed:
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
        for plugin in evaluation.global_scores:
            if plugin.score_among:
                self._plugins.asking = plugin.name
                part = plugin.score_among(self._table, pod, feasible)
                if part is not None:
                    total = total + plugin.weight * part
        if total is not evaluation.fixed or feasible is not evaluation.passed:
            total = np.where(feasible, total, -1)
        return total


def _best(evaluation: Evaluation, total: Ints) -> tuple[int, Sequence[int] | npt.NDArray[np.intp]]:
    """The largest entry of `total`, and the rows that have it. Remembered where `total` is the evaluation's own."""
    if total is not evaluation.fixed:
        best = int(total.max(initial=-1))
        return best, np.flatnonzero(total == best) if best >= 0 else ()
    levels = evaluation.levels
    if not levels:
        best = int(total.max(initial=-1))
        if best < 0:
            return best, ()
        levels.append((best, np.flatnonzero(total == best).tolist()))
    return levels[0]


def normalized(raw: Ints, feasible: Bools, how: Normalize) -> Ints:
    """int64 in 0..100 where `feasible`; elsewhere meaningless."""
    largest = int(np.max(raw, where=feasible, initial=0))
    if how is Normalize.REVERSE:
        if largest == 0:
            return np.full(len(raw), SCORE_MAX, dtype=np.int64)
        return SCORE_MAX - SCORE_MAX * raw // largest
    return SCORE_MAX * raw // largest if largest else raw


def _shared(pod: PodRecord) -> bool:
    """Whether why the pod fits nowhere depends on its kind alone."""
    return not (pod.shape.spread or pod.shape.terms or pod.claims or pod.devices or pod.gang)
