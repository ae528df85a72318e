"""Requests handed on to the server that answers for their group: whole, as streams, or as raw upgraded connections.

The other server believes our front-proxy certificate and takes the user from the X-Remote headers.
Source: staging/src/k8s.io/kube-aggregator/pkg/apiserver/handler_proxy.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from urllib.parse import quote

from tiphys.apiserver.aggregation.remotes import Remote, Remotes
from tiphys.apiserver.chain.exchange import TEXT, Answer, Exchange, Reply, Stream
from tiphys.apiserver.request import User
from tiphys.apiserver.streaming.backend import Backend, batches
from tiphys.apiserver.streaming.kubelet import CONNECT_S, READ_LIMIT
from tiphys.apiserver.streaming.tunnel import request_head, tunnel, wants_upgrade

log = logging.getLogger(__name__)

_DROPPED = frozenset({
    "host", "authorization", "connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "content-length", "expect",
})  # fmt: skip
_ANSWER_DROPPED = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "upgrade",
                             "content-type", "audit-id", "cache-control"})  # fmt: skip
_SAFE_KEY = "!#$&'*+-.^_`|~"
"""Beside letters and digits, what may stand in a header's name."""


def identity_headers(user: User) -> list[tuple[str, str]]:
    """X-Remote-User and its companions."""
    found = [("X-Remote-User", user.name)]
    if user.uid:
        found.append(("X-Remote-Uid", user.uid))
    found += [("X-Remote-Group", group) for group in user.groups]
    for key, values in user.extra.items():
        found += [(f"X-Remote-Extra-{quote(key, safe=_SAFE_KEY)}", value) for value in values]
    return found


def unavailable(text: str = "service unavailable", status: int = 503) -> Answer:
    """What upstream's proxy says: text, not a Status."""
    return Answer(f"{text}\n".encode(), status, TEXT, (("X-Content-Type-Options", "nosniff"),))


class AggregatorProxy:
    """Sends exchanges to remotes."""

    def __init__(self, remotes: Remotes, backend: Backend, max_body_bytes: int) -> None:
        self._remotes = remotes
        self._backend = backend
        self._max_body_bytes = max_body_bytes

    async def serve(self, remote: Remote, exchange: Exchange) -> Reply:
        """The other server's answer; 503 where there is none to be had."""
        if not remote.available:
            return unavailable()
        if remote.tls is None:
            return unavailable(remote.trouble, 500)
        try:
            host, port = self._remotes.address(remote)
        except OSError as error:
            log.error("%s: %s", remote.name, error)
            return unavailable()
        target = quote(exchange.path, safe="/:@!$&'()*+,;=~-._") + (
            f"?{exchange.raw_query}" if exchange.raw_query else ""
        )
        if wants_upgrade(exchange):
            return await self._upgrade(remote, exchange, host, port, target)
        return await self._forward(remote, exchange, host, port, target)

    async def _forward(self, remote: Remote, exchange: Exchange, host: str, port: int, target: str) -> Reply:
        headers = _forwarded(exchange)
        body = await exchange.body(self._max_body_bytes)
        shown = f"[{host}]" if ":" in host else host
        try:
            response = await self._backend.open(
                exchange.method, f"https://{shown}:{port}{target}", headers=headers, body=body, tls=remote.tls,
                server_name=remote.host,
            )  # fmt: skip
        except (OSError, TimeoutError) as error:
            return unavailable(f"error trying to reach service: {error}")
        answered = tuple((n, v) for n, v in response.headers.items() if n.lower() not in _ANSWER_DROPPED)
        content_type = response.headers.get("Content-Type", "application/octet-stream")
        length = response.headers.get("Content-Length", "")
        if exchange.method == "HEAD" or response.status in (204, 304):
            response.close()
            return Answer(b"", response.status, content_type, answered)
        if length.isdigit() and int(length) <= self._max_body_bytes:
            try:
                data = await response.content.readexactly(int(length))
            except (OSError, EOFError) as error:
                return unavailable(f"error trying to reach service: {error}")
            finally:
                response.release()
            return Answer(data, response.status, content_type, answered)
        stream = _until_stop(batches(response), exchange.stopping)
        return Stream(stream, response.status, content_type, answered, response.close)

    async def _upgrade(self, remote: Remote, exchange: Exchange, host: str, port: int, target: str) -> Reply:
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(
                    host, port, ssl=remote.tls, server_hostname=remote.host, limit=READ_LIMIT
                )
        except (OSError, TimeoutError) as error:
            return unavailable(f"error trying to reach service: {error}")
        head = request_head(exchange, target, remote.host)
        extra = "".join(f"{name}: {_one_line(value)}\r\n" for name, value in identity_headers(exchange.user))
        return await tunnel(reader, writer, head[:-2] + extra.encode("utf-8", "replace") + b"\r\n")


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


def _forwarded(exchange: Exchange) -> list[tuple[str, str]]:
    """The client's headers without its credentials and without what would make it another user."""
    headers = [
        (name, value)
        for name in dict.fromkeys(exchange.headers)
        if name.lower() not in _DROPPED and not name.lower().startswith(("x-remote-", "impersonate-"))
        for value in exchange.all_values(name)
    ]
    headers += [(name, _one_line(value)) for name, value in identity_headers(exchange.user)]
    headers.append(("X-Forwarded-For", exchange.remote))
    return headers


async def _until_stop(pieces: AsyncIterator[list[bytes]], stopping: asyncio.Event | None) -> AsyncIterator[list[bytes]]:
    """The stream, ended when the server begins to stop: watches of others drain as ours do."""
    if stopping is None:
        async for piece in pieces:
            yield piece
        return
    stop = asyncio.ensure_future(stopping.wait())
    source = aiter(pieces)
    try:
        while True:
            following = asyncio.ensure_future(anext(source))
            await asyncio.wait({following, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                    await following
                return
            try:
                yield following.result()
            except StopAsyncIteration:
                return
    finally:
        stop.cancel()
