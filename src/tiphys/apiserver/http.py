"""HTTP/1.1 on httptools' parser: connections in, `Exchange`s to the chain, `Reply`s out.

The only file of the API server that knows HTTP's wire. A connection answers one request after the other, pipelined
ones too. An upgrade ends HTTP on its connection: what the client sends from then on belongs to the tunnel, and where
the upgrade is refused, the connection is closed behind the answer. Why not a framework: docs/adr/0001.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import httptools

from tiphys.apiserver.chain.certificates import user_of
from tiphys.apiserver.chain.exchange import PIECE_BYTES, Answer, EventFeed, Exchange, Joined, Reply, Stream
from tiphys.apiserver.http_feed import Feeder, Round
from tiphys.apiserver.http_messages import LAST_CHUNK, Incoming, Tunnel, chunk, head_of, refusal
from tiphys.apiserver.request import User
from tiphys.base.hangup import ended_with

log = logging.getLogger(__name__)

Serve = Callable[[Exchange], Awaitable[Reply]]

_KEEP_ALIVE_S = 180.0
"""How long a connection may be without a request, or be sending the head of one."""
_SWEEP_S = 30.0
_QUIET_S = 0.4
"""A connection that had no request for so long is unlikely to have one on its way."""
_LINGER_S = 2.0
"""How long the rest of a body that nobody wants is read, so that the client sees the answer."""
_LARGE = 64 * 1024
_MAX_HEAD = 64 * 1024
_MAX_PIPELINED = 16
_MAX_WAITING_BODY = 1024 * 1024


class Connection(asyncio.Protocol):
    """One client: its requests in order, whom its certificate names, and what became of it after an upgrade.

    The methods called `on_...` are the parser's.
    """

    __slots__ = (
        "_begun", "_drained", "_head_bytes", "_incoming", "_loop", "_more", "_parser", "_paused", "_requests",
        "_server", "_task", "_transport", "client_user", "feeder", "idle_since", "lost", "remote", "tunnel",
    )  # fmt: skip

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._loop = server.loop
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._incoming: Incoming | None = None
        """The request whose head or body is being read."""
        self._begun = False
        self._head_bytes = 0
        self._requests: deque[Incoming] = deque()
        """Whole heads that wait to be answered."""
        self._more: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._paused = False
        self.client_user: User | None = None
        self.remote = ""
        self.tunnel: Tunnel | None = None
        self.lost: Callable[[], None] | None = None
        """Called when the client goes away while a stream is being written."""
        self.feeder: Feeder | None = None
        """Sends the feed that is being answered with."""
        self.idle_since = self._loop.time()
        """When the last answer was written; infinity while one is being made."""

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._server.admit(self):
            self._transport.abort()
            return
        self.client_user = user_of(transport.get_extra_info("ssl_object"))
        peer = transport.get_extra_info("peername")
        self.remote = str(peer[0]) if peer else ""
        with contextlib.suppress(OSError, AttributeError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._task = self._loop.create_task(self._run())

    def data_received(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.feed(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.tunnel = Tunnel(self)
            if rest := data[upgrade.args[0] :]:
                self.tunnel.feed(rest)
        except httptools.HttpParserError as error:
            self._refuse(400, f"Bad Request: {error}")
        else:
            if self._begun:
                self._head_bytes += len(data)
                if self._head_bytes > _MAX_HEAD:
                    self._refuse(431, "Request Header Fields Too Large")

    def eof_received(self) -> None:
        if self.tunnel is not None:
            self.tunnel.feed_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.leave(self)
        for waiter in (self._drained, self._more):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        for incoming in (self._incoming, *self._requests):
            if incoming is not None:
                incoming.cut()
        if self.tunnel is not None:
            self.tunnel.feed_eof()
        if self.lost is not None:
            self.lost()
        if self.feeder is not None:
            self.feeder.lose()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None
        if self.feeder is not None:
            self.feeder.ready()

    @property
    def held(self) -> bool:
        """The client does not read, and enough waits for it."""
        return self._drained is not None

    async def room(self) -> None:
        """Waits while the client does not read. Raises ConnectionError when it is gone."""
        if self._drained is not None:
            await asyncio.shield(self._drained)
        if self._transport is None:
            raise ConnectionResetError("the client is gone")

    def write(self, data: bytes | memoryview) -> None:
        """Raises ConnectionError when the client is gone."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(data)

    def hold(self, hold: bool) -> None:
        """Stop or go on reading from the client."""
        if hold != self._paused and self._transport is not None:
            self._paused = hold
            (self._transport.pause_reading if hold else self._transport.resume_reading)()

    def close(self) -> None:
        """After what is written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    @property
    def busy(self) -> bool:
        return self.idle_since == float("inf")

    def _refuse(self, status: int, text: str) -> None:
        """What cannot be parsed: answered when nothing else is being answered, and never again listened to."""
        if self._transport is not None:
            if not self.busy and not self._requests:
                self._transport.write(refusal(status, text))
            self._transport.close()

    # The parser's side.

    def on_message_begin(self) -> None:
        self._incoming = Incoming(self)
        self._begun, self._head_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        if self._incoming is not None:
            self._incoming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._incoming is not None:
            self._incoming.headers.add(name, value)

    def on_headers_complete(self) -> None:
        incoming = self._incoming
        if incoming is None:
            return
        self._begun = False
        hosts = incoming.headers.getall("host")
        if len(hosts) != 1 and (hosts or self._parser.get_http_version() == "1.1"):
            # RFC 9112, 3.2: whoever stands between may have understood another one.
            self._refuse(400, "Bad Request: " + ("too many Host headers" if hosts else "missing required Host header"))
            return
        codings = incoming.headers.getall("transfer-encoding")
        if codings and [coding.lower() for coding in codings] != ["chunked"]:
            self._refuse(501, "Not Implemented: Unsupported transfer encoding")
            return
        incoming.method = self._parser.get_method().decode("ascii")
        incoming.keep_alive = self._parser.should_keep_alive()
        self._requests.append(incoming)
        if len(self._requests) > _MAX_PIPELINED:
            self.hold(True)
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def on_body(self, piece: bytes) -> None:
        incoming = self._incoming
        if incoming is not None and incoming.feed(piece) > _MAX_WAITING_BODY:
            self.hold(True)

    def on_message_complete(self) -> None:
        if self._incoming is not None:
            self._incoming.complete = True
            self._incoming.wake()
            self._incoming = None

    # Answering.

    async def _run(self) -> None:
        try:
            while self._transport is not None:
                if not self._requests:
                    # Reading stopped where a large body had arrived before anyone asked for it.
                    self.hold(False)
                    self._more = self._loop.create_future()
                    await self._more
                    continue
                incoming = self._requests.popleft()
                if self._paused and not self._requests:
                    self.hold(False)
                self.idle_since = float("inf")
                if not await self._one(incoming):
                    self.close()
                    return
                self.idle_since = self._loop.time()
        except ConnectionError:
            self.close()
        except Exception:
            log.exception("%s: an answer broke off", self.remote)
            self.abort()

    async def _one(self, incoming: Incoming) -> bool:
        """Answer one request; whether the connection is good for another."""
        server = self._server
        path, _, query = incoming.target.decode("utf-8", "surrogateescape").partition("?")
        if path[:1] != "/":
            path = urlsplit(path).path or "/"
        if "%" in path:
            path = unquote(path)
        headers = incoming.headers
        exchange = Exchange(
            incoming.method, path, query, headers, incoming.read,
            client_user=self.client_user, remote=self.remote, started=time.monotonic(), stopping=server.stopping,
        )  # fmt: skip
        audit_id = exchange.audit_id = (headers.get("audit-id") or server.audit_ids())[:64]
        reply = await server.serve(exchange)
        keep_alive = incoming.keep_alive and incoming.complete and self.tunnel is None and not server.stopping.is_set()
        if isinstance(reply, Answer):
            await self._whole(reply, audit_id, head_only=incoming.method == "HEAD", keep_alive=keep_alive)
        elif isinstance(reply, Stream):
            await self._chunks(reply, audit_id, head_only=incoming.method == "HEAD", keep_alive=keep_alive)
        else:
            await self._take_over(reply.run)
            return False
        if not incoming.complete and not incoming.unasked:
            await incoming.discard(_LINGER_S)
        return keep_alive and not server.stopping.is_set()

    async def _whole(self, answer: Answer, audit_id: str, *, head_only: bool, keep_alive: bool) -> None:
        body = answer.body
        head = head_of(answer, audit_id, len(body), keep_alive)
        if head_only:
            self.write(head)
        elif isinstance(body, bytes) and len(body) < _LARGE:
            self.write(head + body)
        else:
            # Piece by piece, as the client reads: TLS would keep a second copy of all that it is handed at once.
            self.write(head)
            for piece in body if isinstance(body, Joined) else _pieces(body):
                self.write(piece)
                if self._drained is not None:
                    await self.room()

    async def _chunks(self, stream: Stream, audit_id: str, *, head_only: bool, keep_alive: bool) -> None:
        try:
            self.lost = stream.close
            self.write(head_of(stream, audit_id, None, keep_alive))
            if head_only:
                return
            if isinstance(stream.batches, EventFeed):
                await self._feed(stream.batches)
            else:
                async for batch in stream.batches:
                    self.write(chunk(batch))
                    if self._drained is not None:
                        await self.room()
            self.write(LAST_CHUNK)
        finally:
            self.lost = None
            stream.close()

    async def _feed(self, events: EventFeed) -> None:
        feeder = self.feeder = Feeder(self, events, self._server.round)
        try:
            if self._server.stopping.is_set():
                feeder.end()
            await feeder.run()
        finally:
            self.feeder = None

    async def _take_over(self, run: Callable[[Tunnel], Awaitable[None]]) -> None:
        tunnel = self.tunnel = self.tunnel or Tunnel(self)
        try:
            async with ended_with(self._transport):
                await run(tunnel)
        finally:
            tunnel.close()


def _pieces(body: bytes) -> Iterator[memoryview]:
    view = memoryview(body)
    return (view[start : start + PIECE_BYTES] for start in range(0, len(body), PIECE_BYTES))


class HttpServer:
    """The protocol factory of every listener."""

    def __init__(self, serve: Serve, *, max_connections: int, audit_ids: Callable[[], str]) -> None:
        self.loop = asyncio.get_running_loop()
        self.serve = serve
        self.audit_ids = audit_ids
        self.connections: set[Connection] = set()
        self.stopping = asyncio.Event()
        self.round = Round(self.loop)
        self._empty = asyncio.Event()
        self._max_connections = max_connections
        self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)

    def __call__(self) -> Connection:
        return Connection(self)

    def admit(self, connection: Connection) -> bool:
        """Count a new connection in, unless there are too many."""
        if len(self.connections) >= self._max_connections:
            log.warning("more than %d connections: one is refused", self._max_connections)
            return False
        self.connections.add(connection)
        self._empty.clear()
        return True

    def leave(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def _sweep(self) -> None:
        """Close connections that have been without a request for too long."""
        self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)
        limit = self.loop.time() - _KEEP_ALIVE_S
        for connection in [one for one in self.connections if one.idle_since < limit]:
            connection.close()

    def begin_stopping(self) -> None:
        """Every answer from now on is its connection's last; those that would last for ever end now."""
        self.stopping.set()
        for connection in self.connections:
            if connection.feeder is not None:
                connection.feeder.end()

    async def shutdown(self, timeout_s: float) -> None:
        """Close quiet connections now, the others when they have answered, and all of them after `timeout_s`.

        Where there was a request a moment ago the next one may be on its way: closing then would leave its sender
        without an answer. So such connections are given a moment, and their next answer is their last.
        """
        self.begin_stopping()
        self._sweeper.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.connections:
                    quiet_since = self.loop.time() - _QUIET_S
                    for connection in [one for one in self.connections if one.idle_since < quiet_since]:
                        connection.close()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._empty.wait(), _QUIET_S / 4)
        for connection in list(self.connections):
            connection.abort()
