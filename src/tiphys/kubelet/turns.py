"""How many pods begin at once: a machine that starts thirty at a time finishes none of them soon."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Turns:
    """So many at a time. Who takes longer than `patience_s` loses the place, not the turn: what hangs holds nobody up.

    Containers come before sandboxes, so that a pod that has begun is finished before the next one begins.
    """

    def __init__(self, count: int, patience_s: float) -> None:
        self._free, self._patience_s = count, patience_s
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    @asynccontextmanager
    async def turn(self, *, sandbox: bool) -> AsyncIterator[None]:
        """Wait for one's turn; it is over at the end of the block."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(sandbox)
        held = _Place(self._pass_on)
        late = asyncio.get_running_loop().call_later(self._patience_s, held.give_up)
        try:
            yield
        finally:
            late.cancel()
            held.give_up()

    async def _wait(self, sandbox: bool) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (sandbox, next(self._numbers), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        self._free += 1
        while self._free > 0 and self._waiting:
            _, _, next_one = heapq.heappop(self._waiting)
            if not next_one.done():
                self._free -= 1
                next_one.set_result(None)


class _Place:
    """One of the places; it is given up once."""

    def __init__(self, pass_on: Callable[[], None]) -> None:
        self._pass_on: Callable[[], None] | None = pass_on

    def give_up(self) -> None:
        pass_on, self._pass_on = self._pass_on, None
        if pass_on is not None:
            pass_on()
