"""One request and its answer, free of any HTTP framework.

The adapter in `apiserver/http.py` makes an `Exchange` of what the framework hands it and writes back the `Answer`;
everything between knows only this file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from urllib.parse import unquote_plus

import msgspec

from tiphys.apiserver.request import ANONYMOUS, RequestInfo, User

if TYPE_CHECKING:
    from tiphys.apiserver.chain.audit.trail import Trail

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
PIECE_BYTES = 128 * 1024
"""Of a large body: what is handed to TLS at once."""


class Duplex(Protocol):
    """The client's end of a connection that has left HTTP: raw bytes both ways."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more. Raises ConnectionError."""

    def close(self) -> None: ...


class Joined:
    """A large body, put together piece by piece as it is sent: a long list is never in memory twice."""

    __slots__ = ("_length", "_parts")

    def __init__(self, parts: Sequence[bytes]) -> None:
        """`parts` (at least one) are joined by commas."""
        self._parts = parts
        self._length = sum(map(len, parts)) + len(parts) - 1

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        """Pieces of about `PIECE_BYTES`, or of one part where that is larger."""
        parts = self._parts
        step = 1 + PIECE_BYTES * len(parts) // (self._length + 1)
        for start in range(0, len(parts), step):
            piece = b",".join(parts[start : start + step])
            yield piece if start + step >= len(parts) else piece + b","


class Answer(msgspec.Struct):
    """A whole answer."""

    body: bytes | Joined = b""
    status: int = 200
    content_type: str = JSON
    headers: Sequence[tuple[str, str]] = ()


@runtime_checkable
class EventFeed(Protocol):
    """Batches that come by themselves and wait to be taken: sending them takes no task."""

    ready: Callable[[], None]
    """Set by whoever takes: called when there is something after there was nothing, and at the end."""

    @property
    def ended(self) -> bool: ...

    def take(self) -> list[bytes]:
        """What waits to be sent; empty when there is nothing now."""

    def close(self) -> None:
        """Nothing more is wanted; what waits is still sent. Idempotent."""

    def __aiter__(self) -> AsyncIterator[list[bytes]]:
        """The same batches, for who wants to wait for them."""


class Stream(msgspec.Struct):
    """An answer of unknown length: each batch is written as one chunk, without copying its pieces again."""

    batches: AsyncIterable[list[bytes]]
    """An `EventFeed` is taken from, once in a turn of the loop; anything else is iterated over."""
    status: int = 200
    content_type: str = JSON
    headers: Sequence[tuple[str, str]] = ()
    close: Callable[[], None] = lambda: None
    """Called when the stream has ended, however it ended; twice where the client has left it."""


class Takeover(msgspec.Struct):
    """The connection leaves HTTP: `run` owns it until it returns, and writes even the status line itself."""

    run: Callable[[Duplex], Awaitable[None]]


Reply = Answer | Stream | Takeover
Handler = Callable[["Exchange"], Awaitable[Reply]]


class Exchange:
    """A request on its way through the chain. Links fill in `info`, then `user`; handlers read them."""

    __slots__ = (
        "_read", "annotations", "audit_id", "client_user", "headers", "info", "method", "path", "raw_query", "remote",
        "started", "stopping", "trail", "user", "warnings",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        path: str,
        raw_query: str,
        headers: Mapping[str, str],
        read: Callable[[int], Awaitable[bytes]],
        *,
        client_user: User | None = None,
        remote: str = "",
        started: float = 0.0,
        stopping: asyncio.Event | None = None,
    ) -> None:
        self.method = method
        self.path = path
        """Percent-decoded."""
        self.raw_query = raw_query
        self.headers = headers
        """Case-insensitive; of a repeated header the first value (`all_values` has them all)."""
        self._read = read
        self.client_user = client_user
        """Whom the client's certificate names."""
        self.remote = remote
        self.started = started
        self.stopping = stopping
        """Set when the server begins to stop: long answers end then."""
        self.info: RequestInfo = _UNRESOLVED
        self.user: User = ANONYMOUS
        self.warnings: list[str] = []
        self.annotations: dict[str, str] = {}
        """Of the request's audit events."""
        self.audit_id = ""
        self.trail: Trail | None = None
        """What audit records of this request."""

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises RequestTooLarge beyond `limit` bytes."""
        data = await self._read(limit)
        if self.trail is not None:
            self.trail.request_body(data, self.headers.get("Content-Type", ""))
        return data

    def all_values(self, header: str) -> list[str]:
        getall = getattr(self.headers, "getall", None)
        if getall is not None:
            return list(getall(header, ()))
        value = self.headers.get(header)
        return [] if value is None else [value]


def parse_query(raw: str) -> dict[str, tuple[str, ...]]:
    """Every value of every parameter, in order. Lenient as Go's url.ParseQuery: what cannot be decoded is kept."""
    found: dict[str, tuple[str, ...]] = {}
    for piece in raw.split("&"):
        if not piece:
            continue
        name, _, value = piece.partition("=")
        name, value = unquote_plus(name), unquote_plus(value)
        found[name] = (*found.get(name, ()), value)
    return found


_UNRESOLVED = RequestInfo(verb="", path="")
