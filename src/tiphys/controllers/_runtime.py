"""Runs controllers: queues, back-off, caches, reading one's own writes, applying plans, events, leadership.

For each key: wait until the cache shows our last writes, `read` the world, `plan`, apply. Whatever fails puts the key
back with a growing delay; nothing a controller does can end its loop. Controllers know nothing of this file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from tiphys.api.errors import ApiError, Conflict
from tiphys.api.kind import Kind
from tiphys.api.kinds import PREVIEW_KINDS
from tiphys.api.meta.resource import Resource
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.metrics import Metrics
from tiphys.base.tasks import described, supervised
from tiphys.base.workqueue import QueueStatistics, WorkQueue
from tiphys.client.discovery import is_served
from tiphys.client.events import EventRecorder, Recorder
from tiphys.client.interface import Client, EventType, Handler, Informer
from tiphys.client.leases import LeaderElector
from tiphys.controllers._actions import Action
from tiphys.controllers._apply import Applier, Stale
from tiphys.controllers._expectations import Expectations
from tiphys.controllers._measures import Measured, Turn
from tiphys.controllers._metrics import ControllerMetrics
from tiphys.controllers._registry import CONTROLLERS, selected
from tiphys.controllers._spec import ControllerSpec, Listers, Watch
from tiphys.controllers._tallies import Tallies
from tiphys.controllers.settings import ControllerSettings

log = logging.getLogger(__name__)

LONG_LOOK_S = 0.004
LOOKING_SHARE = 0.2
"""One key whose looks are long (thousands of pods) may take that much of the loop's time; its changes gather meanwhile.
"""
SERIAL_WAIT_S = 0.05
"""How soon a serial controller looks again whether its earlier writes are seen; any change may be the last one."""


@dataclass(frozen=True, slots=True)
class ControllerStatistics:
    queue: QueueStatistics
    plans_total: int
    """Plans made, with or without actions."""
    actions_total: int
    errors_total: int


class Controller:
    """One spec at work."""

    def __init__(
        self,
        spec: ControllerSpec[Any],
        client: Client,
        clock: Clock,
        recorder: Recorder,
        settings: ControllerSettings,
        metrics: ControllerMetrics,
    ) -> None:
        self._spec, self._client, self._clock, self._settings = spec, client, clock, settings
        self._metrics = metrics
        ordered = sorted(spec.kinds, key=lambda kind: kind.group_resource)  # what a plan goes through has one order
        self._informers: dict[Kind[Any], Informer[Any]] = {kind: client.informer(kind) for kind in ordered}
        for index in spec.indexes:
            self._informers[index.kind].add_index(index.name, index.values)
        self._heard: dict[tuple[Kind[Any], str, str], datetime] = {}
        self._tallies = Tallies()
        self._expectations = Expectations(self._informers, clock, settings.expectation_timeout_s)
        self._memory: dict[Hashable, Any] = {}
        self._custom_stops: dict[Kind[Any], list[Callable[[], None]]] = {}
        self._applier = Applier(client, recorder, self._expectations, self._memory)
        self._queue: WorkQueue[Hashable] = WorkQueue(
            clock, Backoff(first_s=settings.backoff_first_s, cap_s=settings.backoff_cap_s)
        )
        self.listers = self._new_listers()
        self._plans_total = self._actions_total = self._errors_total = 0

    def _new_listers(self) -> Listers:
        return Listers(self._informers, self._settings, self._heard, self._clock.now(), self._tallies, self._memory)

    def statistics(self) -> ControllerStatistics:
        return ControllerStatistics(
            self._queue.statistics(), self._plans_total, self._actions_total, self._errors_total
        )

    async def run(self) -> None:
        """Fills the caches, then works until cancelled."""
        await asyncio.gather(*(informer.wait_synced() for informer in self._informers.values()))
        self.listers = self._new_listers()
        stops = [informer.subscribe(self._observe) for informer in self._informers.values()]
        stops += [self._subscribe(watch) for watch in self._spec.watches]
        if self._spec.custom is not None:
            from tiphys.client.custom import follow_custom_kinds

            stops.append(follow_custom_kinds(self._client, self._custom_changed))
        chosen = self._settings.workers_of.get(self._spec.name) or self._settings.workers
        workers = 1 if self._spec.serial else chosen or self._spec.workers
        log.info("%s: started with %d workers", self._spec.name, workers)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._queue.run())
                for _ in range(workers):
                    tasks.create_task(self._work())
                if self._spec.resync_s > 0:
                    tasks.create_task(self._resync())
        finally:
            for stop in (*stops, *(stop for of_kind in self._custom_stops.values() for stop in of_kind)):
                stop()

    def _custom_changed(self, kind: Kind[Any], served: bool) -> None:
        """A custom kind came, or went."""
        if self._spec.custom is None:
            return
        for stop in self._custom_stops.pop(kind, ()):
            stop()
        self._informers.pop(kind, None)
        if not served:
            return
        part = self._spec.custom(kind)
        informer = self._informers[kind] = self._client.informer(kind)
        for index in part.indexes:
            informer.add_index(index.name, index.values)
        self._custom_stops[kind] = [informer.subscribe(self._observe), self._subscribe(part.watch)]

    # --- what wakes a key

    def _observe(self, change: EventType, old: Resource | None, new: Resource | None) -> None:
        if change != "DELETED" and not self._expectations.any:
            return
        seen = new if new is not None else old
        if seen is not None:
            for key in self._expectations.observed(change, seen):
                self._queue.add(key)

    def _subscribe(self, watch: Watch[Any]) -> Callable[[], None]:
        # Each change of a pod passes here a score of times: what a watch does not ask for must cost it nothing.
        keys, when, add = watch.keys, watch.when, self._queue.add
        noted = watch.stamp is not None or watch.tally is not None or watch.measure is not None

        def changed(change: EventType, old: Resource | None, new: Resource | None) -> None:
            if noted:
                self._note(watch, old, new)
            if when is not None and not when(old, new):
                return
            for each in (new, old):
                if each is not None:
                    for key in keys(self.listers, each):
                        add(key)

        handler: Handler[Any] = changed
        return self._informers[watch.kind].subscribe(handler)

    def _note(self, watch: Watch[Any], old: Resource | None, new: Resource | None) -> None:
        """Remember the change, as `Watch.stamp` and `Watch.tally` ask, and count it."""
        stamp, tally, last = watch.stamp, watch.tally, new if new is not None else old
        if last is not None and stamp is not None and (old is None or new is None or stamp(old) != stamp(new)):
            self._heard[watch.kind, last.metadata.namespace, last.metadata.name] = self._clock.now()
        if tally is not None and (what := tally(old, new)) is not None:
            self._tallies.count(what, self._clock.now())
        if watch.measure is not None:
            for measured in watch.measure(self.listers, old, new):
                self._metrics.count(measured)

    async def _resync(self) -> None:
        while True:
            for key in self._spec.resync_keys:
                self._queue.add(key)
            await self._clock.sleep(self._spec.resync_s)

    # --- work

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            self._metrics.wait_s.observe(self._queue.last_wait_s, self._spec.name)
            started_s = self._clock.monotonic()
            try:
                if await self._sync(key):
                    self._queue.forget(key)
            except (Stale, Conflict) as error:
                log.debug("%s %s: %s", self._spec.name, key, described(error))
                self._failed(key)
            except ApiError as error:
                self._errors_total += 1
                delay_s = self._failed(key)
                log.warning("%s %s: %s; again in %.3g s", self._spec.name, key, described(error), delay_s)
            except Exception as error:
                # Whatever is wrong with one key, the others must be served: it becomes a retry like any other.
                self._errors_total += 1
                self._failed(key)
                log.error("%s %s: %s", self._spec.name, key, described(error), exc_info=error)
            finally:
                self._queue.done(key)
                self._metrics.work_s.observe(self._clock.monotonic() - started_s, self._spec.name)

    def _failed(self, key: Hashable) -> float:
        self._metrics.retries.inc(self._spec.name)
        return self._queue.failed(key)

    async def _sync(self, key: Hashable) -> bool:
        """Whether `key` was looked at; False: it still waits to see its last writes."""
        spec = self._spec
        waits = self._expectations.waits_at_all() if spec.serial else self._expectations.waits(key)
        if waits:
            # What is awaited wakes the key when it shows; the delay is for what never shows.
            self._queue.add_after(key, SERIAL_WAIT_S if spec.serial else self._settings.expectation_timeout_s)
            if spec.stale_skips is not None and spec.primary is not None:
                self._metrics.count(Measured(spec.stale_skips, (spec.primary.group, spec.primary.plural)))
            return False
        started_s = self._clock.monotonic()
        world = spec.read(self.listers, key, self._clock.now())
        if world is None:
            self._memory.pop(key, None)
            return True
        if spec.observe is not None:
            world = await spec.observe(self._client, key, world)
            started_s = self._clock.monotonic()
        self._plans_total += 1
        actions = spec.plan(key, world)
        self._actions_total += len(actions)
        if (took_s := self._clock.monotonic() - started_s) >= LONG_LOOK_S:
            self._queue.rest(key, started_s + took_s / LOOKING_SHARE)
        delay_s = await self._carry_out(key, world, actions)
        if delay_s is not None:
            self._queue.add_after(key, delay_s)
        return True

    async def _carry_out(self, key: Hashable, world: Any, actions: Sequence[Action]) -> float | None:
        measure = self._spec.measure
        if measure is None:
            return await self._applier.apply(key, actions)
        started_s = self._clock.monotonic()
        error: Exception | None = None
        try:
            return await self._applier.apply(key, actions)
        except Exception as failure:
            error = failure
            raise
        finally:
            for measured in measure(Turn(world, actions, self._clock.monotonic() - started_s, error)):
                self._metrics.count(measured)


class ControllerManager:
    """Runs the chosen controllers, all in this process, as long as this process leads."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        recorder: EventRecorder,
        settings: ControllerSettings | None = None,
        *,
        controllers: Sequence[ControllerSpec[Any]] = CONTROLLERS,
        metrics: Metrics | None = None,
    ) -> None:
        """`recorder.run` is the caller's to run; `metrics` is where to show figures, if anywhere.

        Raises ValueError for a selection that names an unknown controller.
        """
        self._client, self._clock, self._recorder = client, clock, recorder
        self._settings = settings or ControllerSettings()
        self._specs = selected(controllers, self._settings.controllers)
        self._running: dict[str, Controller] = {}
        self._metrics = ControllerMetrics(
            metrics or Metrics(),
            self._specs,
            lambda: {name: each.queue for name, each in self.statistics().items()},
            lambda name: running.listers if (running := self._running.get(name)) is not None else None,
        )

    @property
    def names(self) -> Iterable[str]:
        """The controllers that were chosen."""
        return tuple(spec.name for spec in self._specs)

    def statistics(self) -> dict[str, ControllerStatistics]:
        """By controller; empty while this process does not lead."""
        return {name: controller.statistics() for name, controller in self._running.items()}

    async def run(self) -> None:
        """Runs until cancelled. With leader election, raises LeadershipLost when another process takes over."""
        settings = self._settings
        if not settings.leader_elect:
            await self._lead()
            return
        elector = LeaderElector(
            self._client, self._clock, settings.lease_name, settings.identity, namespace=settings.lease_namespace
        )
        await elector.run(self._lead)

    async def _lead(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for spec in self._specs:
                    tasks.create_task(supervised(spec.name, partial(self._start, spec), self._clock))
        finally:
            self._running.clear()

    async def _start(self, spec: ControllerSpec[Any]) -> None:
        """Until cancelled; returns at once where the API of a preview kind is not served."""
        for kind in sorted(spec.kinds & frozenset(PREVIEW_KINDS), key=lambda kind: kind.plural):
            if not await is_served(self._client, kind):
                log.info("%s: not started: %s are not served", spec.name, kind.plural)
                return
        recorder = self._recorder.named(spec.component or spec.name)
        controller = self._running[spec.name] = Controller(
            spec, self._client, self._clock, recorder, self._settings, self._metrics
        )
        await controller.run()
