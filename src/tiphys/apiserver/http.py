"""HTTP by aiohttp's low-level server: connections in, `Exchange`s to the chain, `Reply`s out.

The only file of the API server that knows the framework. Answers are written as one piece straight to the transport
(status line, headers, body), which is what makes a GET cheap; a stream is written as HTTP chunks; after a takeover
every byte that arrives belongs to the tunnel.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_protocol import RequestHandler

from tiphys.api.errors import BadRequest, RequestTooLarge
from tiphys.apiserver.chain.certificates import user_of
from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply, Stream, Takeover
from tiphys.apiserver.request import User

log = logging.getLogger(__name__)

Serve = Callable[[Exchange], Awaitable[Reply]]
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_KEEP_ALIVE_S = 180.0
_LARGE = 64 * 1024
_MAX_TUNNEL_BUFFER = 1024 * 1024
_MAX_LINE = 32 * 1024
_MAX_HEADER = 64 * 1024


class Connection(RequestHandler):  # type: ignore[misc, type-arg, unused-ignore] # aiohttp does not mean it to be subclassed
    """One client connection: remembers whom its certificate names, and may become a tunnel."""

    __slots__ = ("client_user", "lost", "remote", "tunnel")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.client_user: User | None = None
        self.remote = ""
        self.tunnel: Tunnel | None = None
        self.lost: Callable[[], None] | None = None
        """Called when the client goes away while a stream is being written."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.client_user = user_of(transport.get_extra_info("ssl_object"))
        peer = transport.get_extra_info("peername")
        self.remote = str(peer[0]) if peer else ""

    def data_received(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.feed(data)
        else:
            super().data_received(data)

    def eof_received(self) -> None:
        if self.tunnel is not None:
            self.tunnel.feed_eof()
        else:
            super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.tunnel is not None:
            self.tunnel.feed_eof()
        if self.lost is not None:
            self.lost()
        super().connection_lost(exc)

    async def room(self) -> None:
        """Waits while the client does not read. Raises ConnectionError when it is gone."""
        await self._drain_helper()

    def hijack(self) -> Tunnel:
        """From now on, bytes go to the tunnel. What arrived behind the request's head comes first."""
        self.tunnel = Tunnel(self)
        if self._message_tail:
            self.tunnel.feed(bytes(self._message_tail))
            self._message_tail = b""
        return self.tunnel


class Tunnel:
    """The client's end of a connection that has left HTTP. A `Duplex`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._wake = asyncio.Event()
        self._paused = False

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        self._wake.set()
        transport = self._connection.transport
        if self._size > _MAX_TUNNEL_BUFFER and not self._paused and transport is not None:
            self._paused = True
            transport.pause_reading()

    def feed_eof(self) -> None:
        self._ended = True
        self._wake.set()

    async def read(self) -> bytes:
        while not self._chunks:
            if self._ended:
                return b""
            self._wake.clear()
            await self._wake.wait()
        data = b"".join(self._chunks) if len(self._chunks) > 1 else self._chunks[0]
        self._chunks.clear()
        self._size = 0
        transport = self._connection.transport
        if self._paused and transport is not None:
            self._paused = False
            transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(data)
        await self._connection.room()

    def close(self) -> None:
        if self._connection.transport is not None:
            self._connection.transport.close()


class _Dates:
    """The Date header, made once per second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._line = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self._line


_dates = _Dates()


def _head(answer: Answer | Stream, audit_id: str, length: int | None, keep_alive: bool) -> bytes:
    extra = "".join([f"{name}: {value}\r\n" for name, value in answer.headers])
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    tail = "" if keep_alive else "Connection: close\r\n"
    line = _STATUS_LINES.get(answer.status) or f"HTTP/1.1 {answer.status} \r\n".encode()
    # http.client joins header values by UTF-8; latin-1 is what a header may hold beyond ASCII.
    text = (
        f"Audit-Id: {audit_id}\r\nCache-Control: no-cache, private\r\nContent-Type: {answer.content_type}\r\n"
        f"{extra}{framing}\r\n{tail}"
    )
    return line + text.encode("utf-8") + _dates.line() + b"\r\n"


class _Written(web.StreamResponse):
    """What aiohttp gets back: a response that writes itself."""

    def __init__(self, reply: Reply, connection: Connection, audit_id: str) -> None:
        super().__init__(status=reply.status if not isinstance(reply, Takeover) else 101)
        self._reply = reply
        self._connection = connection
        self._audit_id = audit_id

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        keep_alive = request.keep_alive and not self._connection._close
        self._keep_alive = keep_alive
        reply = self._reply
        if isinstance(reply, Answer):
            await self._whole(reply, head_only=request.method == "HEAD", keep_alive=keep_alive)
        elif isinstance(reply, Stream):
            await self._chunks(reply, head_only=request.method == "HEAD")
        else:
            self._keep_alive = False
            tunnel = self._connection.hijack()
            try:
                await reply.run(tunnel)
            finally:
                tunnel.close()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None

    async def _whole(self, answer: Answer, *, head_only: bool, keep_alive: bool) -> None:
        transport = self._connection.transport
        if transport is None:
            return
        body = answer.body
        head = _head(answer, self._audit_id, len(body), keep_alive)
        if head_only:
            transport.write(head)
        elif len(body) < _LARGE:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
            await self._connection.room()

    async def _chunks(self, stream: Stream, *, head_only: bool) -> None:
        connection = self._connection
        transport = connection.transport
        try:
            if transport is None:
                return
            connection.lost = stream.close
            transport.write(_head(stream, self._audit_id, None, True))
            if not head_only:
                async for batch in stream.batches:
                    data = batch[0] if len(batch) == 1 else b"".join(batch)
                    if connection.transport is None:
                        return
                    transport.write(b"%x\r\n%b\r\n" % (len(data), data))
                    await connection.room()
            if connection.transport is not None:
                transport.write(b"0\r\n\r\n")
        except ConnectionError:
            self._keep_alive = False
        finally:
            connection.lost = None
            stream.close()


class HttpServer(web.Server):  # type: ignore[misc, type-arg, unused-ignore] # as above
    """The protocol factory of every listener: aiohttp's server with our connections."""

    def __init__(self, serve: Serve, *, max_connections: int, audit_ids: Callable[[], str]) -> None:
        self._kwargs_of_connection: dict[str, Any] = {
            "keepalive_timeout": _KEEP_ALIVE_S, "tcp_keepalive": True, "access_log": None, "lingering_time": 2.0,
            "max_line_size": _MAX_LINE, "max_field_size": _MAX_HEADER,
        }  # fmt: skip
        super().__init__(self._answer)
        self._serve = serve
        self._max_connections = max_connections
        self._audit_ids = audit_ids
        self.stopping = asyncio.Event()

    def __call__(self) -> RequestHandler:  # type: ignore[type-arg, unused-ignore]
        connection = Connection(self, loop=self._loop, **self._kwargs_of_connection)
        if len(self.connections) >= self._max_connections:
            log.warning("more than %d connections: one is refused", self._max_connections)
            self._loop.call_soon(connection.force_close)
        return connection

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        if not isinstance(connection, Connection):
            raise TypeError("requests of this server come from its own connections")
        target = request.raw_path
        path, _, query = target.partition("?")
        if "%" in path:
            path = request.path

        async def read(limit: int) -> bytes:
            return await _body(request, limit)

        exchange = Exchange(
            request.method, path, query, request.headers, read,
            client_user=connection.client_user, remote=connection.remote, started=time.monotonic(),
            stopping=self.stopping,
        )  # fmt: skip
        audit_id = request.headers.get("Audit-ID") or self._audit_ids()
        reply = await self._serve(exchange)
        return _Written(reply, connection, audit_id[:64])


async def _body(request: web.BaseRequest, limit: int) -> bytes:
    """The whole body. Raises RequestTooLarge in upstream's words, BadRequest when it is cut short."""
    content = request.content
    if content.is_eof() and not content.total_bytes:
        return b""
    stated = request.content_length
    if stated is not None and stated > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    try:
        while True:
            piece = await content.readany()
            if not piece:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
    except (web.HTTPException, ConnectionError, ValueError) as error:
        with contextlib.suppress(AttributeError):
            request.protocol.force_close()
        raise BadRequest(f"the body of the request could not be read: {error}") from None


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"Request entity too large: limit is {limit}")
