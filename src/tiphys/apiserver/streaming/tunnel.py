"""Raw tunnels: the client's upgrade is replayed to a backend, and once that agrees, bytes pass both ways untouched.

What the two say to each other (SPDY, WebSocket) is none of our business: even the answer to the upgrade is the
backend's own. Source: staging/src/k8s.io/apimachinery/pkg/util/proxy/upgradeaware.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING

from tiphys.api.errors import BadRequest
from tiphys.apiserver.chain.exchange import TEXT, Answer, Duplex, Exchange, Reply, Takeover
from tiphys.apiserver.streaming.kubelet import Unreachable
from tiphys.base.hangup import reset

if TYPE_CHECKING:
    from http.client import HTTPMessage

log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_END = b"\r\n\r\n"
_REFUSAL_BYTES_MAX = 64 * 1024
_ANSWER_S = 130.0
"""A kubelet waits up to two minutes for its runtime."""
_CLOSE_S = 10.0
_FORWARDED = (
    "Upgrade", "Connection", "X-Stream-Protocol-Version", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
    "Sec-WebSocket-Extensions", "Origin", "User-Agent",
)  # fmt: skip
_BEARER = "base64url.bearer.authorization.k8s.io."


def wants_upgrade(exchange: Exchange) -> bool:
    """Whether the client asks to leave HTTP."""
    connection = exchange.headers.get("Connection", "").lower()
    return "upgrade" in [part.strip() for part in connection.split(",")] and bool(exchange.headers.get("Upgrade"))


def require_upgrade(exchange: Exchange) -> None:
    """Raises BadRequest for a plain request."""
    if not wants_upgrade(exchange):
        raise BadRequest("Upgrade request required")


def request_head(exchange: Exchange, target: str, authority: str) -> bytes:
    """The upgrade as the backend gets it: what concerns the stream is kept, credentials are not.

    Raises BadRequest where a header holds a line break.
    """
    lines = [f"{exchange.method} {target} HTTP/1.1", f"Host: {authority}"]
    for name in _FORWARDED:
        for value in exchange.all_values(name):
            lines.append(f"{name}: {value}")
    protocols = list(protocols_of(exchange))
    if protocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(protocols)}")
    if exchange.method == "POST":
        lines.append("Content-Length: 0")
    if any("\r" in line or "\n" in line for line in lines):
        raise BadRequest("a header of the request holds a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def protocols_of(exchange: Exchange) -> Iterable[str]:
    """The WebSocket protocols that the client asks for; a bearer token that came as one is left out."""
    for header in exchange.all_values("Sec-WebSocket-Protocol"):
        for protocol in header.split(","):
            if protocol.strip() and not protocol.strip().startswith(_BEARER):
                yield protocol.strip()


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> Reply:
    """Sends the upgrade; a takeover that joins the client and the backend, or the backend's refusal as an answer.

    Not one byte of the client's passes before the backend has said 101: until then the connection is one of HTTP with
    our own credentials, and what a client sent behind a refused upgrade would be a request in our name.
    Raises ApiError.
    """
    try:
        async with asyncio.timeout(_ANSWER_S):
            writer.write(head)
            answer = await reader.readuntil(_END)
            status, headers = _parsed(answer)
            if status != HTTPStatus.SWITCHING_PROTOCOLS:
                refusal = await _refusal(reader, status, headers)
                writer.close()
                return refusal
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError) as error:
        writer.close()
        text = "unexpected EOF" if isinstance(error, EOFError) else str(error) or "i/o timeout"
        raise Unreachable(f"error dialing backend: {text}") from error
    except BaseException:
        writer.close()
        raise
    return _joined(reader, writer, answer)


def _parsed(answer: bytes) -> tuple[int, HTTPMessage]:
    """Raises Unreachable."""
    from http.client import parse_headers  # it brings the mail package along, which no start should wait for

    line, _, rest = answer.partition(b"\r\n")
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise Unreachable("error dialing backend: malformed HTTP response")
    return int(words[1]), parse_headers(BytesIO(rest))


async def _refusal(reader: asyncio.StreamReader, status: int, headers: HTTPMessage) -> Answer:
    """The backend's own answer. Raises Unreachable where it neither upgrades nor fails."""
    if status < 400:
        raise Unreachable(f"invalid upgrade response: status code {status}")
    length = headers.get("Content-Length", "")
    if length.isdigit():
        body = await reader.readexactly(min(int(length), _REFUSAL_BYTES_MAX))
    elif headers.get("Transfer-Encoding", "").lower() == "chunked":
        body = await _chunked(reader)
    else:
        body = b""
    return Answer(body, status, headers.get("Content-Type", TEXT))


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size_text, _, _ = (await reader.readuntil(b"\n")).partition(b";")
        try:
            size = int(size_text, 16)
        except ValueError:
            raise Unreachable("error dialing backend: malformed chunked encoding") from None
        if not size or len(body) + size > _REFUSAL_BYTES_MAX:
            return body
        body += await reader.readexactly(size)
        await reader.readuntil(b"\n")


def _joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> Takeover:
    async def run(client: Duplex) -> None:
        try:
            await client.write(answer)
            async with asyncio.TaskGroup() as group:
                up = group.create_task(_upstream(client, writer))
                await _downstream(reader, client)
                # The backend has said all: what the client still sends has no one to read it.
                up.cancel()
        except* OSError as gone:
            log.debug("tunnel ended: %s", gone.exceptions[0])
        finally:
            await _shut(writer)

    return Takeover(run)


async def _shut(writer: asyncio.StreamWriter) -> None:
    """Close, giving what is still to be sent a while; a backend that does not read is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        with contextlib.suppress(OSError):
            reset(writer.transport)


async def _upstream(client: Duplex, writer: asyncio.StreamWriter) -> None:
    while data := await client.read():
        writer.write(data)
        await writer.drain()
    # The client is gone. TLS knows no half-closed connection, so the backend is closed, which ends the other direction.
    await _shut(writer)


async def _downstream(reader: asyncio.StreamReader, client: Duplex) -> None:
    while data := await reader.read(_CHUNK):
        await client.write(data)
