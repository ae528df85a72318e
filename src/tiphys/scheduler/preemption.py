"""Preemption: which pods of lower priority would have to leave a node for a pod that fits nowhere.

A trial supposes that all lower pods of a node are gone, and then lets as many come back as still leave room, the most
important first and those with a disruption budget before the others: who does not come back is a victim. Among the
nodes where that works the one with the least harm is taken (`_CRITERIA`).

The outcome of a trial is kept per kind of pod and row until that row changes, so that a thousand pods that preempt
side by side try each node once; choosing is five passes over columns.

Source: pkg/scheduler/framework/preemption/preemption.go, plugins/defaultpreemption/default_preemption.go.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tiphys.api.kinds.core.pod.facts import condition
from tiphys.base.clock import parse_rfc3339
from tiphys.scheduler.budgets import Budgets
from tiphys.scheduler.columns import Ints
from tiphys.scheduler.config.args import DefaultPreemptionArgs
from tiphys.scheduler.counts import ANTI
from tiphys.scheduler.cycle import Cycle
from tiphys.scheduler.diagnosis import NOT_AVAILABLE, Diagnosis, count, explained, histogram
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable

PREEMPTION = "preemption: {}"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."
BY_SCHEDULER = "PreemptionByScheduler"
"""The reason of the condition DisruptionTarget of victims."""

_OFFSET = 2**31
"""Added to priorities before they are summed: fewer victims are better, even of negative priority."""
_NOT_STARTED_S = 2**40
_UNTRIED, _WORKS, _FAILS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Choice:
    """A node that the pod would fit on without `victims`."""

    node: str
    victims: tuple[PodRecord, ...]
    """The most important first."""
    violations: int = 0
    """How many of them a disruption budget protects."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of trying to make room."""

    choice: Choice | None = None
    message: str = ""
    """For the user, when there is no choice."""
    choices: tuple[Choice, ...] = ()
    """All that were found, when they were asked for."""
    keep_nomination: bool = False
    """Nothing is known that speaks against the node the pod is nominated for."""


@dataclass(slots=True)
class _Trials:
    """Outcomes by row for one kind of pod."""

    position: int
    """Where in the table's log of changes they were current."""
    version: object
    state: npt.NDArray[np.int8]
    harm: Ints
    """[criterion, row]: less is better, the first criterion first."""
    victims: dict[int, tuple[PodRecord, ...]] = field(default_factory=dict)
    reasons: dict[int, Mapping[str, int]] = field(default_factory=dict)


def started_s(pod: PodRecord) -> int:
    """When the pod started, in seconds; far in the future when it has not."""
    text = pod.pod.status.start_time
    return _seconds(text) if text else _NOT_STARTED_S


@lru_cache(maxsize=8192)
def _seconds(text: str) -> int:
    return int(parse_rfc3339(text).timestamp())


def _importance(pod: PodRecord) -> tuple[int, int]:
    """More important pods sort first: of higher priority, then running for longer."""
    return (-pod.priority, started_s(pod))


_CRITERIA: tuple[Callable[[tuple[PodRecord, ...], int], int], ...] = (
    lambda _victims, violations: violations,
    lambda victims, _: victims[0].priority,
    lambda victims, _: sum(victim.priority + _OFFSET for victim in victims),
    lambda victims, _: len(victims),
    lambda victims, _: -min(started_s(v) for v in victims if v.priority == victims[0].priority),
)
"""How bad it is to take a node: budgets broken, the highest priority that suffers, all priorities together, the number
of victims, and last how long ago the first of the highest started (the later the better)."""


def least_harm(choices: Sequence[Choice]) -> Choice:
    """The choice that does the least harm."""
    return min(choices, key=lambda c: [criterion(c.victims, c.violations) for criterion in _CRITERIA])


class Preemption:
    """For one profile. Limits: remembers trials of `kinds_max` kinds of pods."""

    def __init__(
        self,
        table: NodeTable,
        cycle: Cycle,
        budgets: Budgets,
        args: DefaultPreemptionArgs,
        *,
        offset: Callable[[int], int] = random.randrange,
        kinds_max: int = 16,
    ) -> None:
        self._table, self._cycle, self._budgets, self._args = table, cycle, budgets, args
        self._offset = offset
        self._kinds_max = kinds_max
        self._trials: dict[Hashable, _Trials] = {}

    def attempt(self, pod: PodRecord, diagnosis: Diagnosis, *, all_choices: bool = False) -> Attempt:
        """Find the victims with the least harm. Changes nothing but what is remembered."""
        why_not = self._not_eligible(pod, diagnosis)
        if why_not:
            return Attempt(message=PREEMPTION.format(why_not), keep_nomination=True)
        trials = self._current(pod)
        rows = diagnosis.resolvable
        self._try(pod, trials, rows)
        works = rows[trials.state[rows] == _WORKS]
        if not len(works):
            return Attempt(message=self._hopeless(diagnosis, trials))
        best = self._choice(trials, self._least_harm(trials, works))
        every = tuple(self._choice(trials, row) for row in works.tolist()) if all_choices else ()
        return Attempt(choice=best, choices=every)

    def _not_eligible(self, pod: PodRecord, diagnosis: Diagnosis) -> str:
        if pod.pod.spec.preemption_policy == "Never":
            return NEVER
        row = self._table.rows.get(pod.nominated)
        if row is None or row not in diagnosis.resolvable:
            return ""
        leaving = any(p.priority < pod.priority and _preempted(p) for p in self._table.pods_on(pod.nominated))
        return TERMINATING if leaving else ""

    def _hopeless(self, diagnosis: Diagnosis, trials: _Trials) -> str:
        reasons: dict[str, int] = {}
        for row in diagnosis.resolvable.tolist():
            count(reasons, trials.reasons[row])
        count(reasons, {NOT_HELPFUL: diagnosis.nodes - len(diagnosis.resolvable)})
        text = NOT_AVAILABLE.format(diagnosis.nodes)
        return PREEMPTION.format(f"{text} {histogram(reasons)}.")

    # Trials

    def _current(self, pod: PodRecord) -> _Trials:
        """What is known about this kind of pod, without what changed since."""
        key = (pod.shape, pod.priority)
        known = self._trials.pop(key, None)
        version = (self._budgets.version, self._table.high)
        changed = None
        if known is not None and known.version == version and self._by_row(pod):
            changed = self._table.changes_since(known.position)
        if known is None or changed is None:
            if len(self._trials) >= self._kinds_max:
                del self._trials[next(iter(self._trials))]
            high = self._table.high
            known = _Trials(0, version, np.zeros(high, dtype=np.int8), np.zeros((len(_CRITERIA), high), dtype=np.int64))
        else:
            known.state[changed] = _UNTRIED
        known.position = self._table.position
        self._trials[key] = known
        return known

    def _by_row(self, pod: PodRecord) -> bool:
        """Whether what happens on a node depends on that node alone."""
        shape = pod.shape
        if shape.spread or shape.terms or pod.group or pod.claims or pod.devices:
            return False
        return not any(tally.kind == ANTI and tally.rows for tally in self._table.terms.about(pod.identity))

    def _try(self, pod: PodRecord, trials: _Trials, rows: npt.NDArray[np.intp]) -> None:
        """Try rows until there are enough that work, one of them without breaking a budget."""
        if not len(rows):
            return
        share = len(rows) * self._args.min_candidate_nodes_percentage // 100
        wanted = min(max(share, self._args.min_candidate_nodes_absolute), len(rows))
        state = trials.state[rows]
        works = rows[state == _WORKS]
        found = len(works)
        harmless = int(np.count_nonzero(trials.harm[0, works] == 0))
        untried = rows[state == _UNTRIED]
        if found >= wanted and harmless:
            return
        for row in self._from_offset(untried):
            if self._try_row(pod, trials, row):
                found += 1
                harmless += trials.harm[0, row] == 0
                if found >= wanted and harmless:
                    return

    def _from_offset(self, rows: npt.NDArray[np.intp]) -> Iterator[int]:
        start = self._offset(len(rows)) if len(rows) else 0
        for i in range(len(rows)):
            yield int(rows[(start + i) % len(rows)])

    def _try_row(self, pod: PodRecord, trials: _Trials, row: int) -> bool:
        found = self._victims(pod, row)
        if isinstance(found, dict):
            trials.state[row], trials.reasons[row] = _FAILS, found
            return False
        victims, violations = found
        trials.state[row], trials.victims[row] = _WORKS, victims
        trials.harm[:, row] = [criterion(victims, violations) for criterion in _CRITERIA]
        return True

    def _victims(self, pod: PodRecord, row: int) -> tuple[tuple[PodRecord, ...], int] | dict[str, int]:
        """(victims, how many of them break a budget), or why removing pods does not help."""
        table = self._table
        lower = [p for p in table.pods_on(table.names[row]) if p.priority < pod.priority]
        if not lower:
            return {NO_VICTIMS: 1}
        lower.sort(key=_importance)
        protected, others = self._budgets.split(lower)
        victims: list[PodRecord] = []
        for victim in lower:
            table.suppose(victim, row, -1)
        away = {victim.uid: victim for victim in lower}
        try:
            if not self._cycle.fits(pod, row):
                return self._why(pod, row)
            violations = 0
            for victim in (*protected, *others):
                table.suppose(victim, row, 1)
                if self._cycle.fits(pod, row):
                    del away[victim.uid]
                else:
                    table.suppose(victim, row, -1)
                    victims.append(victim)
                    violations += victim in protected
        finally:
            for victim in away.values():
                table.suppose(victim, row, 1)
        if not victims:  # it fits as it is: what stood against it is on other nodes
            return {NO_VICTIMS: 1}
        return tuple(sorted(victims, key=_importance)), violations

    def _why(self, pod: PodRecord, row: int) -> dict[str, int]:
        table = self._table
        with table.with_more(table.nominations.on(table.names[row], pod.priority), row):
            plugin = self._cycle.refuser(pod, row)
            if plugin is None:
                return {NOT_HELPFUL: 1}
            return dict(explained(table, plugin, pod, np.array([row], dtype=np.intp)))

    def _least_harm(self, trials: _Trials, rows: npt.NDArray[np.intp]) -> int:
        for harm in trials.harm:
            if len(rows) == 1:
                break
            values = harm[rows]
            rows = rows[values == values.min()]
        return int(rows[0])

    def _choice(self, trials: _Trials, row: int) -> Choice:
        return Choice(self._table.names[row], trials.victims[row], int(trials.harm[0, row]))


def _preempted(pod: PodRecord) -> bool:
    """About to leave because the scheduler wanted it."""
    if not pod.terminating:
        return False
    target = condition(pod.pod, "DisruptionTarget")
    return target is not None and target.status == "True" and target.reason == BY_SCHEDULER
