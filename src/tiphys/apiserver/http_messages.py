"""What passes over a connection: heads and bodies of requests, heads of answers, and raw bytes after an upgrade."""

from __future__ import annotations

import asyncio
import contextlib
import http
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tiphys.api.errors import BadRequest, RequestTooLarge
from tiphys.apiserver.chain.exchange import Answer, Stream

if TYPE_CHECKING:
    from tiphys.apiserver.http import Connection

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LAST_CHUNK = b"0\r\n\r\n"
_MAX_TUNNEL_BUFFER = 1024 * 1024


class Headers(Mapping[str, str]):
    """A request's headers: found in any case. Iterating gives each name once, in lower case."""

    __slots__ = ("_first", "_repeated")

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        """By name; of a repeated header the first value, the others are in `_repeated`."""
        self._repeated: list[tuple[str, str]] = []

    def add(self, name: bytes, value: bytes) -> None:
        lower, text = name.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape")
        if self._first.setdefault(lower, text) is not text:
            self._repeated.append((lower, text))

    def __getitem__(self, name: str) -> str:
        return self._first[name.lower()]

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override] # headers are text, absent ones are empty
        return self._first.get(name.lower(), default)

    def getall(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Every value of a repeated header, in order."""
        wanted = name.lower()
        if wanted not in self._first:
            return default
        return (self._first[wanted], *[value for repeated, value in self._repeated if repeated == wanted])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._first

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def __len__(self) -> int:
        return len(self._first)


class Incoming:
    """A request as it arrives."""

    __slots__ = (
        "_asked", "_connection", "_cut", "_pieces", "_size", "_unwanted", "_wake", "complete", "headers", "keep_alive",
        "method", "target",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.method = ""
        self.target = b""
        self.headers = Headers()
        self.keep_alive = False
        self.complete = False
        """All of it has arrived."""
        self._asked = False
        """The client was told to go on."""
        self._pieces: list[bytes] = []
        self._size = 0
        self._cut = False
        self._unwanted = False
        self._wake: asyncio.Future[None] | None = None

    def feed(self, piece: bytes) -> int:
        """A piece of the body; returns how many bytes wait to be read."""
        if self._unwanted:
            return 0
        self._pieces.append(piece)
        self._size += len(piece)
        self.wake()
        return self._size

    def cut(self) -> None:
        """The client is gone."""
        self._cut = True
        self.wake()

    def wake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    @property
    def unasked(self) -> bool:
        """The client waits to be told that its body is wanted, and was not told."""
        return not self.complete and not self._asked and self.headers.get("expect").lower() == "100-continue"

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises RequestTooLarge in upstream's words, BadRequest when it is cut short."""
        stated = self.headers.get("content-length")
        if stated and int(stated) > limit:
            raise _too_large(limit)
        if self.unasked:
            self._asked = True
            self._connection.write(_CONTINUE)
        found: list[bytes] = []
        size = 0
        while True:
            found += self._pieces
            size += self._size
            self._pieces, self._size = [], 0
            if size > limit:
                raise _too_large(limit)
            if self.complete:
                return found[0] if len(found) == 1 else b"".join(found)
            if self._cut:
                raise BadRequest("the body of the request could not be read: unexpected EOF")
            self._connection.hold(False)
            await self._change()

    async def discard(self, timeout_s: float) -> None:
        """Let the rest of the body pass by, but wait no longer than `timeout_s` for its end."""
        self._unwanted = True
        self._pieces, self._size = [], 0
        self._connection.hold(False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self.complete and not self._cut:
                    await self._change()

    async def _change(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"Request entity too large: limit is {limit}")


class Tunnel:
    """The client's end of a connection that has left HTTP. A `Duplex`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._wake = asyncio.Event()

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        self._wake.set()
        if self._size > _MAX_TUNNEL_BUFFER:
            self._connection.hold(True)

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
        self._connection.hold(False)
        return data

    async def write(self, data: bytes) -> None:
        self._connection.write(data)
        await self._connection.room()

    def close(self) -> None:
        self._connection.close()


class _Dates:
    """The Date header, made once per second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = ""

    def line(self) -> str:
        now = int(time.time())
        if now != self._second:
            self._second = now
            moment = time.gmtime(now)
            # Not strftime: the names of days and months are English here, whatever the locale.
            self._line = (
                f"Date: {_DAYS[moment.tm_wday]}, {moment.tm_mday:02} {_MONTHS[moment.tm_mon - 1]} {moment.tm_year} "
                f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02} GMT\r\n"
            )
        return self._line


_dates = _Dates()


def head_of(answer: Answer | Stream, audit_id: str, length: int | None, keep_alive: bool) -> bytes:
    """Status line and headers; a body of unknown length comes in chunks."""
    extra = "".join([f"{name}: {value}\r\n" for name, value in answer.headers]) if answer.headers else ""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    tail = "" if keep_alive else "Connection: close\r\n"
    line = _STATUS_LINES.get(answer.status) or f"HTTP/1.1 {answer.status} \r\n".encode()
    text = (
        f"Audit-Id: {audit_id}\r\nCache-Control: no-cache, private\r\nContent-Type: {answer.content_type}\r\n"
        f"{extra}{framing}\r\n{tail}{_dates.line()}\r\n"
    )
    return line + text.encode()


def chunk(batch: Sequence[bytes]) -> bytes:
    """A batch of at least one byte as one chunk."""
    return b"".join((b"%x\r\n" % sum(map(len, batch)), *batch, b"\r\n"))


def refusal(status: int, text: str) -> bytes:
    """A whole answer to what is no request."""
    body = f"{status} {text}".encode()
    head = f"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return _STATUS_LINES[status] + head.encode() + body
