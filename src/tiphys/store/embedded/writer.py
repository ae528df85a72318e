"""The one writer: group commit in a thread of its own.

Whatever is submitted while a commit is on its way to the disk becomes the next one. Under load the cost of an fsync is
thereby shared by all who wait for it, and an idle store still answers after a single one. Batches become durable
strictly in the order in which they were submitted.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import threading
from collections.abc import Callable

from tiphys.store.embedded.disk import Disk, Unusable, Work
from tiphys.store.interface import StoreFailed

log = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.0005
"""How long the writer may wait for the interpreter lock beside a busy loop; Python's own 5 ms would be felt in every
commit, which takes the lock back several times."""

TakeBatch = Callable[[], Work | None]
"""Closes the batch that is being filled and returns its bytes; None when it is empty. On the loop."""
Done = Callable[[int, StoreFailed | None], None]
"""Called on the loop when the batch last taken is durable (bytes grown, None), or is not (0, why)."""


class Writer:
    """Runs commits, one at a time. All methods are called on the loop."""

    def __init__(self, disk: Disk, take: TakeBatch, done: Done) -> None:
        self._disk = disk
        self._take = take
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._scheduled = False
        self.busy = False
        """A commit is in flight."""
        self._idle = asyncio.Event()
        self._idle.set()
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        self._thread = threading.Thread(target=self._run, name="tiphys-store-writer", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to commit: it goes out at the end of this turn, or after the commit in flight."""
        if not self._scheduled and not self.busy:
            self._scheduled = True
            self._idle.clear()
            self._loop.call_soon(self._flush)

    async def drain(self) -> None:
        """Wait until nothing is pending."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Commit what is pending, then end the thread."""
        await self.drain()
        self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _flush(self) -> None:
        self._scheduled = False
        work = self._take()
        if work is None:
            self._idle.set()
            return
        self.busy = True
        self._queue.put(work)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            grown, failure = 0, None
            try:
                grown = self._disk.commit(work)
            except StoreFailed as error:
                failure = error
            except Exception as error:
                log.exception("store %s: a commit failed in an unforeseen way", self._disk.path)
                failure = Unusable(f"{self._disk.path}: writing failed ({error}): restart")
            self._loop.call_soon_threadsafe(self._committed, grown, failure)

    def _committed(self, grown: int, failure: StoreFailed | None) -> None:
        self.busy = False
        try:
            self._done(grown, failure)
        finally:
            self._flush()
