"""Requests over HTTP to one API server: one pool of connections, its refusals as errors, repeated where it asks for it.

What the server asks to repeat (429, or 5xx with Retry-After) is repeated a bounded number of times, and nothing else
is: a POST that may have happened is the caller's to judge. Source: client-go rest/request.go, rest/with_retry.go.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import msgspec

from tiphys.api import codec
from tiphys.api.errors import ApiError, InternalError, ServiceUnavailable, Timeout, Unauthorized, from_status
from tiphys.api.meta.types import Status
from tiphys.base.clock import Clock
from tiphys.client.credentials import Credentials, tls_context
from tiphys.client.kubeconfig import Access

RETRIES_MAX = 10
RETRY_AFTER_MAX_S = 30.0
REQUEST_TIMEOUT_S = 65.0
"""A little more than the server's own limit, so that the server's answer is what the caller sees."""
ANSWER_BYTES_MAX = 512 * 1024 * 1024
LINE_BYTES_MAX = 16 * 1024 * 1024
CONNECTIONS_MAX = 512
ROUNDS = 3
"""How often each of several servers is asked in turn: one that was restarted fails once for each connection it had."""
ROUND_S = 0.2
"""Between two rounds."""


class Transport:
    """Make it inside a running loop, and `close` it."""

    def __init__(self, access: Access, clock: Clock, user_agent: str) -> None:
        self._access = access
        self._servers = (access.server, *access.more_servers)
        self._current = 0
        self._clock = clock
        self._credentials = Credentials(access, clock)
        self._ssl = tls_context(access)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, socket_factory=_keepalive_socket),
            headers={"User-Agent": user_agent, "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
            # A service account's token must not follow a redirect, nor a proxy of the environment be used.
            trust_env=False,
        )

    @property
    def access(self) -> Access:
        return self._access

    def use(self, access: Access) -> None:
        """From now on connect as `access` says: other credentials, other servers. What is open goes on."""
        asked = self._servers[self._current]
        self._ssl = tls_context(access)
        self._access, self._credentials = access, Credentials(access, self._clock)
        self._servers = (access.server, *access.more_servers)
        self._current = self._servers.index(asked) if asked in self._servers else 0

    async def close(self) -> None:
        """Idempotent."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        content_type: str = "application/json",
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        response = await self.open(method, path, query or {}, body, content_type if body else "", timeout)
        async with response:
            return await _body(response)

    async def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """The response to a request that succeeded, its body unread. Raises ApiError for every other outcome."""
        reread, moves, first = False, 0, self._current
        for attempt in range(RETRIES_MAX + 1):
            headers: dict[str, str] = self._credentials.headers()
            if content_type:
                headers["Content-Type"] = content_type
            # Each request goes round by itself: what others find out meanwhile must not send it back where it was.
            server = self._servers[(first + moves) % len(self._servers)]
            try:
                response = await self._session.request(
                    method,
                    server + path,
                    params=query,
                    data=body or None,
                    headers=headers,
                    timeout=timeout,
                    ssl=self._ssl if self._ssl is not None else True,
                    server_hostname=self._access.tls_server_name or None,
                    allow_redirects=False,
                )
            except (TimeoutError, aiohttp.ClientError) as error:
                # What was never sent, or changes nothing, may be asked of the next server.
                self._leave(server)
                moves += 1
                harmless = method in ("GET", "HEAD") or isinstance(error, aiohttp.ClientConnectorError)
                if harmless and moves < self._moves_max:
                    if moves % len(self._servers) == 0:
                        await self._clock.sleep(ROUND_S)
                    continue
                if isinstance(error, TimeoutError):
                    raise Timeout(f"{method} {path}: no answer from {server} in time") from error
                raise ServiceUnavailable(f"{method} {path}: cannot reach {server}: {error}") from error
            if response.status < 300:
                return response
            async with response:
                refusal = await _refusal(response)
            if isinstance(refusal, Unauthorized) and not reread and self._credentials.refused():
                reread = True
                continue
            wait_s = _retry_after_s(response)
            if wait_s is None or attempt == RETRIES_MAX or (response.status != 429 and response.status < 500):
                raise refusal
            await self._clock.sleep(wait_s)
        raise InternalError(f"{method} {path}: retries are exhausted")  # pragma: no cover - the loop always ends above

    @property
    def _moves_max(self) -> int:
        """How many failures there may be; a lone server's is told at once."""
        return ROUNDS * len(self._servers) if len(self._servers) > 1 else 1

    def _leave(self, server: str) -> None:
        """Ask another one first from now on."""
        if self._servers[self._current] == server:
            self._current = (self._current + 1) % len(self._servers)


def _keepalive_socket(address: Any) -> socket.socket:
    """Watches are silent for long: TCP keepalive finds a peer that is gone within about a minute."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return sock


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or 0) > ANSWER_BYTES_MAX:
        raise InternalError(f"{response.url.path}: the answer is larger than {ANSWER_BYTES_MAX} bytes")
    try:
        return await response.read()
    except TimeoutError as error:
        raise Timeout(f"{response.method} {response.url.path}: the answer did not arrive in time") from error
    except aiohttp.ClientError as error:
        raise ServiceUnavailable(f"{response.method} {response.url.path}: the answer broke off: {error}") from error


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    """The error of a response that is not a success; from its Status where it has one."""
    data = await _body(response)
    try:
        status = codec.decode(Status, data)
    except (ApiError, msgspec.MsgspecError, ValueError):
        status = Status()
    if status.kind != "Status" or not status.code:
        text = data[:512].decode("utf-8", "replace").strip()
        status = Status(code=response.status, message=text or f"the server answered {response.status}")
    return from_status(status)


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return min(float(value), RETRY_AFTER_MAX_S)
    return 1.0 if response.status == 429 else None


async def lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Splits a stream at newlines. Raises InternalError for a line beyond LINE_BYTES_MAX."""
    pending: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            yield b"".join((*pending, line)) if pending else line
            pending.clear()
            size = 0
        if rest:
            pending.append(rest)
            size += len(rest)
            if size > LINE_BYTES_MAX:
                raise InternalError(f"{response.url.path}: a watch event is larger than {LINE_BYTES_MAX} bytes")
    if pending:
        yield b"".join(pending)
