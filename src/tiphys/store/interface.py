"""What keeps bytes: etcd's semantics, whatever stands behind them.

Revisions strictly increase across all keys; every successful transaction that writes makes exactly one. A store is
used from one event loop. Two implementations pass one test suite: `embedded` (LMDB) and `etcd`.

Source: etcd's API (rpc.proto) and its server/storage/mvcc package, for behaviour.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

import msgspec


class StoreError(Exception):
    """Anything the store refuses."""


class Compacted(StoreError):
    """The revision asked for is older than `compact_revision`: its history is gone."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__(f"mvcc: required revision has been compacted (compacted at {compact_revision})")
        self.compact_revision = compact_revision


class FutureRevision(StoreError):
    """The revision asked for does not exist yet."""


class StoreFailed(StoreError):
    """The storage below failed (disk full, I/O error): nothing that follows was made durable."""


class LeaseNotFound(StoreError):
    """The lease expired or never was."""


class Record(msgspec.Struct, frozen=True):
    """A key's value at some revision."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    """1 on creation, then one more with each put."""
    lease: int = 0


class Change(msgspec.Struct, frozen=True):
    """One event of a watch. Changes of one transaction share `revision` and arrive together."""

    revision: int
    key: bytes
    record: Record | None
    """None: deleted."""
    previous: Record | None
    """What stood there before; None on creation or where history was compacted."""


class Compare(msgspec.Struct, frozen=True):
    """True when the key's last modification is at `mod_revision`; 0: the key must not exist."""

    key: bytes
    mod_revision: int


class Put(msgspec.Struct, frozen=True):
    key: bytes
    value: bytes
    lease: int = 0


class Delete(msgspec.Struct, frozen=True):
    key: bytes


class Range(msgspec.Struct, frozen=True):
    """A page of records in key order, all as of `revision`."""

    records: list[Record]
    revision: int
    """The store's revision when read, or the one asked for."""
    count: int
    """Keys in the whole range, beyond the limit."""

    @property
    def more(self) -> bool:
        return self.count > len(self.records)


class TxnResult(msgspec.Struct, frozen=True):
    succeeded: bool
    revision: int
    """The transaction's own revision, or the store's current one where nothing was written."""
    failed: tuple[Record | None, ...] = ()
    """Where a compare failed: the current records of the compared keys, in order."""


class Moment(msgspec.Struct, frozen=True):
    """All that a store keeps on disk, as of one durable moment."""

    records: Iterator[tuple[int, int, bytes, tuple[int, int, int, bytes] | None]]
    """(revision, number of the write in it, key, (created, version, lease, value) or None: deleted), in order."""
    leases: dict[int, int]
    """id -> seconds granted"""
    compacted: int
    compacting: bool
    """Records that compaction forgot may still be among these."""


class Watch(Protocol):
    """Batches of changes in revision order. Bounded: a watcher that lags too far gets `Compacted`, never a gap."""

    def __aiter__(self) -> AsyncIterator[list[Change]]: ...

    def cancel(self) -> None:
        """End the iteration; idempotent."""


class Store(Protocol):
    """The only door to durable bytes."""

    @property
    def revision(self) -> int:
        """The newest revision that readers may see; 1 in an empty store, as in etcd."""

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the same store at the same time."""

    @property
    def compact_revision(self) -> int:
        """Reads below this raise `Compacted`; 0: nothing compacted."""

    async def get(self, key: bytes, *, revision: int = 0) -> Record | None:
        """The record at `revision` (0: now). Raises Compacted, FutureRevision."""

    async def range(self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0) -> Range:
        """Records with start <= key < end. Raises Compacted, FutureRevision."""

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> TxnResult:
        """All writes or none, if every compare holds; returns when durable. Raises LeaseNotFound, StoreFailed.

        Cancellation: the transaction may still happen; who must know reads again.
        """

    async def newest(self) -> int:
        """A revision not older than any that anyone was answered with before the call, by whichever process."""

    def watch(self, start: bytes, end: bytes, from_revision: int, *, previous: bool = True) -> Watch:
        """Changes with revision >= from_revision, past and then future. Raises Compacted.

        Without `previous` no change tells what stood there before, which is cheaper.
        """

    async def grant(self, ttl_s: int) -> int:
        """A new lease. Keys put with it disappear when it expires."""

    async def keep_alive(self, lease: int) -> int:
        """Renew; returns the TTL in seconds. Raises LeaseNotFound."""

    async def revoke(self, lease: int) -> None:
        """End a lease now, deleting its keys. Raises LeaseNotFound."""

    async def compact(self, revision: int) -> None:
        """Forget history below `revision`; live keys keep their newest value. Raises Compacted, FutureRevision."""

    async def snapshot(self, path: str) -> int:
        """Write a consistent copy to `path`; returns its revision."""

    async def close(self) -> None:
        """Flush and release; idempotent."""


def prefix_end(prefix: bytes) -> bytes:
    """The end of the range that holds exactly the keys beginning with `prefix`."""
    for index in reversed(range(len(prefix))):
        if prefix[index] < 0xFF:
            return prefix[:index] + bytes([prefix[index] + 1])
    return b"\0"
