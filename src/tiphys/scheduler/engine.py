"""The scheduler without I/O: events go in, decisions come out.

Holds the table, the queue and a cycle per profile, and keeps them consistent (`intake.py`): a pod is in the queue, or
in the table, or with the caller between `step` and `bound`/`failed`, never in two places. Everything runs on one loop
and returns at once. `scheduler.py` is the shell that talks to the API.

Source: pkg/scheduler/schedule_one.go, schedule_one_podgroup.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.scheduler.budgets import Budgets
from tiphys.scheduler.cycle import Cycle, Decision, Pick
from tiphys.scheduler.diagnosis import Diagnosis
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.extenders.verdict import EXTENDER, Verdict
from tiphys.scheduler.gangs import Gangs
from tiphys.scheduler.intake import Intake
from tiphys.scheduler.plugin import PluginError
from tiphys.scheduler.plugins import dynamic_resources, volume_binding
from tiphys.scheduler.pods import Group, PodRecord
from tiphys.scheduler.preemption import Attempt, Choice, Preemption
from tiphys.scheduler.profile import DEFAULT, Profile
from tiphys.scheduler.queue import QueuedPod, SchedulingQueue
from tiphys.scheduler.settings import SchedulerSettings
from tiphys.scheduler.table import NodeTable

GroupOf = Callable[[PodRecord], Group | None]
Interested = Callable[[PodRecord], bool]
"""Whether extenders are to be asked about a pod."""


class Outcome(msgspec.Struct, eq=False):
    """One decision. With a node, the pod is assumed there, and the caller owes `bound` or `failed`."""

    item: QueuedPod
    decision: Decision
    message: str = ""
    """Why there is no node, all of it."""
    error: bool = False
    """It was no refusal: a plugin failed. The pod is tried again by itself."""
    choice: Choice | None = None
    """Who has to leave for it. The pod is held until `preempted`."""
    choices: tuple[Choice, ...] = ()
    """All nodes that would do, where extenders are to be asked: the caller owes `make_room`."""
    lost_nomination: bool = False
    """It had been nominated for a node, and is no more."""
    consult: tuple[str, ...] = ()
    """The nodes that fit, where extenders are to be asked first: the caller owes `resume` or `failed`."""


@dataclass(slots=True)
class _Placing:
    """What places the pods of one profile."""

    cycle: Cycle
    preemption: Preemption | None
    profile: Profile = field(repr=False)


class Engine(Intake):
    def __init__(
        self,
        clock: Clock,
        settings: SchedulerSettings | None = None,
        *,
        profiles: Sequence[Profile] = (DEFAULT,),
        group_of: GroupOf | None = None,
        pick: Pick | None = None,
        interested: Interested | None = None,
        preempt_interested: Interested | None = None,
    ) -> None:
        settings = settings or SchedulerSettings()
        table, gangs = NodeTable(), Gangs()
        queue = SchedulingQueue(
            clock,
            {profile.name: profile.plugins for profile in profiles},
            gated=self._gated,
            backoff=Backoff(first_s=settings.backoff_first_s, cap_s=settings.backoff_cap_s),
            waiting_max_s=settings.waiting_max_s,
            capacity=settings.queue_max,
        )
        super().__init__(table, queue, gangs, frozenset(profile.name for profile in profiles))
        self.budgets = Budgets()
        self._placing: dict[str, _Placing] = {}
        for profile in profiles:
            cycle = Cycle(table, profile.plugins, pick)
            args = profile.preemption
            preemption = Preemption(table, cycle, self.budgets, args) if args is not None else None
            self._placing[profile.name] = _Placing(cycle, preemption, profile)
        self._group_of: GroupOf = group_of or (lambda _pod: None)
        self._interested: Interested = interested or (lambda _pod: False)
        self._preempt_interested: Interested = preempt_interested or (lambda _pod: False)
        self._ready: deque[Outcome] = deque()

    # Decisions

    def step(self) -> Outcome | None:
        """Decide for the next pod. None when there is none to decide for."""
        if self._ready:
            return self._ready.popleft()
        item = self.queue.pop()
        if item is None:
            return None
        if item.record.gang and self.gangs.minimum(item.record):
            self._ready.extend(self._together(item))
            return self._ready.popleft()
        if self._interested(item.record):
            return self._before_extenders(item)
        return self._outcome(item, None)

    def _before_extenders(self, item: QueuedPod) -> Outcome:
        record = item.record
        placing = self._placing[record.profile]
        self._prepare(record)
        try:
            names, decision = placing.cycle.weigh(record)
        except PluginError as error:
            return self._broken(item, error)
        if decision is not None:
            return self._refused(item, placing, decision)
        if record.nominated:
            self.table.nominate(record, record.nominated)
        return Outcome(item, Decision(""), consult=tuple(names))

    def resume(self, item: QueuedPod, verdict: Verdict) -> Outcome | None:
        """Decide with what extenders said. None: the pod is gone, or bound, meanwhile."""
        if item.record.uid in self.table.pods:
            return None
        return self._outcome(item, verdict)

    def broken(self, item: QueuedPod, error: PluginError) -> Outcome:
        """Extenders did not answer as they should."""
        return self._broken(item, error)

    def _prepare(self, record: PodRecord) -> None:
        record.group = self._group_of(record)
        if record.nominated:  # the room that is kept for it is its own
            self.table.nominate(record, "")

    def _outcome(self, item: QueuedPod, verdict: Verdict | None) -> Outcome:
        record = item.record
        placing = self._placing[record.profile]
        self._prepare(record)
        try:
            decision = placing.cycle.decide(record, verdict)
        except PluginError as error:
            return self._broken(item, error)
        if not decision.node:
            return self._refused(item, placing, decision)
        if record.claims:
            self.table.volumes.assume(record, volume_binding.plan(self.table, record, decision.node))
        if record.devices:
            self.table.devices.assume(record.uid, dynamic_resources.allocations(self.table, record, decision.node))
        record.node = decision.node
        self.table.assume(record)
        return Outcome(item, decision)

    def _refused(self, item: QueuedPod, placing: _Placing, decision: Decision) -> Outcome:
        record = item.record
        diagnosis = decision.diagnosis or Diagnosis.no_nodes()
        attempt = Attempt(keep_nomination=True)
        if placing.preemption is not None and diagnosis.nodes:
            asked = self._preempt_interested(record)
            try:
                attempt = placing.preemption.attempt(record, diagnosis, all_choices=asked)
            except PluginError as error:
                return self._broken(item, error)
        outcome = Outcome(item, decision, message=_joined(diagnosis.message(), attempt.message))
        plugins = frozenset() if EXTENDER in diagnosis.plugins else diagnosis.plugins
        if attempt.choices:
            outcome.choices = attempt.choices
        elif attempt.choice is not None:
            outcome.choice = attempt.choice
        self.queue.park(item, plugins, hold=attempt.choice is not None)
        if attempt.choice is not None and not attempt.choices:
            self._nominate(record, attempt.choice.node)
        elif record.nominated and attempt.keep_nomination:
            self.table.nominate(record, record.nominated)
        elif record.nominated:
            record.nominated = ""
            outcome.lost_nomination = True
        return outcome

    def _broken(self, item: QueuedPod, error: PluginError) -> Outcome:
        if item.record.nominated:
            self.table.nominate(item.record, item.record.nominated)
        self.queue.fail(item)
        return Outcome(item, Decision(""), message=str(error), error=True)

    def make_room(self, outcome: Outcome, choice: Choice | None) -> None:
        """Extenders agreed to `choice`; None: to no node."""
        outcome.choices, outcome.choice = (), choice
        if choice is None:
            self.queue.let_go(outcome.item.record.uid)
        else:
            self._nominate(outcome.item.record, choice.node)

    def preempted(self, item: QueuedPod, *, done: bool) -> list[PodRecord]:
        """The victims were told to leave, or not (`done` False: try again at once).

        Returns pods of lower priority that the node had been kept for: they are not nominated any more.
        """
        record = item.record
        self.queue.let_go(record.uid, now=not done)
        displaced = [
            other for other in self.table.nominations.on(record.nominated, -(2**63)) if other.priority < record.priority
        ]
        for other in displaced:
            other.nominated = ""
            self.table.nominate(other, "")
            self.queue.activate(other.uid)
        return displaced

    # Groups

    def _together(self, item: QueuedPod) -> list[Outcome]:
        """Decide for all waiting pods of a group: enough of them find a node, or none gets one."""
        items = [item]
        for other in self.gangs.queued(item.record.namespace, item.record.gang):
            if other is not item and other.record.uid in self.queue and not self._gated(other.record):
                self.queue.take(other)
                items.append(other)
        items.sort(key=lambda i: (-i.record.priority, i.came_s))
        minimum = self.gangs.minimum(item.record)
        placed = self.gangs.placed_count(item.record)
        outcomes: list[Outcome] = []
        for one in items:
            outcome = self._outcome(one, None)
            outcomes.append(outcome)
            placed += bool(outcome.decision.node)
        if placed >= minimum:
            for outcome in outcomes:
                if outcome.decision.node:
                    self.gangs.placed(outcome.item.record)
            return outcomes
        return [self._withdrawn(outcome, minimum, placed) for outcome in outcomes]

    def _withdrawn(self, outcome: Outcome, minimum: int, placed: int) -> Outcome:
        """Of a pod whose group found too few nodes."""
        if not outcome.decision.node:
            return outcome
        item = outcome.item
        self._give_back(item.record.uid)
        item.record.node = ""
        self.queue.park(item, frozenset())
        message = f"pod group {item.record.gang}: only {placed} of at least {minimum} pods find a node"
        return Outcome(item, Decision(""), message=message)

    # What became of decisions

    def failed(self, item: QueuedPod, newest: Pod | None) -> None:
        """The binding did not happen: free the node, and try again after a rest, with the `newest` state if known."""
        record = item.record
        if newest is not None and newest.metadata.uid == record.uid:
            item.pod = newest
        if record.uid not in self.table.assumed:
            return  # seen bound, or deleted, meanwhile
        self._give_back(record.uid)
        self.gangs.displaced(record.uid)
        self.queue.wake(Change(Wake.POD_REMOVED, pod=record))
        item.record = self.table.record(item.pod)
        self.queue.fail(item)

    def dropped(self, item: QueuedPod) -> None:
        """The pod is gone from the API: free the node and forget it."""
        self._give_back(item.record.uid)
        self.gangs.forget(item.record.uid)

    def _give_back(self, uid: str) -> None:
        """What was assumed for a pod is free again."""
        self.table.forget(uid)
        self.table.volumes.forget(uid)
        self.table.devices.forget(uid)


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
