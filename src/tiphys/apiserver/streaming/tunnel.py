"""Raw tunnels: the client's upgrade is replayed to a backend, and from then on bytes pass both ways untouched.

What the two say to each other (SPDY, WebSocket) is none of our business: even the answer to the upgrade is the
backend's own. Source: staging/src/k8s.io/apimachinery/pkg/util/proxy/upgradeaware.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from tiphys.api.errors import BadRequest
from tiphys.apiserver.chain.exchange import Duplex, Exchange, Takeover

log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
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
    protocols = list(_protocols(exchange.all_values("Sec-WebSocket-Protocol")))
    if protocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(protocols)}")
    if exchange.method == "POST":
        lines.append("Content-Length: 0")
    if any("\r" in line or "\n" in line for line in lines):
        raise BadRequest("a header of the request holds a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _protocols(headers: Iterable[str]) -> Iterable[str]:
    for header in headers:
        for protocol in header.split(","):
            if protocol.strip() and not protocol.strip().startswith(_BEARER):
                yield protocol.strip()


def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> Takeover:
    """A takeover that joins the client and an open connection to the backend."""

    async def run(client: Duplex) -> None:
        try:
            writer.write(head)
            async with asyncio.TaskGroup() as group:
                up = group.create_task(_upstream(client, writer))
                await _downstream(reader, client)
                # The backend has said all: what the client still sends has no one to read it.
                up.cancel()
        except* (ConnectionError, OSError) as gone:
            log.debug("tunnel ended: %s", gone.exceptions[0])
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, OSError):
                await writer.wait_closed()

    return Takeover(run)


async def _upstream(client: Duplex, writer: asyncio.StreamWriter) -> None:
    while data := await client.read():
        writer.write(data)
        await writer.drain()
    # The client is gone. TLS knows no half-closed connection, so the backend is closed, which ends the other direction.
    writer.close()


async def _downstream(reader: asyncio.StreamReader, client: Duplex) -> None:
    while data := await reader.read(_CHUNK):
        await client.write(data)
