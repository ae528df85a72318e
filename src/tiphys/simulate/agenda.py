"""What is to be done when: one heap of due times, worked off by a bounded number of calls at once."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tiphys.base.clock import Clock

Work = Callable[[], Coroutine[Any, Any, None]]


class Agenda:
    """Work in the order of its time. When there is more than can be done, what is due longest comes first."""

    def __init__(self, clock: Clock, at_once: int, grain_s: float = 0.0) -> None:
        """`at_once`: how many calls. `grain_s`: what is due within the same so many seconds is done together, at their
        end: writes that are made together become durable together."""
        self._clock, self._grain_s = clock, grain_s
        self._entries: list[tuple[float, int, Work]] = []
        self._changed = asyncio.Event()
        self._numbers = itertools.count()
        self._slots = asyncio.Semaphore(at_once)
        self.under_way = 0
        """How much is being done."""

    def add(self, due_s: float, work: Work) -> None:
        """`due_s` in the clock's monotonic seconds."""
        if self._grain_s:
            due_s = math.ceil(due_s / self._grain_s) * self._grain_s
        heapq.heappush(self._entries, (due_s, next(self._numbers), work))
        if self._entries[0][2] is work:
            self._changed.set()

    def later(self, delay_s: float, work: Work) -> None:
        self.add(self._clock.monotonic() + delay_s, work)

    async def run(self) -> None:
        """Do everything in its time, until cancelled. Work that raises ends this."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                while self._entries and self._entries[0][0] <= self._clock.monotonic():
                    await self._slots.acquire()
                    self.under_way += 1
                    tasks.create_task(heapq.heappop(self._entries)[2]()).add_done_callback(self._done)
                self._changed.clear()
                if not self._entries:
                    await self._changed.wait()
                    continue
                left_s = max(self._entries[0][0] - self._clock.monotonic(), 0.0)
                await _either(self._clock.sleep(left_s), self._changed.wait())

    def _done(self, _task: asyncio.Task[None]) -> None:
        self.under_way -= 1
        self._slots.release()


async def _either(*awaitables: Awaitable[Any]) -> None:
    """Waits for the first, cancels the others."""
    futures = [asyncio.ensure_future(a) for a in awaitables]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in futures:
            future.cancel()
