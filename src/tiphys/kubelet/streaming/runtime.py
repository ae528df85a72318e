"""Upgrading a connection to the runtime's stream server.

Source: staging/src/k8s.io/apimachinery/pkg/util/proxy/upgradeaware.go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPMessage, parse_headers
from io import BytesIO
from urllib.parse import urlsplit

from tiphys.api.errors import InternalError
from tiphys.base.hangup import reset

_CONNECT_S = 10.0
_ANSWER_S = 30.0
_CLOSE_S = 10.0
_READ_LIMIT = 256 * 1024
_REFUSAL_BYTES_MAX = 64 * 1024
SPDY = "SPDY/3.1"


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """The runtime's stream server answered, but not with an upgrade."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A connection that has left HTTP."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes
    """The answer to the upgrade as it came, with its empty line."""
    headers: HTTPMessage


async def upgrade(url: str, method: str, headers: Iterable[tuple[str, str]]) -> Upgraded:
    """Raises Refusal, InternalError where the stream server cannot be reached."""
    place = urlsplit(url)
    lines = [
        f"{method} {place.path or '/'}{'?' + place.query if place.query else ''} HTTP/1.1",
        f"Host: {place.netloc}",
    ]
    lines += [f"{name}: {value}" for name, value in headers]
    if method == "POST":
        lines.append("Content-Length: 0")
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(place.hostname, place.port or 80, limit=_READ_LIMIT)
    except (OSError, TimeoutError) as error:
        raise InternalError(f"error dialing backend: {str(error) or 'i/o timeout'}") from None
    try:
        async with asyncio.timeout(_ANSWER_S):
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
            return await _answer(reader, writer)
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError) as error:
        writer.close()
        text = "unexpected EOF" if isinstance(error, EOFError) else str(error) or "i/o timeout"
        raise InternalError(f"error dialing backend: {text}") from None
    except BaseException:
        writer.close()
        raise


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Upgraded:
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, _, rest = head.partition(b"\r\n")
    words = status_line.split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise InternalError("the runtime's stream server does not speak HTTP")
    headers = parse_headers(BytesIO(rest))
    if words[1] == b"101":
        return Upgraded(reader, writer, head, headers)
    length = headers.get("Content-Length", "")
    size = min(int(length), _REFUSAL_BYTES_MAX) if length.isdigit() else 0
    text = (await reader.readexactly(size)).decode(errors="replace")
    raise Refusal(int(words[1]), text)


async def shut(writer: asyncio.StreamWriter) -> None:
    """Close, giving what is still to be sent a while; a peer that does not read is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        with contextlib.suppress(OSError):
            reset(writer.transport)
