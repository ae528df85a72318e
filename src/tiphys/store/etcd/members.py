"""The members of an etcd cluster: which one is asked, and the next one when it does not answer.

Reads are repeated at the next member until their time is over. A write is repeated only where it surely was not
proposed (no connection, or a member without a leader): of any other failure nobody can tell whether it happened, and
the caller is told just that.

Source: etcd client/v3/retry_interceptor.go, for which errors allow a repetition; api/v3rpc/rpctypes/error.go.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is told by our own errors

import grpc
import grpc.aio
import msgspec

from tiphys.api import protobuf
from tiphys.api.meta.schema import Struct
from tiphys.store.etcd import messages as m
from tiphys.store.etcd.address import EtcdAddress
from tiphys.store.interface import LeaseNotFound, StoreError, StoreFailed

A = TypeVar("A", bound=Struct)

CALL_TIMEOUT_S = 10.0
"""A little more than etcd gives a proposal (5 s and twice the election timeout)."""
_READ_TRY_S = 3.0
_PAUSE_S = 0.1
_MAX_MESSAGE_BYTES = 512 << 20
_HAS_LEADER = (("hasleader", "true"),)
"""A member that lost its leader refuses calls, and ends streams, instead of waiting."""
_OPTIONS = [
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 6000),  # etcd drops clients that ask more often than every 5 s
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.max_pings_without_data", 0),  # a watch only listens: after two pings it would not ask any more
    ("grpc.enable_http_proxy", 0),
]
_NOT_PROPOSED = ("failed to connect", "no leader", "not a leader", "dns resolution failed", "connection refused")
_TURNED_AWAY = ("Unwrap failed", "BAD_CERTIFICATE", "CERTIFICATE_REQUIRED", "UNKNOWN_CA")
"""Signs of a server that ends a connection for the client's certificate."""
_ELSEWHERE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Unreachable(StoreFailed):
    """No member answered, or none that has a leader."""


class Members:
    """Calls to whichever member answers. Used from one event loop."""

    def __init__(self, address: EtcdAddress) -> None:
        address.check()
        self.address = address
        self._channels = [_channel(address, server) for server in address.servers]
        self._stubs: dict[tuple[int, str], Any] = {}
        self._current = 0
        self._cluster_id = 0
        self._known: set[int] = set()
        """Members that are of the cluster of the one that answered first."""
        self.failure = ""
        """Why nothing can be asked now; empty while members answer."""

    def __len__(self) -> int:
        return len(self._channels)

    def add(self, servers: Iterable[str]) -> None:
        """Ask these as well, when the others do not answer."""
        new = [server for server in servers if server not in self.address.servers]
        self._channels += [_channel(self.address, server) for server in new]
        self.address = msgspec.structs.replace(self.address, servers=(*self.address.servers, *new))

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def read(self, method: str, request: Struct, answer: type[A], timeout_s: float = CALL_TIMEOUT_S) -> A:
        """A call that may be repeated. Raises StoreError."""
        return await self._call(method, request, answer, timeout_s, repeatable=True)

    async def write(self, method: str, request: Struct, answer: type[A], timeout_s: float = CALL_TIMEOUT_S) -> A:
        """A call that must not happen twice. Raises StoreError; StoreFailed also where it may have happened."""
        return await self._call(method, request, answer, timeout_s, repeatable=False)

    async def _call(self, method: str, request: Struct, answer: type[A], timeout_s: float, *, repeatable: bool) -> A:
        data = protobuf.encode(request, proto3=True)
        deadline = time.monotonic() + timeout_s
        tries = 0
        while True:
            member = self._current
            left_s = deadline - time.monotonic()
            try:
                limit_s = min(left_s, _READ_TRY_S) if repeatable and len(self) > 1 else left_s
                unasked = True
                await self.check(member, limit_s)
                unasked = False
                found = await self._stub(member, method)(data, timeout=max(0.05, limit_s), metadata=_HAS_LEADER)
                self.failure = ""
                return protobuf.decode(answer, found)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _ELSEWHERE:
                    raise refusal(error) from None
                self.avoid(member)
                again = repeatable or unasked or _surely_not_proposed(error)
                tries += 1
                if not again or time.monotonic() + _PAUSE_S >= deadline:
                    raise self.unreachable(error, certain=again) from None
            if tries % len(self) == 0:  # everyone was asked
                await asyncio.sleep(_PAUSE_S)

    async def check(self, member: int, timeout_s: float) -> None:
        """Whether `member` is of the same cluster as the others; asked once. Raises StoreError, AioRpcError.

        What one cluster answered must not be gone on with at another: their revisions have nothing in common.
        """
        if member in self._known:
            return
        data = protobuf.encode(m.Empty(), proto3=True)
        answer = await self._stub(member, m.MAINTENANCE + "Status")(data, timeout=max(0.05, timeout_s))
        header = protobuf.decode(m.StatusResponse, answer).header
        found = header.cluster_id if header is not None else 0
        self._cluster_id = self._cluster_id or found
        if found != self._cluster_id:
            self.failure = f"etcd: {self.address.servers[member]} is a member of another cluster than the others"
            self.avoid(member)
            raise StoreError(self.failure)
        self._known.add(member)

    def _stub(self, member: int, method: str) -> Any:
        stub = self._stubs.get((member, method))
        if stub is None:
            stub = self._stubs[member, method] = self._channels[member].unary_unary(method)
        return stub

    def avoid(self, member: int) -> None:
        """Ask another one first from now on."""
        if self._current == member:
            self._current = (member + 1) % len(self._channels)

    def stream(self, method: str) -> tuple[int, Any]:
        """(member, a stream in both directions) at the member that is asked now."""
        return self._current, self._channels[self._current].stream_stream(method)(metadata=_HAS_LEADER)

    async def exchange(
        self, method: str, request: Struct, answer: type[A], accept: Callable[[A], bool] = lambda _: True
    ) -> A:
        """One question over a stream in both directions, and the first answer to `accept`. Raises StoreError."""
        data = protobuf.encode(request, proto3=True)
        failure: StoreError = StoreFailed("etcd did not answer in time")
        for _ in range(len(self)):
            member, call = self.stream(method)
            try:
                async with asyncio.timeout(_READ_TRY_S):
                    await call.write(data)
                    while (found := await call.read()) is not grpc.aio.EOF:
                        decoded = protobuf.decode(answer, found)
                        if accept(decoded):
                            return decoded
            except TimeoutError:
                pass
            except grpc.aio.AioRpcError as error:
                if error.code() not in _ELSEWHERE:
                    raise refusal(error) from None
                failure = self.unreachable(error)
            finally:
                call.cancel()
            self.avoid(member)
        raise failure

    async def server_stream(self, method: str, request: Struct, answer: type[A]) -> AsyncIterator[A]:
        """A long answer from one member. Raises StoreError."""
        call = self._channels[self._current].unary_stream(method)(protobuf.encode(request, proto3=True))
        try:
            async for data in call:
                yield protobuf.decode(answer, data)
        except grpc.aio.AioRpcError as error:
            raise refusal(error) from None
        finally:
            call.cancel()

    def unreachable(self, error: grpc.aio.AioRpcError, *, certain: bool = True) -> Unreachable:
        """The failure in words: who was asked, and what an administrator should look at."""
        names = ", ".join(self.address.servers)
        details = error.details() or error.code().name
        if "no leader" in details or "leader" in details:
            problem = f"etcd has no leader: too few of its members are up and reach each other (asked {names})"
        elif error.code() == grpc.StatusCode.DEADLINE_EXCEEDED or "timed out" in details:
            problem = f"etcd did not answer in time ({names})"
        else:
            problem = f"no etcd member answers ({names}): {self._trouble(details)}"
        self.failure = problem
        return Unreachable(problem if certain else f"{problem}; the write may or may not have happened")

    def _trouble(self, details: str) -> str:
        """What gRPC says of a connection that failed, with what an administrator can do about certificates."""
        where = self.address
        if "CERTIFICATE_VERIFY_FAILED" in details:
            trusted = where.ca_file or "a CA that this machine trusts"
            return f"its certificate is not signed by {trusted}, or not for its address"
        if any(sign in details for sign in _TURNED_AWAY) and all(one.startswith("https") for one in where.servers):
            return f"it does not accept the client certificate {where.cert_file or '(none was given)'}"
        if "Socket closed" in details and any(one.startswith("http://") for one in where.servers):
            return f"{details}; does it want TLS? (https://, a CA and a client certificate)"
        return details


def _surely_not_proposed(error: grpc.aio.AioRpcError) -> bool:
    details = (error.details() or "").lower()
    return any(text in details for text in _NOT_PROPOSED)


def refusal(error: grpc.aio.AioRpcError) -> StoreError:
    """What an answering member refused, as the store's own errors."""
    details = error.details() or error.code().name
    if "requested lease not found" in details:
        return LeaseNotFound("requested lease not found")
    if error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DATA_LOSS):
        return StoreFailed(f"etcd: {details}")
    if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return StoreError(f"etcd refuses this client: {details}")
    return StoreError(details)


def _channel(address: EtcdAddress, server: str) -> Any:
    parts = urlsplit(server)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    target = f"dns:///{host}:{parts.port}"
    if parts.scheme == "http":
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    files = (address.ca_file, address.key_file, address.cert_file)
    contents = [Path(file).read_bytes() if file else None for file in files]
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(*contents), options=_OPTIONS)
