"""Watches over the embedded store: past changes from disk, then live ones, and never a gap between them.

A watch is a position in history. While it keeps up, changes are handed to it as they become durable; when its queue is
full the queue is thrown away and the watch reads what it missed from disk, in slices, until it has caught up. It fails
with Compacted only when compaction overtakes it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from tiphys.store.interface import Change, Compacted, StoreFailed

MAX_QUEUED = 4096
SLICE = 512

ReadHistory = Callable[[int, int, bytes, bytes], tuple[list[Change], int]]
"""(first and last revision, start, end) -> (some changes of the range, the revision after the last one looked at)."""


class StoreWatch:
    """One watcher's place in history."""

    def __init__(self, hub: Hub, start: bytes, end: bytes, from_revision: int) -> None:
        self.start = start
        self.end = end
        self._hub = hub
        self._next = from_revision
        """The first revision not yet handed out or queued."""
        self._queue: deque[list[Change]] = deque()
        self._queued = 0
        self._wake: asyncio.Future[None] | None = None
        self.cancelled = False

    def offer(self, changes: list[Change], revision: int) -> None:
        """Changes of this range that became durable, all revisions up to `revision`; on the loop, in order."""
        if self._next > revision:
            changes = []
        elif self._next != self._hub.revision + 1:
            return self.notify()  # behind: it will come to these by itself
        elif self._queued + len(changes) > MAX_QUEUED:
            self._next = self._queue[0][0].revision if self._queue else self._next
            self._queue.clear()
            self._queued = 0
            return self.notify()
        else:
            self._next = revision + 1
        if changes:
            self._queue.append(changes)
            self._queued += len(changes)
            self.notify()
        return None

    def notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def cancel(self) -> None:
        """End the iteration; idempotent."""
        self.cancelled = True
        self._hub.watches.discard(self)
        self.notify()

    async def __aiter__(self) -> AsyncIterator[list[Change]]:
        while not self.cancelled:
            if self._queue:
                batch = self._queue.popleft()
                self._queued -= len(batch)
                yield batch
            elif self._next <= self._hub.revision:
                batch, self._next = self._catch_up()
                if batch:
                    yield batch
                await asyncio.sleep(0)
            elif self._hub.failure is not None:
                raise StoreFailed(str(self._hub.failure))
            else:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake

    def _catch_up(self) -> tuple[list[Change], int]:
        if self._next < self._hub.compact_revision:
            self.cancel()
            raise Compacted(self._hub.compact_revision)
        return self._hub.read_history(self._next, self._hub.revision, self.start, self.end)


class Hub:
    """All watches of a store, and the revisions that they may know of."""

    def __init__(self, revision: int, read_history: ReadHistory) -> None:
        self.revision = revision
        self.compact_revision = 0
        self.read_history = read_history
        self.watches: set[StoreWatch] = set()
        self.failure: StoreFailed | None = None

    def watch(self, start: bytes, end: bytes, from_revision: int) -> StoreWatch:
        if from_revision <= 0:
            from_revision = self.revision + 1
        elif from_revision < self.compact_revision:
            raise Compacted(self.compact_revision)
        watch = StoreWatch(self, start, end, from_revision)
        self.watches.add(watch)
        return watch

    def publish(self, revision: int, changes: list[Change]) -> None:
        """All changes up to `revision` are durable."""
        for watch in self.watches:
            watch.offer([c for c in changes if watch.start <= c.key < watch.end], revision)
        self.revision = revision

    def fail(self, failure: StoreFailed) -> None:
        """Nothing more will become durable: every watch ends with `failure` after what it still has."""
        self.failure = failure
        for watch in self.watches:
            watch.notify()

    def close(self) -> None:
        for watch in list(self.watches):
            watch.cancel()
