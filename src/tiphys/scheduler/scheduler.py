"""The scheduler as a component: informers in, bindings, conditions and events out.

`run` feeds the engine from informers, takes decisions in short turns, and lets many bindings be under way at once:
a decision assumes the pod on its node at once, so the next one need not wait for the API. What follows from a decision
is in `following.py`.

numpy is imported in a thread when `run` starts: the API server beside us is ready before it.

Source: pkg/scheduler/{scheduler,schedule_one,eventhandlers}.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
from typing import TYPE_CHECKING

from tiphys.api.kinds import POD
from tiphys.base.clock import Clock
from tiphys.base.metrics import Metrics
from tiphys.client.events import EventRecorder, Recorder
from tiphys.client.interface import Client
from tiphys.scheduler.metrics import SchedulerMetrics
from tiphys.scheduler.settings import SchedulerSettings

if TYPE_CHECKING:
    from tiphys.scheduler.engine import Engine
    from tiphys.scheduler.following import Following


class Scheduler:
    def __init__(
        self,
        client: Client,
        clock: Clock,
        recorder: Recorder,
        settings: SchedulerSettings | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Events of each profile come from its name, where `recorder` can tell sources apart."""
        self._client, self._clock, self._recorder = client, clock, recorder
        self._settings = settings or SchedulerSettings()
        self._metrics = SchedulerMetrics(metrics or Metrics(), clock)
        self._work = asyncio.Event()
        """There may be a decision to take."""
        self._aim = asyncio.Event()
        """A rest ends before `_aim_s`, which the timer waits for."""
        self._aim_s = math.inf
        self._in_flight = 0
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine | None:
        """The decisions' side, once `run` has loaded it: for tests."""
        return self._engine

    @property
    def at_hand(self) -> int:
        """Decisions to take at once, and calls under way; before `run` has loaded the engine, one: itself."""
        if self._engine is None:
            return 1
        return self._engine.queue.statistics.active + self._in_flight

    async def run(self) -> None:
        """Place pods until cancelled. On the way out, calls under way are cancelled: what they bound, stays bound."""
        await asyncio.to_thread(importlib.import_module, "tiphys.scheduler.assembly")
        from tiphys.scheduler.assembly import assemble

        async with contextlib.AsyncExitStack() as stack:
            engine, following = await assemble(
                self._client, self._clock, self._settings, self._metrics, self._recorders(), self._work.set, stack
            )
            self._engine = engine
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._timer(engine), name="scheduler timer")
                await self._decide(engine, following, tasks)

    def _recorders(self) -> dict[str, Recorder]:
        recorder = self._recorder
        return {
            profile.name: recorder.named(profile.name) if isinstance(recorder, EventRecorder) else recorder
            for profile in self._settings.profiles
        }

    # Turns

    async def _decide(self, engine: Engine, following: Following, tasks: asyncio.TaskGroup) -> None:
        settings = self._settings
        pods = self._client.informer(POD)
        while True:
            await self._work.wait()
            self._work.clear()
            started_s = self._clock.monotonic()
            while self._in_flight < settings.calls_in_flight_max:
                outcome = engine.step()
                if outcome is None:
                    break
                call = following.act(outcome)
                if call is not None:
                    self._in_flight += 1
                    tasks.create_task(call).add_done_callback(self._landed)
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
