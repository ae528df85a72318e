"""Requests handed to a real server's chain, without sockets: hundreds in a second."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, NamedTuple

from api_harness import RunningServer

from tiphys.apiserver.chain.exchange import Answer, Exchange, Stream
from tiphys.apiserver.http_messages import Headers
from tiphys.apiserver.request import User

_ADMIN = User("fuzz", groups=("system:masters", "system:authenticated"))
_WATCHED_S = 0.02


class Answered(NamedTuple):
    status: int
    body: bytes


class Failures(logging.Handler):
    """Keeps what is logged as an exception: a traceback that no request may cause."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.texts.append(logging.Formatter().format(record))


class Direct:
    """Asks one server as its administrator, from another thread than the server's."""

    def __init__(self, running: RunningServer) -> None:
        assert running.server is not None
        self._running = running
        pipeline = running.server._pipeline
        assert pipeline is not None
        self._serve = pipeline.serve

    def __call__(
        self, method: str, path: str, query: str = "", body: bytes = b"", content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answered:  # fmt: skip
        answered: Answered = self._running.call(self._ask(method, path, query, body, content_type, accept))
        return answered

    async def _ask(
        self, method: str, path: str, query: str, body: bytes, content_type: str, accept: str
    ) -> Answered:  # fmt: skip
        async def read(_limit: int) -> bytes:
            return body

        headers = Headers()
        headers.add(b"Accept", accept.encode())
        if body:
            headers.add(b"Content-Type", content_type.encode())
        reply = await self._serve(Exchange(method, path, query, headers, read, client_user=_ADMIN))
        if isinstance(reply, Answer):
            return Answered(reply.status, reply.body if isinstance(reply.body, bytes) else b"".join(reply.body))
        if not isinstance(reply, Stream):
            return Answered(101, b"")
        found = b""
        try:
            async with asyncio.timeout(_WATCHED_S):
                async for batch in reply.batches:
                    found += b"".join(batch)
        except TimeoutError:
            pass
        finally:
            reply.close()
        return Answered(reply.status, found)


def encoded(value: Any) -> bytes:
    """JSON, lone surrogates as escapes."""
    return json.dumps(value).encode()
