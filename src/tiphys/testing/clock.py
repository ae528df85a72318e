"""Time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A `Clock`: `await clock.advance(s)` wakes the sleepers in the order of their times and lets them run."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._sequence = 0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return self._elapsed_s

    async def sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._sleepers, (self._elapsed_s + delay_s, self._sequence, wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Move on by `seconds`, stopping at each sleeper's time, and let everything that woke come to rest."""
        await settle()
        end_s = self._elapsed_s + seconds
        while self._sleepers and self._sleepers[0][0] <= end_s:
            due_s, _, wake = heapq.heappop(self._sleepers)
            if wake.done():
                continue
            self._elapsed_s = max(self._elapsed_s, due_s)
            wake.set_result(None)
            await settle()
        self._elapsed_s = end_s
        await settle()

    @property
    def sleepers(self) -> int:
        """How many are asleep now."""
        return sum(not wake.done() for _, _, wake in self._sleepers)


async def settle(turns: int = 20) -> None:
    """Give ready tasks the loop, for `turns` turns: enough for chains of tasks that wake one another without I/O."""
    for _ in range(turns):
        await asyncio.sleep(0)
