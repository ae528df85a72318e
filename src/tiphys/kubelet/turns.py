"""How many pods begin at once: a machine that starts thirty at a time finishes none of them soon."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """So many at a time. Who may not go on for `patience_s` goes on all the same: what hangs holds nobody up for long.

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
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, sandbox: bool) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (sandbox, next(self._numbers), mine))
        try:
            async with asyncio.timeout(self._patience_s):
                await mine
        except TimeoutError:
            self._free -= 1  # beyond the count, until one ends
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        self._free += 1
        while self._free > 0 and self._waiting:
            _, _, next_one = heapq.heappop(self._waiting)
            if not next_one.done():
                self._free -= 1
                next_one.set_result(None)
