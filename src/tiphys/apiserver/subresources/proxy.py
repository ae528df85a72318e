"""pods/proxy, services/proxy, nodes/proxy: HTTP (and upgrades) to what runs in the cluster.

The name may be `[scheme:]name[:port]`. Credentials of the request go no further than here.
Source: pkg/registry/core/{pod,service,node}/rest, staging/src/k8s.io/apimachinery/pkg/util/proxy.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from tiphys.api.errors import BadRequest, ServiceUnavailable
from tiphys.api.kinds import ENDPOINTSLICE, NODE, POD, SERVICE
from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply, Stream
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.streaming.backend import Backend, batches
from tiphys.apiserver.streaming.kubelet import CONNECT_S, READ_LIMIT
from tiphys.apiserver.streaming.tunnel import request_head, tunnel, wants_upgrade
from tiphys.apiserver.subresources.connect_options import connect_options
from tiphys.apiserver.verbs.context import Context
from tiphys.apiserver.verbs.router import Router

if TYPE_CHECKING:
    import aiohttp

Headers = tuple[tuple[str, str], ...]

_VERBS = ("get", "create", "update", "patch", "delete", "")
"""The last is OPTIONS, which has no name among the API's verbs."""
_DROPPED = frozenset({
    "host", "authorization", "connection", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "content-length", "date", "audit-id",
})  # fmt: skip


class _Place(msgspec.Struct, frozen=True):
    scheme: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _escaped(path: str) -> str:
    return quote(path, safe="/:@!$&'()*+,;=~")


def split_name(text: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `[scheme:]name[:port]`. Raises BadRequest."""
    parts = text.split(":")
    scheme = ""
    if len(parts) == 3:
        scheme, *parts = parts
    if len(parts) > 2 or scheme not in ("", "http", "https") or not parts[0]:
        raise BadRequest(f'invalid service request "{text}"')
    return scheme, parts[0], parts[1] if len(parts) == 2 else ""


def _tail(exchange: Exchange) -> str:
    """What of the path comes after `/proxy`, as it came, so that a closing slash survives."""
    head = f"/{exchange.info.name}/proxy"
    start = exchange.path.find(head, exchange.path.find(f"/{exchange.info.resource}/"))
    return exchange.path[start + len(head) :]


class Proxies:
    """Finds where each kind's proxy leads."""

    def __init__(self, context: Context, backend: Backend) -> None:
        self._context = context
        self._backend = backend

    def install(self, router: Router) -> None:
        finders: tuple[tuple[Any, Callable[[str, str], Awaitable[_Place]]], ...] = (
            (POD, self._pod), (SERVICE, self._service), (NODE, self._node),
        )  # fmt: skip
        for kind, find in finders:
            for verb in _VERBS:
                router.add(kind, "proxy", verb, self._handler(kind, find))

    def _handler(
        self, kind: Any, find: Callable[[str, str], Awaitable[_Place]]
    ) -> Callable[[Exchange], Awaitable[Reply]]:
        admission = self._context.admission

        async def proxy(exchange: Exchange) -> Reply:
            info = exchange.info
            request = AdmissionRequest(
                kind=kind, operation="CONNECT", namespace=info.namespace, name=info.name, obj=connect_options(info),
                old=None, user=exchange.user, subresource="proxy", warnings=exchange.warnings,
                annotations=exchange.annotations,
            )  # fmt: skip
            await admission.admit(request)
            await admission.validate(request)
            place = await find(info.namespace, info.name)
            tail, query = _tail(exchange), f"?{exchange.raw_query}" if exchange.raw_query else ""
            if not tail and exchange.method in ("GET", "HEAD"):
                # Relative links of the page would lead beside it.
                return Answer(b"", 301, headers=(("Location", _escaped(exchange.path) + "/" + query),))
            target = _escaped(tail or "/") + query
            if wants_upgrade(exchange):
                return await _upgrade(exchange, place, target)
            return await self._forward(exchange, place, target)

        return proxy

    async def _pod(self, namespace: str, text: str) -> _Place:
        scheme, name, port = split_name(text)
        pod = (await self._context.registry.get(POD, namespace, name)).obj
        if not pod.status.pod_ip:
            raise BadRequest("address not allowed")
        number = int(port) if port.isdigit() else 0
        for container in pod.spec.containers if not number else ():
            for declared in container.ports:
                if not port or declared.name == port:
                    number = number or declared.container_port
        return _place(scheme or "http", pod.status.pod_ip, number or 80)

    async def _service(self, namespace: str, text: str) -> _Place:
        scheme, name, port = split_name(text)
        service = (await self._context.registry.get(SERVICE, namespace, name)).obj
        ports = service.spec.ports
        chosen = next((p for p in ports if port in (p.name, str(p.port)) or (not port and len(ports) == 1)), None)
        if chosen is None:
            raise ServiceUnavailable(f'no service port "{port}" found for service "{name}"')
        candidates = []
        for entry in self._context.registry.cache_of(ENDPOINTSLICE).entries(namespace):
            piece = entry.obj
            if piece.metadata.labels.get("kubernetes.io/service-name") != name:
                continue
            number = next((p.port for p in piece.ports if p.name == chosen.name), None)
            if number:
                candidates += [
                    (endpoint.addresses[0], number)
                    for endpoint in piece.endpoints
                    if endpoint.conditions.ready is not False
                ]
        if not candidates:
            raise ServiceUnavailable(f'no endpoints available for service "{name}"')
        host, number = random.choice(candidates)  # noqa: S311 # spreads load, protects nothing
        return _place(scheme or "http", host, number)

    async def _node(self, _namespace: str, text: str) -> _Place:
        _, name, port = split_name(text)
        address = self._context.kubelets.address(name)
        if port and int(port) != address.port:
            return _place("http", address.host, int(port))
        return _Place("https", address.host, address.port, self._context.kubelets.tls(), address.node)

    async def _forward(self, exchange: Exchange, place: _Place, target: str) -> Reply:
        tail = _tail(exchange)
        prefix = exchange.path.removesuffix(tail) if tail else exchange.path
        headers = [
            (name, value)
            for name in dict.fromkeys(exchange.headers)
            for value in exchange.all_values(name)
            if name.lower() not in _DROPPED and not name.lower().startswith("impersonate-")
        ]
        headers += [("X-Forwarded-For", exchange.remote), ("X-Forwarded-Uri", _escaped(exchange.path))]
        body = await exchange.body(self._context.settings.max_body_bytes)
        try:
            response = await self._backend.open(
                exchange.method, f"{place.scheme}://{place.authority}{target}", headers=headers, body=body,
                tls=place.tls, server_name=place.server_name,
            )  # fmt: skip
        except (OSError, TimeoutError) as error:
            raise ServiceUnavailable(f"error trying to reach service: {error}") from error
        from tiphys.apiserver.streaming.links import through

        rewrite = through(_escaped(prefix), frozenset((place.authority, exchange.headers.get("Host", ""))))
        answered = tuple(
            (name, rewrite(value) if name.lower() == "location" else value)
            for name, value in response.headers.items()
            if name.lower() not in (*_DROPPED, "content-type")
        )
        if response.content_type == "text/html" and not response.headers.get("Location"):
            return await _page(response, answered, rewrite)
        return Stream(
            batches(response), response.status, response.headers.get("Content-Type", "application/octet-stream"),
            answered, response.close,
        )  # fmt: skip


async def _page(response: aiohttp.ClientResponse, headers: Headers, rewrite: Callable[[str], str]) -> Reply:
    """An HTML page with its links led through the proxy; one that is too long or in an unknown encoding as it is."""
    from tiphys.apiserver.streaming.links import PAGE_BYTES_MAX, rewritten

    content_type = response.headers["Content-Type"]
    head = b""
    async for chunk in response.content.iter_any():
        head += chunk
        if len(head) > PAGE_BYTES_MAX:
            break
    rest = batches(response)
    encoding = response.headers.get("Content-Encoding", "")
    try:
        if len(head) > PAGE_BYTES_MAX:
            raise ValueError
        plain = zlib.decompress(head, 47) if encoding in ("gzip", "deflate") else head
        if encoding not in ("", "gzip", "deflate"):
            raise ValueError
        page = rewritten(plain.decode(), rewrite).encode()
    except (ValueError, zlib.error):
        return Stream(_after(head, rest), response.status, content_type, headers, response.close)
    response.close()
    headers = tuple((name, value) for name, value in headers if name.lower() != "content-encoding")
    return Answer(page, response.status, content_type, headers)


async def _after(head: bytes, rest: AsyncIterator[list[bytes]]) -> AsyncIterator[list[bytes]]:
    yield [head]
    async for batch in rest:
        yield batch


def _place(scheme: str, host: str, port: int) -> _Place:
    """A pod or service speaks with whatever certificate it has: TLS to it is not verified, as upstream."""
    if scheme == "http":
        return _Place(scheme, host, port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _Place(scheme, host, port, context)


async def _upgrade(exchange: Exchange, place: _Place, target: str) -> Reply:
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(
                place.host, place.port, ssl=place.tls, limit=READ_LIMIT,
                server_hostname=place.server_name or (place.host if place.tls is not None else None),
            )  # fmt: skip
    except (OSError, TimeoutError) as error:
        raise ServiceUnavailable(f"error trying to reach service: {error}") from error
    return await tunnel(reader, writer, request_head(exchange, target, place.authority))
