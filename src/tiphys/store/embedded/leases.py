"""Leases: keys that live no longer than someone cares for them.

Grants are persistent, remaining time is not: after a restart every lease has its whole TTL again, so that nobody loses
keys because the store was away. Source: etcd's server/lease/lessor.go.
"""

from __future__ import annotations

import asyncio
import heapq
import secrets
from collections.abc import Iterable
from typing import Any

import msgspec

from tiphys.base.clock import Clock
from tiphys.store.interface import LeaseNotFound


class Lease(msgspec.Struct):
    id: int
    ttl_s: int
    expires: float
    """Monotonic seconds."""
    keys: set[bytes] = set()


class Leases:
    """Who holds what until when. No I/O."""

    def __init__(self, clock: Clock, granted: dict[int, int]) -> None:
        self._clock = clock
        now = clock.monotonic()
        self._leases = {lease: Lease(lease, ttl_s, now + ttl_s) for lease, ttl_s in granted.items()}
        self._queue = [(lease.expires, lease.id) for lease in self._leases.values()]
        heapq.heapify(self._queue)
        self._granted = asyncio.Event()

    def __len__(self) -> int:
        return len(self._leases)

    def get(self, lease: int) -> Lease:
        found = self._leases.get(lease)
        if found is None:
            raise LeaseNotFound("requested lease not found")
        return found

    def ids(self) -> list[int]:
        return sorted(self._leases)

    def left_s(self, lease: Lease) -> int:
        """Whole seconds that a lease has left."""
        return max(0, int(lease.expires - self._clock.monotonic()))

    def grant(self, ttl_s: int) -> Lease:
        lease = Lease(secrets.randbits(62) | 1, ttl_s, self._clock.monotonic() + ttl_s)
        self._leases[lease.id] = lease
        heapq.heappush(self._queue, (lease.expires, lease.id))
        self._granted.set()
        return lease

    def keep_alive(self, lease: int) -> int:
        found = self.get(lease)
        found.expires = self._clock.monotonic() + found.ttl_s
        return found.ttl_s

    def remove(self, lease: int) -> None:
        self._leases.pop(lease, None)

    def restore(self, lease: Lease, keys: Iterable[bytes]) -> None:
        """Put back what `remove` took, with its keys, its removal having failed."""
        lease.keys.update(keys)
        self._leases[lease.id] = lease
        heapq.heappush(self._queue, (lease.expires, lease.id))

    def postpone(self, lease: Lease, delay_s: float) -> None:
        """Let a lease expire again later."""
        lease.expires = self._clock.monotonic() + delay_s
        heapq.heappush(self._queue, (lease.expires, lease.id))

    def move(self, key: bytes, before: int, after: int) -> None:
        """`key` was held by lease `before` and is held by `after` from now on; 0 is none."""
        if before == after:
            return
        if before and (old := self._leases.get(before)):
            old.keys.discard(key)
        if after and (new := self._leases.get(after)):
            new.keys.add(key)

    def expired(self) -> list[Lease]:
        """Leases whose time is over; each is returned once per call until it is removed."""
        now = self._clock.monotonic()
        over: list[Lease] = []
        while self._queue and self._queue[0][0] <= now:
            _, lease_id = heapq.heappop(self._queue)
            lease = self._leases.get(lease_id)
            if lease is None:
                continue
            if lease.expires > now:
                heapq.heappush(self._queue, (lease.expires, lease_id))
            else:
                over.append(lease)
        return over

    def next_expiry_s(self) -> float | None:
        """Seconds until the next look is due; None without leases."""
        return max(0.0, self._queue[0][0] - self._clock.monotonic()) if self._queue else None

    async def until_next_expiry(self) -> None:
        """Return when a look is due, or when there is a new lease, which may be over sooner."""
        self._granted.clear()
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._granted.wait())]
        if (wait_s := self.next_expiry_s()) is not None:
            waits.append(asyncio.create_task(self._clock.sleep(wait_s)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
