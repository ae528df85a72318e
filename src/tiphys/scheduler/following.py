"""What follows from a decision: a binding, an explanation, pods that have to leave, questions to extenders.

`act` says at once what can be said at once and returns the rest as a coroutine, for the component to run beside others.

Source: pkg/scheduler/schedule_one.go (bindingCycle, handleSchedulingFailure).
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from tiphys.api.errors import NotFound
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import Clock, rfc3339
from tiphys.client.events import Recorder
from tiphys.client.interface import Informer
from tiphys.scheduler.engine import Engine, Outcome
from tiphys.scheduler.extenders.consulting import Extenders
from tiphys.scheduler.metrics import ERROR, SchedulerMetrics
from tiphys.scheduler.metrics import UNSCHEDULABLE as REFUSED
from tiphys.scheduler.plugin import PluginError
from tiphys.scheduler.prebinding import PreBinding, PreBindingFailed
from tiphys.scheduler.preemption import Choice
from tiphys.scheduler.queue import QueuedPod
from tiphys.scheduler.writes import FAILURES, SCHEDULER_ERROR, UNSCHEDULABLE, Writes, failure_patch, truncated

log = logging.getLogger(__name__)

Call = Coroutine[Any, Any, None]


class Following:
    def __init__(
        self,
        engine: Engine,
        pods: Informer[Pod],
        writes: Writes,
        recorders: Mapping[str, Recorder],
        metrics: SchedulerMetrics,
        clock: Clock,
        extenders: Extenders,
        prebinding: PreBinding,
    ) -> None:
        """`recorders` by profile."""
        self._engine, self._pods, self._writes = engine, pods, writes
        self._recorders, self._metrics, self._clock = recorders, metrics, clock
        self._extenders, self._prebinding = extenders, prebinding

    def act(self, outcome: Outcome) -> Call | None:
        started_s = self._clock.monotonic()
        if outcome.consult:
            return self._consult(outcome, started_s)
        if outcome.decision.node:
            return self._bind(outcome.item, outcome.decision.node, started_s)
        if outcome.choices:
            return self._agree(outcome, started_s)
        return self._explain(outcome, started_s)

    async def _then(self, outcome: Outcome) -> None:
        call = self.act(outcome)
        if call is not None:
            await call

    # No node

    def _explain(self, outcome: Outcome, started_s: float) -> Call | None:
        item = outcome.item
        pod, scheduler = item.pod, item.record.profile
        self._metrics.attempted(item, ERROR if outcome.error else REFUSED, started_s)
        if outcome.error:
            log.warning("%s: %s", item.record, outcome.message)
        else:
            self._metrics.preempted(len(outcome.choice.victims) if outcome.choice is not None else 0)
        recorder = self._recorders[scheduler]
        recorder.event(pod, "Warning", "FailedScheduling", truncated(outcome.message), "Scheduling")
        nominated = outcome.choice.node if outcome.choice is not None else "" if outcome.lost_nomination else None
        reason = SCHEDULER_ERROR if outcome.error else UNSCHEDULABLE
        patch = failure_patch(pod, reason, outcome.message, rfc3339(self._clock.now()), nominated)
        if outcome.choice is not None:
            return self._make_room(item, outcome.choice, patch)
        return None if patch is None else self._say(pod, patch)

    async def _say(self, pod: Pod, patch: dict[str, Any]) -> None:
        await self._writes.status(pod, patch)

    async def _make_room(self, item: QueuedPod, choice: Choice, patch: dict[str, Any] | None) -> None:
        """Tell the victims to leave, then those that the node was kept for that it is no longer."""
        if patch is not None:
            await self._writes.status(item.pod, patch)
        scheduler = item.record.profile
        victims = [victim.pod for victim in choice.victims if not victim.terminating]
        done = await self._writes.evict_all(victims, scheduler)
        message = f"Preempted by pod {item.record.uid} on node {choice.node}"
        for victim in victims if done else ():
            self._recorders[scheduler].event(victim, "Normal", "Preempted", message, "Preempting")
        for displaced in self._engine.preempted(item, done=done):
            cleared = {"metadata": {"uid": displaced.uid}, "status": {"nominatedNodeName": None}}
            await self._writes.status(displaced.pod, cleared)

    # Extenders

    async def _consult(self, outcome: Outcome, started_s: float) -> None:
        item = outcome.item
        try:
            verdict = await self._extenders.consult(item.record, outcome.consult)
        except PluginError as error:
            await self._then(self._engine.broken(item, error))
            return
        resumed = self._engine.resume(item, verdict)
        if resumed is not None:
            await self._then(resumed)

    async def _agree(self, outcome: Outcome, started_s: float) -> None:
        """Let extenders say which of the nodes will do, and who has to leave there."""
        try:
            choice = await self._extenders.preempt(outcome.item.record, outcome.choices, outcome.choice)
        except PluginError as error:
            self._engine.make_room(outcome, None)
            outcome.message, outcome.error = str(error), True
        else:
            self._engine.make_room(outcome, choice)
        call = self._explain(outcome, started_s)
        if call is not None:
            await call

    # A node

    async def _bind(self, item: QueuedPod, node: str, started_s: float) -> None:
        record = item.record
        try:
            if record.claims or record.devices:
                await self._prebinding.prepare(record, node)
            if not await self._extenders.bind(record, node):
                await self._writes.bind(item.pod, node)
        except NotFound:
            log.info("%s: gone before it was bound to %s", record, node)
            self._prebinding.withdraw(record)
            self._engine.dropped(item)
        except (*FAILURES, PluginError, PreBindingFailed) as error:
            log.warning("%s: binding to node %s failed, will try again: %s", record, node, error)
            self._metrics.attempted(item, ERROR, started_s)
            self._prebinding.withdraw(record)
            self._engine.failed(item, self._pods.get(record.name, record.namespace))
        else:
            self._metrics.bound(item, started_s)
            message = f"Successfully assigned {record.namespace}/{record.name} to {node}"
            self._recorders[record.profile].event(item.pod, "Normal", "Scheduled", message, "Binding")
