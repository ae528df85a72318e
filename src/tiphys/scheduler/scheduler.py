"""The scheduler as a component: informers in, bindings, conditions and events out.

`run` feeds the engine from informers, takes decisions in short turns, and lets many bindings be under way at once:
a decision assumes the pod on its node at once, so the next one need not wait for the API. A binding that fails gives
the room back and the pod another try.

numpy is imported in a thread when `run` starts: the API server beside us is ready before it.

Source: pkg/scheduler/{scheduler,schedule_one,eventhandlers}.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import math
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from tiphys.api.errors import ApiError, NotFound
from tiphys.api.kinds import NODE, POD, REPLICASET, SERVICE
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.schema import Binding, Pod
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.types import LabelSelector, ObjectMeta, Status
from tiphys.base.clock import Clock, rfc3339
from tiphys.client.events import Recorder
from tiphys.client.interface import Client, EventType, Informer
from tiphys.scheduler.settings import SchedulerSettings

if TYPE_CHECKING:
    from tiphys.scheduler.engine import Engine, Outcome
    from tiphys.scheduler.queue import QueuedPod

log = logging.getLogger(__name__)

NOTE_MAX = 1024
"""The longest event message the API takes."""


class Scheduler:
    def __init__(
        self, client: Client, clock: Clock, recorder: Recorder, settings: SchedulerSettings | None = None
    ) -> None:
        self._client, self._clock, self._recorder = client, clock, recorder
        self._settings = settings or SchedulerSettings()
        self._work = asyncio.Event()
        """There may be a decision to take."""
        self._aim = asyncio.Event()
        """A rest ends before `_aim_s`, which the timer waits for."""
        self._aim_s = math.inf
        self._in_flight = 0
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine | None:
        """The decisions' side, once `run` has loaded it: for metrics and tests."""
        return self._engine

    async def run(self) -> None:
        """Place pods until cancelled. On the way out, calls under way are cancelled: what they bound, stays bound."""
        nodes, pods = self._client.informer(NODE), self._client.informer(POD)
        await asyncio.to_thread(importlib.import_module, "tiphys.scheduler.engine")
        engine = self._engine = self._build()

        def on_node(change: EventType, old: Node | None, new: Node | None) -> None:
            engine.on_node(change, old, new)
            self._work.set()

        def on_pod(change: EventType, old: Pod | None, new: Pod | None) -> None:
            engine.on_pod(change, old, new)
            self._work.set()

        with contextlib.ExitStack() as subscriptions:
            subscriptions.callback(nodes.subscribe(on_node))
            subscriptions.callback(pods.subscribe(on_pod))
            await nodes.wait_synced()
            await pods.wait_synced()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._timer(engine), name="scheduler timer")
                await self._decide(engine, pods, tasks)

    def _build(self) -> Engine:
        from tiphys.scheduler.engine import Engine
        from tiphys.scheduler.spreading import DefaultGroups

        services, replicasets = self._client.informer(SERVICE), self._client.informer(REPLICASET)

        def replicaset_selector(namespace: str, name: str) -> LabelSelector | None:
            found = replicasets.get(name, namespace)
            return None if found is None else found.spec.selector

        groups = DefaultGroups(services, {("apps/v1", "ReplicaSet"): replicaset_selector})
        services.subscribe(groups.on_service)
        return Engine(self._clock, self._settings, group_of=groups.of)

    # Turns

    async def _decide(self, engine: Engine, pods: Informer[Pod], tasks: asyncio.TaskGroup) -> None:
        settings = self._settings
        while True:
            await self._work.wait()
            self._work.clear()
            started_s = self._clock.monotonic()
            while self._in_flight < settings.calls_in_flight_max:
                outcome = engine.step()
                if outcome is None:
                    break
                self._act(engine, pods, outcome, tasks)
                if self._clock.monotonic() - started_s >= settings.turn_s:
                    self._work.set()
                    break
            if engine.queue.overflowed and len(engine.queue) < settings.queue_max // 2:
                engine.refill(pods.list())
                self._work.set()
            due_s = engine.queue.next_due_s()
            if due_s is not None and due_s < self._aim_s:
                self._aim.set()
            # A turn of the loop for everyone else, whatever there is left to do.
            await asyncio.sleep(0)

    def _act(self, engine: Engine, pods: Informer[Pod], outcome: Outcome, tasks: asyncio.TaskGroup) -> None:
        item = outcome.item
        if outcome.decision.node:
            self._spawn(tasks, self._bind(engine, pods, item, outcome.decision.node))
            return
        message = outcome.decision.diagnosis.message() if outcome.decision.diagnosis else ""
        self._recorder.event(item.pod, "Warning", "FailedScheduling", truncated(message), "Scheduling")
        patch = condition_patch(item.pod, message, rfc3339(self._clock.now()))
        if patch is not None:
            self._spawn(tasks, self._patch(item.pod, patch))

    def _spawn(self, tasks: asyncio.TaskGroup, call: Coroutine[Any, Any, None]) -> None:
        self._in_flight += 1
        tasks.create_task(call).add_done_callback(self._landed)

    def _landed(self, _task: asyncio.Task[None]) -> None:
        self._in_flight -= 1
        self._work.set()

    async def _timer(self, engine: Engine) -> None:
        """Lets pods out of the queue when their rest ends; aims anew when a nearer end turns up."""
        while True:
            due_s = engine.queue.next_due_s()
            self._aim_s = math.inf if due_s is None else due_s
            if due_s is None:
                await self._aim.wait()
            else:
                await self._sleep_or_aim(max(due_s - self._clock.monotonic(), 0.0))
            self._aim.clear()
            if engine.queue.tick():
                self._work.set()

    async def _sleep_or_aim(self, delay_s: float) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(delay_s))
        aim = asyncio.ensure_future(self._aim.wait())
        try:
            await asyncio.wait((sleep, aim), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            aim.cancel()

    # Calls

    async def _bind(self, engine: Engine, pods: Informer[Pod], item: QueuedPod, node: str) -> None:
        meta = item.pod.metadata
        body = Binding(
            kind="Binding",
            api_version="v1",
            metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid),
            target=ObjectReference(kind="Node", name=node),
        )
        try:
            await self._client.create_subresource(POD, meta.name, meta.namespace, "binding", body, Status)
        except NotFound:
            log.info("%s: gone before it was bound to %s", item.record, node)
            engine.dropped(item)
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("%s: binding to node %s failed, will try again: %s", item.record, node, error)
            engine.failed(item, pods.get(meta.name, meta.namespace))
        else:
            self._recorder.event(
                item.pod,
                "Normal",
                "Scheduled",
                f"Successfully assigned {meta.namespace}/{meta.name} to {node}",
                "Binding",
            )

    async def _patch(self, pod: Pod, patch: dict[str, Any]) -> None:
        meta = pod.metadata
        try:
            await self._client.patch(
                POD, meta.name, patch, meta.namespace, patch_type="strategic", subresource="status"
            )
        except NotFound:
            pass  # deleted meanwhile: no one is left to be told
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("pod %s/%s: its condition could not be written: %s", meta.namespace, meta.name, error)


def truncated(message: str) -> str:
    """The message cut to what an event may hold."""
    return message if len(message) <= NOTE_MAX else message[: NOTE_MAX - 4] + " ..."


def condition_patch(pod: Pod, message: str, now: str) -> dict[str, Any] | None:
    """The status patch that says why `pod` has no node; None when it says so already."""
    old = _scheduled_condition(pod)
    if old is not None and (old.status, old.reason, old.message) == ("False", "Unschedulable", message):
        return None
    unchanged = old is not None and old.status == "False"
    condition: dict[str, Any] = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": old.last_transition_time if old is not None and unchanged else now,
    }
    if pod.metadata.generation:
        condition["observedGeneration"] = pod.metadata.generation
    return {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}


def _scheduled_condition(pod: Pod) -> PodCondition | None:
    return next((c for c in pod.status.conditions if c.type == "PodScheduled"), None)
