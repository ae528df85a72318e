"""One HTTP client for all webhooks: connections are kept, answers are bounded in size and time.

The framework is imported with the first call: most clusters have no webhook.
Source: staging/src/k8s.io/apiserver/pkg/util/webhook/client.go.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
import ssl
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.webhooks.errors import WebhookFailed, posted, refused, words_of
from tiphys.apiserver.webhooks.services import ServiceResolver, Unresolved
from tiphys.apiserver.webhooks.target import Target, authority

if TYPE_CHECKING:
    import aiohttp

MAX_ANSWER_BYTES = 16 * 1024 * 1024
_MAX_CONNECTIONS = 1024
_KEEP_S = 90.0
_MAX_CONTEXTS = 512
_MAX_NAMES = 4096
_AGENT = "kube-apiserver-admission"
_GONE_AWAY = ("Server disconnected", "Connection lost", "Cannot write to closing transport")


class WebhookClient:
    """POSTs JSON to webhooks. Made in the loop that uses it; `close` ends its connections."""

    def __init__(self, caches: Caches) -> None:
        self._resolver = ServiceResolver(caches)
        self._session: aiohttp.ClientSession | None = None
        self._contexts: OrderedDict[tuple[Any, ...], ssl.SSLContext] = OrderedDict()
        self._services: dict[str, Target] = {}
        """By host name, the Service targets that were called: how the resolver knows what a name stands for."""
        self._dialled: dict[str, str] = {}
        """By host name, where it was found last, for error texts."""

    async def post(self, target: Target, body: bytes, *, timeout_s: float, max_bytes: int = MAX_ANSWER_BYTES) -> bytes:
        """The body of a successful answer. `timeout_s` covers it all, and is told to the webhook as `?timeout=`.

        Raises WebhookFailed with upstream's words, ready to follow `failed calling webhook "x": failed to call
        webhook: `.
        """
        url = _with_timeout(target.url, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask(target, url, body, max_bytes)
        except TimeoutError:
            raise posted(url, "context deadline exceeded") from None

    async def _ask(self, target: Target, url: str, body: bytes, max_bytes: int) -> bytes:
        import aiohttp

        session = self._opened()
        tls = self._tls(target, url)
        host = urlsplit(url).hostname or ""
        if target.service:
            if len(self._services) > _MAX_NAMES:
                self._services.clear()
                self._dialled.clear()
            self._services[host] = target
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*", "User-Agent": _AGENT}
        if target.token:
            headers["Authorization"] = f"Bearer {target.token}"
        for attempt in (0, 1):
            used: dict[str, bool] = {}
            try:
                async with session.post(
                    url, data=body, headers=headers, ssl=tls, server_hostname=target.server_name or None,
                    allow_redirects=False, trace_request_ctx=used,
                ) as answer:  # fmt: skip
                    content = await _bounded(answer, max_bytes, url)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError) as error:
                if not attempt and used.get("reused") and not isinstance(error, aiohttp.ClientConnectorError):
                    continue  # it was idle, and the webhook had closed it: that says nothing about the webhook
                raise posted(url, self._words(error, host, target)) from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise posted(url, self._words(error, host, target)) from None
            if not 200 <= answer.status <= 206:
                raise refused(answer.status, content)
            if not content:
                kind = answer.headers.get("Content-Type", "")
                text = f"0-length response with status code: {answer.status} and content type: {kind}"
                raise WebhookFailed(text)
            return content
        raise posted(url, "EOF")

    def _words(self, error: BaseException, host: str, target: Target) -> str:
        import aiohttp

        if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
            return "EOF"
        if isinstance(error, aiohttp.ClientResponseError):
            return f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{error.message[:200]}"'
        if isinstance(error, aiohttp.ClientOSError) and any(word in str(error) for word in _GONE_AWAY):
            return "EOF"
        if isinstance(error, aiohttp.InvalidURL):
            return f"Unparsable URL: {error}"
        dialled = self._dialled.get(host) or (authority(target) if _is_address(host) else "")
        return words_of(error, dialled, target.server_name or host)

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_MAX_CONNECTIONS, limit_per_host=0, use_dns_cache=False, resolver=_resolver(self),
                    keepalive_timeout=_KEEP_S,
                ),
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None),
                trace_configs=[trace], trust_env=False,
            )  # fmt: skip
        return self._session

    def _tls(self, target: Target, url: str) -> ssl.SSLContext | bool:
        """A context for whom this target trusts; targets that trust alike share one, and so their connections."""
        if url.startswith("http:"):
            return False
        key = (target.ca, target.client_cert, target.client_key, target.verify)
        known = self._contexts.get(key)
        if known is not None:
            self._contexts.move_to_end(key)
            return known
        try:
            made = _context(target)
        except (ssl.SSLError, ValueError, OSError) as error:
            raise WebhookFailed(f"unable to load root certificates: {error}") from None
        self._contexts[key] = made
        if len(self._contexts) > _MAX_CONTEXTS:
            self._contexts.popitem(last=False)
        return made

    async def addresses(self, host: str, port: int, family: int) -> list[tuple[str, int, int]]:
        """(address, port, family) to dial for a host name of ours or of the system's. Raises OSError."""
        target = self._services.get(host)
        if target is not None:
            try:
                found = self._resolver.resolve(target.namespace, target.service, port)
            except Unresolved:
                self._dialled.pop(host, None)
                raise
            dialled = [(a, n, int(socket.AF_INET6 if ":" in a else socket.AF_INET)) for a, n in found]
        else:
            loop = asyncio.get_running_loop()
            infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
            dialled = [(str(info[4][0]), port, int(info[0])) for info in infos]
        if dialled:
            first = dialled[0]
            self._dialled[host] = f"[{first[0]}]:{first[1]}" if ":" in first[0] else f"{first[0]}:{first[1]}"
        return dialled

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _note_reuse(_session: Any, context: Any, _params: Any) -> None:
    if isinstance(context.trace_request_ctx, dict):
        context.trace_request_ctx["reused"] = True


def _resolver(client: WebhookClient) -> Any:
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Resolver(AbstractResolver):
        """A Service's name leads to its endpoints; every other name to what the system says."""

        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
            return [
                ResolveResult(
                    hostname=host, host=address, port=number, family=kind, proto=0, flags=socket.AI_NUMERICHOST
                )
                for address, number, kind in await client.addresses(host, port, int(family))
            ]

        async def close(self) -> None:
            return None

    return Resolver()


def _context(target: Target) -> ssl.SSLContext:
    """Raises ssl.SSLError, OSError, ValueError for what is no PEM."""
    if target.ca:
        context = ssl.create_default_context(cadata=target.ca.decode("ascii"))
    else:
        context = ssl.create_default_context()
    if not target.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if target.client_cert is not None:
        context.load_cert_chain(target.client_cert, target.client_key)
    return context


async def _bounded(answer: aiohttp.ClientResponse, limit: int, url: str) -> bytes:
    """The whole body. Raises WebhookFailed beyond `limit` bytes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > limit:
            answer.close()
            raise posted(url, f"response body is larger than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _with_timeout(url: str, timeout_s: float) -> str:
    """The URL with the time that is left, rounded up to whole seconds, as the webhook's hint."""
    text = duration_text(math.ceil(timeout_s))
    return f"{url}{'&' if urlsplit(url).query else '?'}timeout={text}"


def duration_text(seconds: int) -> str:
    """Whole seconds as Go writes them: `10s`, `1m0s`."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
