"""The front of aggregation: which requests go to another server, and which documents are merged.

With no APIService that leads elsewhere, a request costs one look at an empty dictionary.
Source: staging/src/k8s.io/kube-aggregator/pkg/apiserver/apiserver.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from tiphys.apiserver.aggregation.availability import Availability
from tiphys.apiserver.aggregation.merging import Descriptions, Merger
from tiphys.apiserver.aggregation.proxy import AggregatorProxy
from tiphys.apiserver.aggregation.registration import Registration
from tiphys.apiserver.aggregation.remotes import Remote, Remotes
from tiphys.apiserver.chain.exchange import JSON, Answer, Exchange, Handler, Reply
from tiphys.apiserver.registry.interface import Registry
from tiphys.apiserver.request import RequestInfo
from tiphys.apiserver.settings import ApiServerSettings
from tiphys.apiserver.streaming.backend import Backend
from tiphys.base.clock import Clock

Find = Callable[[RequestInfo], Handler]
_DISCOVERY = "as=APIGroupDiscoveryList"
_V2_PROTOBUF = "com.github.proto-openapi.spec.v2@v1.0+protobuf"


class _Ours(NamedTuple):
    """A document of our own."""

    body: bytes
    status: int
    content_type: str


class Aggregator:
    """Stands before the router: `find` is the router's own, wrapped."""

    def __init__(
        self, settings: ApiServerSettings, registry: Registry, find: Find, backend: Backend, clock: Clock, kinds: Any
    ) -> None:
        self._local = find
        self._remotes = Remotes(registry, settings.pki, settings.inside)
        self._descriptions = Descriptions(self._remotes, backend, clock)
        self._merger = Merger(self._remotes, self._descriptions)
        self._proxy = AggregatorProxy(self._remotes, backend, settings.max_body_bytes)
        self._availability = Availability(registry, self._remotes, backend, clock)
        self._registration = Registration(registry, kinds, clock)

    def tasks(self) -> list[asyncio.Task[None]]:
        """What must run: registration, availability, descriptions."""
        return [
            asyncio.create_task(self._registration.run(), name="APIService registration"),
            asyncio.create_task(self._availability.run(), name="APIService availability"),
            asyncio.create_task(self._descriptions.run(), name="APIService descriptions"),
        ]

    def find(self, info: RequestInfo) -> Handler:
        remotes = self._remotes.by_version
        if not remotes:
            return self._local(info)
        if info.is_resource:
            remote = remotes.get((info.group, info.version))
            return self._local(info) if remote is None else self._to(remote)
        return self._document(info.path.rstrip("/"), info)

    def _to(self, remote: Remote) -> Handler:
        inside = self._remotes.inside(remote)
        if inside is not None:
            return inside

        async def proxied(exchange: Exchange) -> Reply:
            return await self._proxy.serve(remote, exchange)

        return proxied

    def _document(self, path: str, info: RequestInfo) -> Handler:
        if path == "/apis":
            return self._groups
        if path == "/openapi/v2":
            return self._openapi_v2
        if path == "/openapi/v3":
            return self._openapi_v3
        parts = path.removeprefix("/openapi/v3").strip("/").split("/")
        if len(parts) >= 3 and parts[0] == "apis":
            remote = self._remotes.by_version.get((parts[1], parts[2]))
            if remote is not None:
                return self._to(remote)
        if len(parts) == 2 and parts[0] == "apis" and self._remotes.in_group(parts[1]):
            return self._group
        return self._local(info)

    async def _ours(self, exchange: Exchange, accept: str = JSON) -> _Ours:
        """Our own document, plain: without gzip, indentation or ETag."""
        asked = Exchange("GET", exchange.path, "", {"Accept": accept}, exchange.body, started=exchange.started)
        asked.user = exchange.user
        asked.info = msgspec.structs.replace(exchange.info, query={})
        reply = await self._local(asked.info)(asked)
        if not isinstance(reply, Answer):
            return _Ours(b"", 404, JSON)
        body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
        return _Ours(body, reply.status, reply.content_type)

    async def _groups(self, exchange: Exchange) -> Reply:
        accept = exchange.headers.get("Accept", "")
        if _DISCOVERY in accept:
            ours = await self._ours(exchange, accept)
            if _DISCOVERY in ours.content_type:
                made = self._merger.once(ours.content_type, ours.body, self._merger.aggregated)
                return _tagged(exchange, *made, ours.content_type)
        ours = await self._ours(exchange)
        return Answer(self._merger.once("groups", ours.body, self._merger.group_list)[0])

    async def _group(self, exchange: Exchange) -> Reply:
        ours = await self._ours(exchange)
        name = exchange.path.strip("/").split("/")[1]
        document = self._merger.group(name, msgspec.json.decode(ours.body) if ours.status == 200 else None)
        if document is None:
            return Answer(ours.body, ours.status, ours.content_type)
        return Answer(msgspec.json.encode(document))

    async def _openapi_v3(self, exchange: Exchange) -> Reply:
        ours = await self._ours(exchange)
        return _tagged(exchange, *self._merger.once("v3", ours.body, self._merger.v3_index), JSON)

    async def _openapi_v2(self, exchange: Exchange) -> Reply:
        ours = await self._ours(exchange)
        made = await asyncio.to_thread(self._merger.once, "v2", ours.body, self._merger.v2)
        if _V2_PROTOBUF in exchange.headers.get("Accept", ""):
            from tiphys.api.openapi import gnostic

            body = await asyncio.to_thread(lambda: gnostic.encode(msgspec.json.decode(made[0])))
            return _tagged(exchange, body, made[1], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        return _tagged(exchange, *made, JSON)


def _tagged(exchange: Exchange, body: bytes, tag: str, content_type: str) -> Answer:
    headers = (("ETag", f'"{tag}"'), ("Vary", "Accept"))
    if exchange.headers.get("If-None-Match", "").strip('"') == tag:
        return Answer(b"", 304, content_type, headers)
    return Answer(body, 200, content_type, headers)
