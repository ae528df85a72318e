"""Time that passes by itself and can be moved on: what everything in a test cluster calls its clock.

Between moves it is the machine's time plus what was skipped. `advance` goes from one sleeper's time to the next, lets
what woke come to rest, and so plays five minutes in the order in which they would have happened.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

TOGETHER_S = 0.05
"""Sleepers whose times are no further apart wake together."""


class VirtualClock:
    """A `tiphys.base.clock.Clock` for one event loop."""

    def __init__(self) -> None:
        self._skipped_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._sequence = 0
        self._alive = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._advancing = asyncio.Lock()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._skipped_s)

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped_s

    @property
    def skipped_s(self) -> float:
        """How far this clock is ahead of the machine's, in seconds."""
        return self._skipped_s

    async def sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        entry = (self.monotonic() + delay_s, self._sequence, wake)
        heapq.heappush(self._sleepers, entry)
        self._alive += 1
        if self._sleepers[0] is entry:
            self._set_alarm()
        try:
            await wake
        finally:
            self._alive -= 1
            self._forget_cancelled()

    async def advance(self, seconds: float, rest: Callable[[], Awaitable[None]]) -> None:
        """Move on by `seconds`; `rest` returns when all that woke has done its work. Raises ValueError below 0."""
        if seconds < 0:
            raise ValueError("time cannot be moved back")
        async with self._advancing:
            await rest()
            end_s = self._skipped_s + seconds
            while (due_s := self._next_due_s()) is not None:
                jump_s = max(due_s - self.monotonic(), 0.0)
                if self._skipped_s + jump_s > end_s:
                    break
                self._skipped_s = min(self._skipped_s + jump_s + TOGETHER_S, end_s)
                self._wake_due()
                await rest()
                if self._skipped_s >= end_s:
                    break
            self._skipped_s = end_s
            self._wake_due()
            await rest()

    def _next_due_s(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _wake_due(self) -> None:
        now_s = self.monotonic()
        while (due_s := self._next_due_s()) is not None and due_s <= now_s:
            heapq.heappop(self._sleepers)[2].set_result(None)
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due_s = self._next_due_s()
        if due_s is not None:
            delay_s = max(due_s - self.monotonic(), 0.0)
            self._alarm = asyncio.get_running_loop().call_later(delay_s, self._wake_due)

    def _forget_cancelled(self) -> None:
        if len(self._sleepers) > 64 and len(self._sleepers) > 2 * self._alive:
            self._sleepers = [entry for entry in self._sleepers if not entry[2].done()]
            heapq.heapify(self._sleepers)
