"""One request on one connection, and how it is answered: all the HTTP that the API of simulated kubelets needs.

Each connection is closed after its answer: requests for several nodes may come to one address, and a client that keeps
connections could not tell them apart. Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

HEAD_BYTES_MAX = 64 * 1024
_HEAD_S = 30.0


class BadHead(Exception):
    """What came is no request."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """Decoded."""
    query: dict[str, list[str]]
    headers: dict[str, list[str]]
    """Names in lower case."""

    def header(self, name: str) -> str:
        """The first of this name, in lower case; empty without."""
        return next(iter(self.headers.get(name, ())), "")

    def listed(self, name: str) -> list[str]:
        """All values of a header that holds lists."""
        return [part.strip() for text in self.headers.get(name, ()) for part in text.split(",") if part.strip()]

    def first(self, name: str) -> str:
        """Of a query's parameter."""
        return next(iter(self.query.get(name, ())), "")

    @property
    def upgrades(self) -> bool:
        return "upgrade" in [part.lower() for part in self.listed("connection")] and bool(self.header("upgrade"))

    @property
    def websocket(self) -> bool:
        return self.header("upgrade").lower() == "websocket"


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Raises BadHead, TimeoutError, OSError, EOFError. A body is not read: no request of a kubelet's API needs one."""
    async with asyncio.timeout(_HEAD_S):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise BadHead from None
    line, *fields = head.decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadHead
    headers: dict[str, list[str]] = {}
    for entry in fields:
        name, colon, text = entry.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), []).append(text.strip())
    target = urlsplit(words[1])
    return Request(words[0], unquote(target.path), parse_qs(target.query, keep_blank_values=True), headers)


def _head(status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close"]
    lines += [f"{name}: {text}" for name, text in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


async def answer(
    writer: asyncio.StreamWriter, body: bytes, status: int = 200, content_type: str = "text/plain; charset=utf-8"
) -> None:
    """Raises OSError."""
    writer.write(_head(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))]) + body)
    await writer.drain()


async def answer_stream(writer: asyncio.StreamWriter, pieces: AsyncIterator[bytes]) -> None:
    """Piece by piece, as they come. Raises OSError when the client is gone."""
    writer.write(_head(200, [("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")]))
    async for piece in pieces:
        if piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
