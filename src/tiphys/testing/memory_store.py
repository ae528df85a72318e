"""A store that keeps everything in memory: what a test cluster stands on.

The same semantics as `tiphys.store.embedded`, without files, threads or waiting for a disk, so it runs wherever Python
does. A write is visible, and its taps are called, before `txn` returns. Old versions are kept for as long as a slow
list or watch may ask for them, which is the last `HISTORY` revisions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from tiphys.base.clock import Clock
from tiphys.base.sortedkeys import SortedKeys
from tiphys.store.embedded import rules
from tiphys.store.embedded.leases import Leases
from tiphys.store.embedded.watching import Hub, StoreWatch
from tiphys.store.interface import (
    Change,
    Compare,
    Delete,
    LeaseNotFound,
    Put,
    Range,
    Record,
    StoreError,
    TxnResult,
)

HISTORY = 10_000
"""Revisions that can be read and watched from."""

Tap = Callable[[int, list[Change]], None]
"""(revision, its changes), in the turn in which they are written."""


class Tapped(Protocol):
    """A store that calls when something was written."""

    def tap(self, tap: Tap) -> Callable[[], None]: ...


class _History:
    """What stood at one key, oldest first; None is a deletion."""

    __slots__ = ("records", "revisions")

    def __init__(self) -> None:
        self.revisions: list[int] = []
        self.records: list[Record | None] = []

    def at(self, revision: int) -> Record | None:
        index = bisect_right(self.revisions, revision)
        return self.records[index - 1] if index else None

    def add(self, revision: int, record: Record | None) -> None:
        self.revisions.append(revision)
        self.records.append(record)

    def forget_before(self, revision: int) -> bool:
        """Drop what no read at `revision` or later can see. Whether nothing is left."""
        first = max(bisect_right(self.revisions, revision) - 1, 0)
        if self.records[first] is None and self.revisions[first] <= revision:
            first += 1
        del self.revisions[:first], self.records[:first]
        return not self.revisions


class MemoryStore:
    """`tiphys.store.interface.Store`; used from one event loop. `run` ends leases in time."""

    def __init__(self, clock: Clock) -> None:
        self._revision = 1
        self._compacted = 0
        self._histories: dict[bytes, _History] = {}
        self._keys = SortedKeys()
        """Those that have a history, also of a deletion only."""
        self._log: deque[Change] = deque()
        self._hub = Hub(self._revision, self._past)
        self._taps: list[Tap] = []
        self._leases = Leases(clock, {})
        self._closed = False

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the same store at the same time."""
        return False

    @property
    def compact_revision(self) -> int:
        return self._compacted

    async def newest(self) -> int:
        self._usable()
        return self._revision

    async def get(self, key: bytes, *, revision: int = 0) -> Record | None:
        return self._at(key, self._readable(revision))

    async def range(self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0) -> Range:
        at = self._readable(revision)
        found = [record for key in self._keys.range(start, end) if (record := self._at(key, at)) is not None]
        return Range(found[:limit] if limit else found, at, len(found))

    def _at(self, key: bytes, revision: int) -> Record | None:
        history = self._histories.get(key)
        return None if history is None else history.at(revision)

    def _readable(self, revision: int) -> int:
        self._usable()
        return rules.readable(revision, self._revision, self._compacted)

    def _usable(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")

    # Writing.

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> TxnResult:
        self._usable()
        current = [self._at(compare.key, self._revision) for compare in compares]
        for compare, record in zip(compares, current, strict=True):
            if (record.mod_revision if record is not None else 0) != compare.mod_revision:
                return TxnResult(False, self._revision, tuple(current))
        self._check(writes)
        real = [write for write in writes if isinstance(write, Put) or self._at(write.key, self._revision) is not None]
        if real:
            self._write(real)
        return TxnResult(True, self._revision)

    def _check(self, writes: Sequence[Put | Delete]) -> None:
        rules.check_keys(writes)
        for write in writes:
            if isinstance(write, Put) and write.lease:
                self._leases.get(write.lease)

    def _write(self, writes: Sequence[Put | Delete]) -> None:
        revision = self._revision + 1
        changes = [self._change(write, revision) for write in writes]
        self._revision = revision
        self._log.extend(changes)
        for tap in self._taps:
            tap(revision, changes)
        self._hub.publish(revision, changes)
        if self._log[0].revision <= revision - 2 * HISTORY:
            self._forget_before(revision - HISTORY)

    def _change(self, write: Put | Delete, revision: int) -> Change:
        history = self._histories.get(write.key)
        if history is None:
            history = self._histories[write.key] = _History()
            self._keys.add(write.key)
        before = history.at(revision)
        held = before.lease if before is not None else 0
        record = None
        if isinstance(write, Put):
            created, version = (before.create_revision, before.version) if before is not None else (revision, 0)
            record = Record(write.key, write.value, created, revision, version + 1, write.lease)
        history.add(revision, record)
        self._leases.move(write.key, held, record.lease if record is not None else 0)
        return Change(revision, write.key, record, before)

    # Watching.

    def watch(self, start: bytes, end: bytes, from_revision: int, *, previous: bool = True) -> StoreWatch:
        self._usable()
        return self._hub.watch(start, end, from_revision)

    def tap(self, tap: Tap) -> Callable[[], None]:
        """Call `tap` with all that is written from now on; it must not fail or block. Returns how to stop."""
        self._taps.append(tap)
        return lambda: self._taps.remove(tap)

    def _past(self, first: int, last: int, start: bytes, end: bytes) -> tuple[list[Change], int]:
        found = [c for c in self._log if first <= c.revision <= last and start <= c.key < end]
        return found, last + 1

    # Leases.

    async def grant(self, ttl_s: int) -> int:
        self._usable()
        return self._leases.grant(max(1, ttl_s)).id

    async def keep_alive(self, lease: int) -> int:
        self._usable()
        return self._leases.keep_alive(lease)

    async def revoke(self, lease: int) -> None:
        self._usable()
        keys = sorted(self._leases.get(lease).keys)
        if keys:
            self._write([Delete(key) for key in keys])
        self._leases.remove(lease)

    async def run(self) -> None:
        """End leases when their time is over, until cancelled."""
        while True:
            for lease in self._leases.expired():
                try:
                    await self.revoke(lease.id)
                except LeaseNotFound:
                    continue
            await self._leases.until_next_expiry()

    # Keeping house.

    async def compact(self, revision: int) -> None:
        self._usable()
        rules.check_compaction(revision, self._revision, self._compacted)
        self._forget_before(revision)

    def _forget_before(self, revision: int) -> None:
        self._compacted = self._hub.compact_revision = max(revision, self._compacted)
        touched = set()
        while self._log and self._log[0].revision < revision:
            touched.add(self._log.popleft().key)
        for key in touched:
            history = self._histories.get(key)
            if history is not None and history.forget_before(revision):
                del self._histories[key]
                self._keys.remove(key)

    async def snapshot(self, path: str) -> int:
        raise StoreError("a store in memory has no files to copy")

    async def close(self) -> None:
        self._closed = True
        self._hub.close()
