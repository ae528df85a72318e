"""etcd's v3 API over a store of ours: what reads Kubernetes' etcd (etcdctl and its like) reads the embedded store.

KV, Watch, Lease, and of Maintenance status and snapshot. Transactions may compare versions, revisions, values and
leases of single keys; everything that they ask goes through the store's own, so that nobody sees more, or less
durable, than the API server does.

Source: etcd server/etcdserver/api/v3rpc; api/v3rpc/rpctypes/error.go for the words.
"""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio

from tiphys.api import protobuf
from tiphys.api.meta.schema import Struct
from tiphys.store.etcd import messages as m
from tiphys.store.etcd.reading import answer_range, key_value
from tiphys.store.etcd.serving_snapshot import Copied, SnapshotSender
from tiphys.store.etcd.serving_watch import serve_watches
from tiphys.store.interface import (
    Compacted,
    Compare,
    Delete,
    FutureRevision,
    LeaseNotFound,
    Put,
    Record,
    Store,
    StoreError,
    StoreFailed,
)

MEMBER_ID = 1
_VERSION = "3.5.0"
"""Which API is spoken, for clients that ask before they call."""
_TRIES_MAX = 50
_TESTS: dict[int, Callable[[Any, Any], bool]] = {
    m.EQUAL: operator.eq, m.GREATER: operator.gt, m.LESS: operator.lt, m.NOT_EQUAL: operator.ne,
}  # fmt: skip

Handler = Callable[[Any], Awaitable[Struct]]


class Shown(Store, Copied, Protocol):
    """A store with what only its own process knows of it."""

    @property
    def live_bytes(self) -> int:
        """What the records take, history included."""

    @property
    def alarm(self) -> str:
        """`NOSPACE`, or empty."""

    def lease_ids(self) -> list[int]:
        """Of all leases."""

    def lease_state(self, lease: int) -> tuple[int, int, list[bytes]] | None:
        """(seconds granted, seconds left, its keys); None where there is no such lease."""


class EtcdView:
    """Serves `store`. `start` before use, `stop` after."""

    def __init__(self, store: Shown, *, read_only: bool = True) -> None:
        self._store = store
        self._read_only = read_only
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self, host: str, port: int, ca: Path, certificate: Path, key: Path) -> None:
        """Listen with TLS for clients whose certificates `ca` signed. Raises OSError."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Routes(self._methods(), self._store),))
        credentials = grpc.ssl_server_credentials(
            [(key.read_bytes(), certificate.read_bytes())], ca.read_bytes(), require_client_auth=True
        )
        try:
            self.port = self._server.add_secure_port(f"{host}:{port}", credentials)
        except RuntimeError as error:
            raise OSError(f"the etcd view cannot listen on {host}:{port}") from error
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=0.5)

    def _methods(self) -> dict[str, tuple[type[Struct], Handler]]:
        found: dict[str, tuple[type[Struct], Handler]] = {
            m.KV + "Range": (m.RangeRequest, self._range),
            m.LEASE + "LeaseTimeToLive": (m.LeaseTimeToLiveRequest, self._time_to_live),
            m.LEASE + "LeaseLeases": (m.Empty, self._leases),
            m.MAINTENANCE + "Status": (m.Empty, self._status),
            m.MAINTENANCE + "Alarm": (m.Empty, self._alarms),
            m.CLUSTER + "MemberList": (m.Empty, self._members),
        }
        if not self._read_only:
            found |= {
                m.KV + "Put": (m.PutRequest, self._put),
                m.KV + "DeleteRange": (m.DeleteRangeRequest, self._delete),
                m.KV + "Txn": (m.TxnRequest, self._txn),
                m.KV + "Compact": (m.CompactionRequest, self._compact),
                m.LEASE + "LeaseGrant": (m.LeaseGrantRequest, self._grant),
                m.LEASE + "LeaseRevoke": (m.LeaseRequest, self._revoke),
            }
        return found

    def _header(self) -> m.ResponseHeader:
        return m.ResponseHeader(cluster_id=1, member_id=MEMBER_ID, revision=self._store.revision, raft_term=1)

    async def _range(self, request: m.RangeRequest) -> m.RangeResponse:
        return await answer_range(self._store, request, self._header())

    async def _put(self, request: m.PutRequest) -> m.PutResponse:
        before = await self._store.get(request.key) if request.prev_kv else None
        await self._store.txn((), (Put(request.key, request.value, request.lease),))
        return m.PutResponse(header=self._header(), prev_kv=key_value(before) if before else None)

    async def _delete(self, request: m.DeleteRangeRequest) -> m.DeleteRangeResponse:
        found = (await answer_range(self._store, _as_range(request), self._header())).kvs
        compares = [Compare(kv.key, kv.mod_revision) for kv in found]
        done = await self._store.txn(compares, [Delete(kv.key) for kv in found])
        if not done.succeeded:
            return await self._delete(request)
        return m.DeleteRangeResponse(
            header=self._header(), deleted=len(found), prev_kvs=found if request.prev_kv else []
        )

    async def _txn(self, request: m.TxnRequest) -> m.TxnResponse:
        """What was compared is compared again when it is written: until nobody was faster."""
        for _ in range(_TRIES_MAX):
            standing = {compare.key: await self._store.get(compare.key) for compare in request.compare}
            holds = all(_holds(compare, standing[compare.key]) for compare in request.compare)
            operations = request.success if holds else request.failure
            writes = [write for one in operations if (write := _write_of(one)) is not None]
            guards = [Compare(key, record.mod_revision if record else 0) for key, record in standing.items()]
            if writes and not (await self._store.txn(guards, writes)).succeeded:
                continue
            answers = [await self._operation(one) for one in operations]
            return m.TxnResponse(header=self._header(), succeeded=holds, responses=answers)
        raise StoreError("etcdserver: too many requests")

    async def _operation(self, one: m.RequestOp) -> m.ResponseOp:
        if one.range is not None:
            return m.ResponseOp(range=await self._range(one.range))
        if one.put is not None:
            return m.ResponseOp(put=m.PutResponse(header=self._header()))
        return m.ResponseOp(delete_range=m.DeleteRangeResponse(header=self._header(), deleted=1))

    async def _compact(self, request: m.CompactionRequest) -> m.HeaderOnly:
        await self._store.compact(request.revision)
        return m.HeaderOnly(header=self._header())

    async def _grant(self, request: m.LeaseGrantRequest) -> m.LeaseResponse:
        lease = await self._store.grant(request.ttl)
        return m.LeaseResponse(header=self._header(), id=lease, ttl=max(1, request.ttl))

    async def _revoke(self, request: m.LeaseRequest) -> m.HeaderOnly:
        await self._store.revoke(request.id)
        return m.HeaderOnly(header=self._header())

    async def _time_to_live(self, request: m.LeaseTimeToLiveRequest) -> m.LeaseTimeToLiveResponse:
        # A TTL of -1 is a lease that is not there.
        granted, left_s, keys = self._store.lease_state(request.id) or (0, -1, [])
        return m.LeaseTimeToLiveResponse(
            header=self._header(), id=request.id, ttl=left_s, granted_ttl=granted, keys=keys if request.keys else []
        )

    async def _leases(self, _: m.Empty) -> m.LeaseLeasesResponse:
        leases = [m.LeaseRequest(id=one) for one in self._store.lease_ids()]
        return m.LeaseLeasesResponse(header=self._header(), leases=leases)

    async def _status(self, _: m.Empty) -> m.StatusResponse:
        size, revision = self._store.live_bytes, self._store.revision
        return m.StatusResponse(
            header=self._header(), version=_VERSION, db_size=size, db_size_in_use=size, leader=MEMBER_ID,
            raft_index=revision, raft_term=1, raft_applied_index=revision,
            errors=[self._store.alarm] if self._store.alarm else [],
        )  # fmt: skip

    async def _alarms(self, _: m.Empty) -> m.HeaderOnly:
        return m.HeaderOnly(header=self._header())

    async def _members(self, _: m.Empty) -> m.MemberListResponse:
        url = f"https://127.0.0.1:{self.port}"
        return m.MemberListResponse(
            header=self._header(), members=[m.Member(id=MEMBER_ID, name="tiphys", client_urls=[url])]
        )


class _Routes(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Which call is whose."""

    def __init__(self, methods: dict[str, tuple[type[Struct], Handler]], store: Shown) -> None:
        self._methods, self._store = methods, store
        self._snapshots = SnapshotSender(store)

    def service(self, details: Any) -> Any:
        if details.method == m.WATCH:
            return grpc.stream_stream_rpc_method_handler(self._watch)
        if details.method == m.LEASE + "LeaseKeepAlive" and m.LEASE + "LeaseGrant" in self._methods:
            return grpc.stream_stream_rpc_method_handler(self._keep_alive)
        if details.method == m.MAINTENANCE + "Snapshot":
            return grpc.unary_stream_rpc_method_handler(self._snapshot)
        found = self._methods.get(details.method)
        return None if found is None else grpc.unary_unary_rpc_method_handler(_unary(*found))

    async def _watch(self, requests: AsyncIterator[bytes], context: Any) -> None:
        await serve_watches(self._store, requests, context.write)

    async def _snapshot(self, _: bytes, context: Any) -> None:
        try:
            await self._snapshots.send(context.write)
        except StoreError as error:
            await context.abort(_code(error), _words(error))

    async def _keep_alive(self, requests: AsyncIterator[bytes], context: Any) -> None:
        async for data in requests:
            lease = protobuf.decode(m.LeaseRequest, data).id
            try:
                ttl = await self._store.keep_alive(lease)
            except LeaseNotFound:
                ttl = 0
            header = m.ResponseHeader(cluster_id=1, member_id=MEMBER_ID, revision=self._store.revision, raft_term=1)
            await context.write(protobuf.encode(m.LeaseResponse(header=header, id=lease, ttl=ttl), proto3=True))


def _unary(schema: type[Struct], handler: Handler) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def serve(data: bytes, context: Any) -> bytes:
        try:
            return protobuf.encode(await handler(protobuf.decode(schema, data)), proto3=True)
        except (StoreError, ValueError) as error:
            await context.abort(_code(error), _words(error))
            raise AssertionError("abort raises") from error

    return serve


def _code(error: Exception) -> grpc.StatusCode:
    if isinstance(error, Compacted | FutureRevision):
        return grpc.StatusCode.OUT_OF_RANGE
    if isinstance(error, LeaseNotFound):
        return grpc.StatusCode.NOT_FOUND
    if isinstance(error, StoreFailed):
        return grpc.StatusCode.RESOURCE_EXHAUSTED if "space" in str(error) else grpc.StatusCode.UNAVAILABLE
    return grpc.StatusCode.INVALID_ARGUMENT


def _words(error: Exception) -> str:
    if isinstance(error, Compacted):
        return "etcdserver: mvcc: required revision has been compacted"
    text = str(error)
    return text if text.startswith("etcdserver") else f"etcdserver: {text}"


def _as_range(request: m.DeleteRangeRequest) -> m.RangeRequest:
    return m.RangeRequest(key=request.key, range_end=request.range_end)


def _write_of(one: m.RequestOp) -> Put | Delete | None:
    if one.put is not None:
        return Put(one.put.key, one.put.value, one.put.lease)
    if one.delete_range is None:
        return None
    if one.delete_range.range_end:
        raise StoreError("etcdserver: ranges are not deleted in transactions here")
    return Delete(one.delete_range.key)


def _holds(compare: m.Comparison, record: Record | None) -> bool:
    if compare.range_end:
        raise StoreError("etcdserver: ranges are not compared here")
    if compare.target == m.OF_VALUE:
        return record is not None and _TESTS[compare.result](record.value, compare.value or b"")
    standing, wanted = {
        m.OF_VERSION: (record.version if record else 0, compare.version),
        m.OF_CREATION: (record.create_revision if record else 0, compare.create_revision),
        m.OF_MODIFICATION: (record.mod_revision if record else 0, compare.mod_revision),
        m.OF_LEASE: (record.lease if record else 0, compare.lease),
    }[compare.target]
    return _TESTS[compare.result](standing, wanted or 0)
