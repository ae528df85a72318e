"""Short answers over HTTP without TLS, for health checks and metrics: no framework, so no import of one."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

Answer = Callable[[str], tuple[int, dict[str, Any] | bytes]]
"""Path to status and body: JSON, or text."""

_LONGEST_HEAD = 16 * 1024
_PATIENCE_S = 5.0
_REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


class AnswerServer:
    """Answers GET on any number of ports. One request per connection; slow and oversized ones are cut off."""

    def __init__(self, address: str = "") -> None:
        """Empty: all addresses. Another one need not be there yet: the device that carries it may come up later."""
        self._address = address
        self._servers: dict[int, asyncio.Server] = {}

    async def listen(self, port: int, answer: Answer) -> bool:
        """False where the port is taken: that is logged and must not stop the proxy."""
        await self.forget(port)
        try:
            where = {"sock": _bound(self._address, port)} if self._address else {"port": port}
            server = await asyncio.start_server(
                lambda reader, writer: _serve(reader, writer, answer), limit=_LONGEST_HEAD, **where
            )
        except OSError as error:
            log.warning("HTTP port %d: %s", port, error.strerror or error)
            return False
        self._servers[port] = server
        return True

    async def forget(self, port: int) -> None:
        server = self._servers.pop(port, None)
        if server is not None:
            server.close()

    async def close(self) -> None:
        for port in list(self._servers):
            await self.forget(port)


def _bound(address: str, port: int) -> socket.socket:
    """Raises OSError."""
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_FREEBIND", 15), 1)
        opened.bind((address, port))
    except BaseException:
        opened.close()
        raise
    return opened


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            words = head.split(b" ", 2)
            path = words[1].decode("latin-1").partition("?")[0] if len(words) == 3 else "/"
            code, body = answer(path)
            data = body if isinstance(body, bytes) else json.dumps(body).encode() + b"\n"
            kind = "text/plain; version=0.0.4; charset=utf-8" if data is body else "application/json"
            writer.write(
                f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: {kind}\r\nX-Content-Type-Options: nosniff"
                f"\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode()
            )
            if words[0] != b"HEAD":
                writer.write(data)
            await writer.drain()
    except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        pass  # Whoever asks so is not owed an answer.
    finally:
        writer.close()
