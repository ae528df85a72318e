"""`EtcdStore`: the store on an etcd v3 cluster. See docs/storage.md for what it promises.

Every answer of etcd names its revision; `revision` is the newest one that this process has heard of. Reads are
linearizable: they see every write that anyone was answered before they began.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tiphys.store.etcd import messages as m
from tiphys.store.etcd.address import EtcdAddress
from tiphys.store.etcd.members import Members
from tiphys.store.etcd.watching import EtcdWatch, record_of
from tiphys.store.interface import (
    Compacted,
    Compare,
    Delete,
    FutureRevision,
    LeaseNotFound,
    Put,
    Range,
    Record,
    StoreError,
    StoreFailed,
    TxnResult,
    Watch,
)

MAX_OPERATIONS = 128
"""In one transaction; etcd's default of --max-txn-ops."""
_OPEN_TIMEOUT_S = 15.0
_DIGEST_BYTES = 32


class EtcdStore:
    """`tiphys.store.interface.Store` over a cluster. Used from the loop that opened it."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._revision = 0
        self._compact_revision = 0
        self._asking: asyncio.Task[int] | None = None
        self._closed = False

    @classmethod
    async def open(cls, address: EtcdAddress) -> EtcdStore:
        """Connect and learn where the cluster stands. Raises StoreError: unreachable, no leader, not trusted."""
        store = cls(Members(address))
        try:
            await store._ask(_OPEN_TIMEOUT_S)
            with contextlib.suppress(Compacted):
                await store.get(b"\0", revision=1)  # where that is compacted, it is learned up to where
        except BaseException:
            await store._members.close()
            raise
        return store

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the same store at the same time."""
        return True

    @property
    def compact_revision(self) -> int:
        return self._compact_revision

    @property
    def failure(self) -> str:
        """Why the cluster cannot be used now; empty while it answers."""
        return self._members.failure

    @property
    def address(self) -> EtcdAddress:
        return self._members.address

    async def voters(self) -> tuple[str, ...]:
        """Where the members that vote say that they answer clients. Raises StoreError."""
        self._usable()
        found = await self._members.read(m.CLUSTER + "MemberList", m.Empty(), m.MemberListResponse)
        return tuple(url for member in found.members if not member.is_learner for url in member.client_urls)

    def reach(self, servers: Iterable[str]) -> None:
        """Ask these as well, when the others do not answer."""
        self._members.add(servers)

    def _saw(self, header: m.ResponseHeader | None) -> int:
        revision = 0 if header is None else header.revision
        self._saw_revision(revision)
        return revision

    def _saw_revision(self, revision: int) -> None:
        self._revision = max(self._revision, revision)

    def _usable(self) -> None:
        if self._closed:
            raise StoreError("etcd: the store is closed")

    # Reading.

    async def newest(self) -> int:
        """The revision of the whole cluster, as of some moment after the call. Callers of one time share a question."""
        running = self._asking
        if running is not None:
            # That one may have been answered before we were called: what counts is the one after it.
            await asyncio.wait([running])
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self, timeout_s: float = 10.0) -> int:
        self._usable()
        request = m.RangeRequest(key=b"\0", keys_only=True)
        return self._saw((await self._members.read(m.KV + "Range", request, m.RangeResponse, timeout_s)).header)

    async def get(self, key: bytes, *, revision: int = 0) -> Record | None:
        found = await self._range(m.RangeRequest(key=key, revision=revision))
        return record_of(found.kvs[0]) if found.kvs else None

    async def range(self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0) -> Range:
        if start >= end != b"\0":
            return Range([], revision or await self.newest(), 0)
        found = await self._range(m.RangeRequest(key=start or b"\0", range_end=end, revision=revision, limit=limit))
        at = revision or self._saw(found.header)
        return Range([record_of(kv) for kv in found.kvs], at, found.count)

    async def _range(self, request: m.RangeRequest) -> m.RangeResponse:
        self._usable()
        try:
            found = await self._members.read(m.KV + "Range", request, m.RangeResponse)
        except StoreError as error:
            raise await self._understood(error) from None
        self._saw(found.header)
        return found

    async def _understood(self, error: StoreError) -> StoreError:
        """etcd tells that something is compacted, but not up to where; that is learned from a watch."""
        text = str(error)
        if "has been compacted" in text:
            self._compact_revision = max(self._compact_revision, await self._compacted_at())
            return Compacted(self._compact_revision)
        if "future revision" in text:
            return FutureRevision("mvcc: required revision is a future revision")
        return error

    async def _compacted_at(self) -> int:
        """A watch that begins too early is ended with the revision that it should have begun at."""
        request = m.WatchRequest(create=m.WatchCreateRequest(key=b"\0", start_revision=1))
        answer = await self._members.exchange(
            m.WATCH, request, m.WatchResponse, accept=lambda found: bool(found.compact_revision)
        )
        return answer.compact_revision

    # Writing.

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> TxnResult:
        self._usable()
        if len({write.key for write in writes}) != len(writes):
            raise StoreError("etcdserver: duplicate key given in txn request")
        if len(writes) > MAX_OPERATIONS or len(compares) > MAX_OPERATIONS:
            raise StoreError("etcdserver: too many operations in txn request")
        request = m.TxnRequest(
            compare=[
                m.Comparison(target=m.OF_MODIFICATION, key=compare.key, mod_revision=compare.mod_revision)
                for compare in compares
            ],
            success=[_operation(write) for write in writes],
            failure=[m.RequestOp(range=m.RangeRequest(key=compare.key)) for compare in compares],
        )
        found = await self._members.write(m.KV + "Txn", request, m.TxnResponse)
        revision = self._saw(found.header)
        if found.succeeded:
            return TxnResult(True, revision)
        return TxnResult(False, revision, tuple(_first(answer.range) for answer in found.responses))

    # Watching.

    def watch(self, start: bytes, end: bytes, from_revision: int, *, previous: bool = True) -> Watch:
        self._usable()
        if from_revision <= 0:
            from_revision = self._revision + 1
        elif from_revision <= self._compact_revision:
            raise Compacted(self._compact_revision)
        return EtcdWatch(self._members, start, end, from_revision, previous=previous, saw=self._saw_revision)

    # Leases.

    async def grant(self, ttl_s: int) -> int:
        self._usable()
        request = m.LeaseGrantRequest(ttl=max(1, ttl_s))
        return (await self._members.write(m.LEASE + "LeaseGrant", request, m.LeaseResponse)).id

    async def keep_alive(self, lease: int) -> int:
        self._usable()
        answer = await self._members.exchange(m.LEASE + "LeaseKeepAlive", m.LeaseRequest(id=lease), m.LeaseResponse)
        if answer.ttl <= 0:
            raise LeaseNotFound("requested lease not found")
        return answer.ttl

    async def revoke(self, lease: int) -> None:
        self._usable()
        done = await self._members.write(m.LEASE + "LeaseRevoke", m.LeaseRequest(id=lease), m.HeaderOnly)
        self._saw(done.header)

    # Keeping house.

    async def compact(self, revision: int) -> None:
        self._usable()
        try:
            found = await self._members.read(m.KV + "Compact", m.CompactionRequest(revision=revision), m.HeaderOnly)
        except StoreError as error:
            raise await self._understood(error) from None
        self._saw(found.header)
        self._compact_revision = max(self._compact_revision, revision)

    async def snapshot(self, path: str) -> int:
        """etcd's own snapshot, a file that its tools restore; complete and verified, or absent."""
        self._usable()
        target = Path(path)
        if target.exists():
            raise StoreError(f"{target} exists: give a snapshot a new path")
        partial = target.with_name(target.name + ".partial")
        try:
            await self._write_snapshot(partial)
            partial.rename(target)
        except OSError as error:
            raise StoreFailed(f"{target}: the snapshot could not be written ({error})") from error
        finally:
            partial.unlink(missing_ok=True)
        return await self.newest()

    async def _write_snapshot(self, partial: Path) -> None:
        """The stream ends with the SHA-256 of all before it."""
        digest, tail = hashlib.sha256(), b""
        descriptor = os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        try:
            async for part in self._members.server_stream(m.MAINTENANCE + "Snapshot", m.Empty(), m.SnapshotResponse):
                await asyncio.to_thread(_write_all, descriptor, part.blob)
                data = tail + part.blob
                digest.update(data[:-_DIGEST_BYTES])
                tail = data[-_DIGEST_BYTES:]
            await asyncio.to_thread(os.fsync, descriptor)
        finally:
            os.close(descriptor)
        if digest.digest() != tail:
            raise StoreFailed("etcd: the snapshot arrived damaged")

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._members.close()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _operation(write: Put | Delete) -> m.RequestOp:
    if isinstance(write, Put):
        return m.RequestOp(put=m.PutRequest(key=write.key, value=write.value, lease=write.lease))
    return m.RequestOp(delete_range=m.DeleteRangeRequest(key=write.key))


def _first(found: m.RangeResponse | None) -> Record | None:
    return record_of(found.kvs[0]) if found is not None and found.kvs else None
