"""`EmbeddedStore`: the store in one process, over LMDB. See docs/storage.md for what it promises.

How a transaction goes: it is validated on the loop against the index, which already knows of transactions that are
not durable yet; it gets its revision and enters the index; it joins the open batch; the writer makes the batch
durable; only then does `revision` move, so that readers and watchers see it, and only then is its caller answered.
Readers read "at revision", and the newest revision they can ask for is the newest durable one: that is all it takes
to hide what is in flight.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tiphys.base import failpoint, verify
from tiphys.base.clock import Clock, SystemClock
from tiphys.store.embedded import chunk as chunks
from tiphys.store.embedded import rules
from tiphys.store.embedded.batch import Batch
from tiphys.store.embedded.disk import COMPACTED, COMPACTING, DEFAULT_QUOTA_BYTES, Disk, Unusable, Work
from tiphys.store.embedded.index import MAX_WRITES, Index, first_position, last_position
from tiphys.store.embedded.leases import Leases
from tiphys.store.embedded.reading import Reads, load
from tiphys.store.embedded.watching import Hub, StoreWatch
from tiphys.store.embedded.writer import Writer
from tiphys.store.interface import (
    Change,
    Compacted,
    Compare,
    Delete,
    LeaseNotFound,
    Moment,
    Put,
    Range,
    Record,
    StoreError,
    StoreFailed,
    TxnResult,
)

log = logging.getLogger(__name__)

MAX_PENDING = 8192
_KEYS_PER_TURN = 2000
_DROPS_PER_COMMIT = 1000

Tap = Callable[[int, list[Change]], None]
"""(revision, changes up to it) the moment they are durable, before their writers are answered. `previous` is None."""


class EmbeddedStore:
    """`tiphys.store.interface.Store` over one data directory. Used from the loop that opened it."""

    def __init__(self, disk: Disk, clock: Clock, index: Index, revision: int, live_bytes: int) -> None:
        self._disk = disk
        self._clock = clock
        self._index = index
        self._live_bytes = live_bytes
        self._revision = revision
        self._assigned = revision
        """The newest revision given to a transaction; beyond `revision` they are not durable yet."""
        self._compact_revision = disk.meta(COMPACTED)
        self._reads = Reads(disk, index)
        self._hub = Hub(revision, self._reads.history)
        self._hub.compact_revision = self._compact_revision
        self._taps: list[Tap] = []
        self._leases = Leases(clock, disk.leases())
        self._open = Batch()
        self._flying: Batch | None = None
        self._writer = Writer(disk, self._take_batch, self._batch_done)
        self._failure: StoreFailed | None = None
        self._closed = False
        self._alarmed = False
        self._compacting = asyncio.Lock()
        self._room = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(
        cls, path: str | Path, *, clock: Clock | None = None, quota_bytes: int = DEFAULT_QUOTA_BYTES
    ) -> EmbeddedStore:
        """Open or create the data directory `path`. Raises StoreError: in use, foreign, damaged, other format.

        `quota_bytes` bounds the records; beyond it puts fail with StoreFailed, deletes and compaction still work.
        """
        directory = Path(path)
        disk, index, revision, live_bytes = await asyncio.to_thread(load, directory, quota_bytes)
        store = cls(disk, clock or SystemClock(), index, revision, live_bytes)
        for key, history in index.histories.items():
            if history.lease:
                store._leases.move(key, 0, history.lease)
        store._tasks.append(asyncio.create_task(store._expire_leases(), name="store leases"))
        unfinished = disk.meta(COMPACTING)
        if unfinished:
            store._tasks.append(asyncio.create_task(store._finish_compaction(unfinished), name="store compaction"))
        return store

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the same store at the same time."""
        return False

    @property
    def compact_revision(self) -> int:
        return self._compact_revision

    @property
    def live_bytes(self) -> int:
        """What the records take, history included."""
        return self._live_bytes

    @property
    def alarm(self) -> str:
        """`NOSPACE` while the quota refuses puts, as etcd's alarm is called; else empty."""
        return "NOSPACE" if self._alarmed else ""

    @property
    def failure(self) -> str:
        """Why nothing can be written any more; empty while all is well."""
        return str(self._failure or "")

    @property
    def path(self) -> Path:
        return self._disk.path

    # Reading.

    async def newest(self) -> int:
        self._usable()
        return self._revision

    async def get(self, key: bytes, *, revision: int = 0) -> Record | None:
        return self._reads.get(key, self._readable(revision))

    async def range(self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0) -> Range:
        at = self._readable(revision)
        return await self._reads.range(start, end, at, limit, lambda: self._still_there(at))

    def _readable(self, revision: int) -> int:
        self._usable()
        return rules.readable(revision, self._revision, self._compact_revision)

    def _still_there(self, revision: int) -> None:
        if revision < self._compact_revision:
            raise Compacted(self._compact_revision)

    def _usable(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: the store is closed")

    # Writing.

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> TxnResult:
        await self._writable()
        result: TxnResult = await self._submit(compares, writes)
        return result

    async def _writable(self) -> None:
        """Wait for room. What follows in the same turn is validated against all that was submitted before."""
        while len(self._open.waiters) >= MAX_PENDING:
            self._room.clear()
            await self._room.wait()
        self._usable()
        if self._failure is not None:
            raise StoreFailed(str(self._failure))

    def _submit(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> asyncio.Future[Any]:
        newest = self._index.newest
        for compare in compares:
            if newest(compare.key) != compare.mod_revision:
                return self._answer_when_durable(lambda: self._refusal(compares))
        real = [write for write in writes if isinstance(write, Put) or newest(write.key)]
        self._check_writes(real)
        if not real:
            return self._answer_when_durable(lambda: TxnResult(True, self._revision))
        revision = self._apply(real)
        return self._answer_when_durable(lambda: TxnResult(True, revision))

    def _check_writes(self, writes: Sequence[Put | Delete]) -> None:
        rules.check_keys(writes)
        if len(writes) >= MAX_WRITES:
            raise StoreError("etcdserver: too many operations in txn request")
        for write in writes:
            if isinstance(write, Put):
                if write.lease:
                    self._leases.get(write.lease)
                if self._live_bytes > self._disk.quota_bytes:
                    raise StoreFailed(self._space_alarm())

    def _space_alarm(self) -> str:
        """Said once in the log, and to every writer until there is room."""
        text = (
            f"mvcc: database space exceeded: {self.path} holds {self._live_bytes} bytes, its quota is "
            f"{self._disk.quota_bytes}: delete objects, or start with a larger quota"
        )
        if not self._alarmed:
            self._alarmed = True
            log.error("store alarm NOSPACE: %s", text)
        return text

    def _apply(self, writes: Sequence[Put | Delete]) -> int:
        """Give the next revision to these writes and enter them into the index and the open batch."""
        revision = self._assigned = self._assigned + 1
        position = first_position(revision)
        batch = self._open
        batch.last_revision = revision
        for write in writes:
            key = write.key
            history = self._index.history(key)
            held_by = history.lease
            if isinstance(write, Put):
                history.put(position, write.lease)
                batch.records.append(
                    (position, chunks.payload(key, write.value, history.created, history.version, write.lease))
                )
                record = Record(key, write.value, history.created, revision, history.version, write.lease)
                batch.changes.append(Change(revision, key, record, None))
            else:
                history.delete(position)
                batch.records.append((position, chunks.tombstone(key)))
                batch.changes.append(Change(revision, key, None, None))
            if held_by or history.lease:
                self._leases.move(key, held_by, history.lease)
            position += 1
        return revision

    def _answer_when_durable(self, answer: Callable[[], Any]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._open.waiters.append((future, answer))
        self._writer.wake()
        return future

    def _refusal(self, compares: Sequence[Compare]) -> TxnResult:
        found = tuple(self._reads.get(compare.key, self._revision) for compare in compares)
        return TxnResult(False, self._revision, found)

    def _take_batch(self) -> Work | None:
        while self._open:
            batch, self._open = self._open, Batch()
            self._room.set()
            if batch.empty_handed:
                _answer(batch)
                continue
            self._flying = batch
            return batch.work()
        return None

    def _batch_done(self, grown: int, failure: StoreFailed | None) -> None:
        batch = self._flying
        self._flying = None
        if batch is None:
            raise AssertionError("a commit ended that was never begun")
        if failure is not None:
            self._fail(batch, failure)
            return
        self._live_bytes += grown
        if self._alarmed and self._live_bytes <= self._disk.quota_bytes:
            self._alarmed = False
            log.warning("store alarm NOSPACE is over: %s has room again", self.path)
        if batch.changes:
            before, self._revision = self._revision, batch.last_revision
            if verify.enabled:
                self._verify(batch, before)
            self._call_taps(batch.changes)
            self._hub.publish(self._revision, batch.changes)
        _answer(batch)

    def _fail(self, batch: Batch, failure: StoreFailed) -> None:
        """The commit did not happen: forget it, and everything that was validated on top of it."""
        batches = [batch, self._open]
        self._open = Batch()
        durable = last_position(self._revision)
        for key in {change.key for lost in batches for change in lost.changes}:
            history = self._index.histories[key]
            held_by = history.lease
            history.roll_back(durable)
            history.created = history.version = history.lease = 0
            if not history.ended:
                record = self._disk.read((history.last,))[0]
                history.created, history.version = record.create_revision, record.version
                history.lease = record.lease
            self._leases.move(key, held_by, history.lease)
            self._index.forget_if_empty(key, history)
        for lost in reversed(batches):
            for undo in reversed(lost.undo):
                undo()
        self._assigned = self._revision
        if isinstance(failure, Unusable):
            self._failure = failure
            self._hub.fail(failure)
        for lost in batches:
            for future, _ in lost.waiters:
                if not future.done():
                    future.set_exception(StoreFailed(str(failure)))

    def _verify(self, batch: Batch, before: int) -> None:
        verify.that(self._revision > before, f"revision went from {before} to {self._revision}")
        for change in batch.changes:
            position = self._index.at(change.key, change.revision)
            verify.that((position != 0) == (change.record is not None), f"index and batch differ on {change.key!r}")
            if position:
                read = self._disk.read((position,))[0]
                verify.that(read == change.record, f"{change.key!r}: wrote {change.record}, reads {read}")

    # Watching.

    def watch(self, start: bytes, end: bytes, from_revision: int, *, previous: bool = True) -> StoreWatch:
        self._usable()
        return self._hub.watch(start, end, from_revision)

    def tap(self, tap: Tap) -> Callable[[], None]:
        """Call `tap` with all that becomes durable from now on; it must not fail or block. Returns how to stop."""
        self._taps.append(tap)
        return lambda: self._taps.remove(tap)

    def _call_taps(self, changes: list[Change]) -> None:
        for tap in self._taps:
            try:
                tap(self._revision, changes)
            except Exception:
                log.exception("store %s: a tap failed at revision %d", self.path, self._revision)

    # Leases.

    def lease_ids(self) -> list[int]:
        return self._leases.ids()

    def lease_state(self, lease: int) -> tuple[int, int, list[bytes]] | None:
        """(seconds granted, seconds left, its keys); None where there is no such lease."""
        try:
            held = self._leases.get(lease)
        except LeaseNotFound:
            return None
        return held.ttl_s, self._leases.left_s(held), sorted(held.keys)

    async def grant(self, ttl_s: int) -> int:
        await self._writable()
        lease = self._leases.grant(max(1, ttl_s))
        self._open.leases[lease.id] = lease.ttl_s
        self._open.undo.append(lambda: self._leases.remove(lease.id))
        await self._answer_when_durable(lambda: None)
        return lease.id

    async def keep_alive(self, lease: int) -> int:
        self._usable()
        return self._leases.keep_alive(lease)

    async def revoke(self, lease: int) -> None:
        await self._writable()
        held = self._leases.get(lease)
        keys = sorted(held.keys)
        self._leases.remove(lease)
        self._open.leases[lease] = 0
        self._open.undo.append(lambda: self._leases.restore(held, keys))
        if keys:
            self._apply([Delete(key) for key in keys])
        await self._answer_when_durable(lambda: None)

    async def _expire_leases(self) -> None:
        while not self._closed:
            for lease in self._leases.expired():
                try:
                    await self.revoke(lease.id)
                except LeaseNotFound:
                    continue
                except StoreFailed as error:
                    log.warning("store %s: lease %d could not be ended: %s", self.path, lease.id, error)
                    self._leases.postpone(lease, 1.0)
            await self._leases.until_next_expiry()

    # Keeping house.

    async def compact(self, revision: int) -> None:
        self._usable()
        rules.check_compaction(revision, self._revision, self._compact_revision)
        self._compact_revision = self._hub.compact_revision = revision
        await self._commit_meta({COMPACTED: revision, COMPACTING: revision})
        await self._finish_compaction(revision)

    async def _finish_compaction(self, revision: int) -> None:
        """Remove what compaction at `revision` made unreachable, in slices; redone from the start after a crash."""
        async with self._compacting:
            keys = self._index.keys.range(b"", b"\xff" * 1024)
            dropped: list[int] = []
            for turn in range(0, len(keys), _KEYS_PER_TURN):
                dropped += self._index.compact(keys[turn : turn + _KEYS_PER_TURN], revision)
                await asyncio.sleep(0)
            dropped.sort()
            for turn in range(0, len(dropped), _DROPS_PER_COMMIT):
                await self._drop(dropped[turn : turn + _DROPS_PER_COMMIT])
                failpoint.hit("store.in-compaction")
            if self._compact_revision == revision:
                await self._commit_meta({COMPACTING: 0})

    async def _drop(self, positions: Sequence[int]) -> None:
        await self._writable()
        self._open.drops = positions
        await self._answer_when_durable(lambda: None)

    async def _commit_meta(self, values: dict[bytes, int]) -> None:
        await self._writable()
        self._open.meta.update(values)
        await self._answer_when_durable(lambda: None)

    def moment(self) -> AbstractContextManager[Moment]:
        """All that is on disk now, for a thread other than the loop's."""
        self._usable()
        return self._disk.moment()

    async def snapshot(self, path: str) -> int:
        self._usable()
        return await asyncio.to_thread(self._disk.snapshot, Path(path))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._hub.close()
        await self._writer.stop()
        self._disk.close()


def _answer(batch: Batch) -> None:
    for future, answer in batch.waiters:
        if not future.done():
            future.set_result(answer())
