"""The queue between "something changed" and "look at it": keys, not events.

A key is in the queue at most once, and never with two workers at once: a key added while it is worked on comes back
when that work is done. So a burst of changes costs one look, and memory is bounded by the number of distinct keys.

A key that failed waits out its back-off. If its world changes meanwhile it is looked at sooner, but not at once: at
most one try per `failing_wake_s`, so that a key that can never succeed does not burn a core because its neighbours are
busy. One whose looks take long may rest between them (`rest`), so that one large object leaves time for all others.

Source: client-go util/workqueue (queue.go, delaying_queue.go, rate_limiting_queue.go).
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tiphys.base.backoff import Backoff, Failures
from tiphys.base.clock import Clock

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    ready: int
    """Keys that wait for a worker."""
    working: int
    delayed: int
    added_total: int
    failed_total: int
    unfinished_s: float = 0.0
    """How long the keys in work have been there, in sum."""
    longest_s: float = 0.0
    """The longest of them."""


class WorkQueue(Generic[K]):
    """Deduplicating, delaying, rate-limiting. For one event loop; `run()` must be running for delays to end."""

    def __init__(self, clock: Clock, backoff: Backoff | None = None, *, failing_wake_s: float = 1.0) -> None:
        self._clock = clock
        self._failures: Failures[K] = Failures(backoff or Backoff())
        self._failing_wake_s = failing_wake_s
        self._ready: deque[K] = deque()
        self._queued: set[K] = set()
        self._working: dict[K, float] = {}
        """Since when."""
        self._since: dict[K, float] = {}
        """When the keys that are ready became so."""
        self._again: set[K] = set()
        self._resting: dict[K, float] = {}
        """Until when keys are left alone."""
        self._due: dict[K, float] = {}
        # Entries of the heap that no longer agree with `_due` are stale and skipped: moving a key forward is one push.
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._arrived = asyncio.Event()
        self._timer_changed = asyncio.Event()
        self._added_total = self._failed_total = 0
        self.last_wait_s = 0.0
        """How long the key that `get` gave last had been ready."""

    def add(self, key: K) -> None:
        """Have `key` looked at soon."""
        if key in self._due and self._failures.count(key):
            self.add_after(key, self._failing_wake_s)
            return
        if self._resting and (rest_s := self._rest_s(key)) > 0:
            self.add_after(key, rest_s)
            return
        self._due.pop(key, None)
        self._push(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Have `key` looked at in `delay_s` seconds, or at an earlier time that was already asked for."""
        if delay_s <= 0:
            self._push(key)
            return
        due_s = self._clock.monotonic() + delay_s
        known_s = self._due.get(key)
        if known_s is not None and known_s <= due_s:
            return
        self._due[key] = due_s
        self._sequence += 1
        heapq.heappush(self._heap, (due_s, self._sequence, key))
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._due):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
        self._timer_changed.set()

    def failed(self, key: K) -> float:
        """Work on `key` failed: it comes back after its back-off. Returns the wait in seconds. Call before `done`."""
        self._failed_total += 1
        delay_s = self._failures.failed(key)
        # Changes that arrived during the failed work are covered by the retry.
        if key in self._again:
            self._again.discard(key)
            delay_s = min(delay_s, max(self._failing_wake_s, 0.0))
        self.add_after(key, delay_s)
        return delay_s

    def rest(self, key: K, until_s: float) -> None:
        """Do not give `key` out again before this monotonic time, whatever changes; call while it is worked on."""
        self._resting[key] = until_s

    def _rest_s(self, key: K) -> float:
        return self._resting.get(key, 0.0) - self._clock.monotonic()

    def forget(self, key: K) -> None:
        """Work on `key` succeeded: its next failure is a first one."""
        self._failures.forget(key)

    def failures(self, key: K) -> int:
        return self._failures.count(key)

    async def get(self) -> K:
        """The next key, in order of arrival. The caller owns it until `done(key)`. Cancellation loses no key."""
        while not self._ready:
            self._arrived.clear()
            await self._arrived.wait()
        key = self._ready.popleft()
        self._queued.discard(key)
        now_s = self._clock.monotonic()
        self._resting.pop(key, None)
        self._working[key] = now_s
        self.last_wait_s = now_s - self._since.pop(key, now_s)
        return key

    def done(self, key: K) -> None:
        self._working.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def run(self) -> None:
        """Moves keys whose delay is over into the queue, until cancelled."""
        while True:
            self._timer_changed.clear()
            wait_s = self._release_due()
            if wait_s is None:
                await self._timer_changed.wait()
                continue
            sleep = asyncio.ensure_future(self._clock.sleep(wait_s))
            changed = asyncio.ensure_future(self._timer_changed.wait())
            try:
                await asyncio.wait((sleep, changed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                changed.cancel()

    def statistics(self) -> QueueStatistics:
        now_s = self._clock.monotonic()
        works_s = [now_s - since_s for since_s in self._working.values()]
        return QueueStatistics(
            len(self._ready),
            len(self._working),
            len(self._due),
            self._added_total,
            self._failed_total,
            sum(works_s),
            max(works_s, default=0.0),
        )

    def _push(self, key: K) -> None:
        if key in self._working:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._since[key] = self._clock.monotonic()
            self._ready.append(key)
            self._arrived.set()
            self._added_total += 1

    def _release_due(self) -> float | None:
        """Releases what is due; returns the wait until the next, or None when nothing waits."""
        now_s = self._clock.monotonic()
        while self._heap:
            due_s, _, key = self._heap[0]
            if self._due.get(key) != due_s:
                heapq.heappop(self._heap)
            elif due_s <= now_s:
                heapq.heappop(self._heap)
                del self._due[key]
                self._push(key)
            else:
                return due_s - now_s
        return None
