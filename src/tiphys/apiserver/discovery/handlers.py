"""Discovery over HTTP: each document encoded once, with its ETag, until the kinds change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from tiphys.api import codec
from tiphys.api.kind import Kind
from tiphys.apiserver.chain.exchange import Answer, Exchange, Handler, Reply
from tiphys.apiserver.discovery import documents
from tiphys.apiserver.verbs.negotiate import wants_pretty

_VERSIONS = ("v2", "v2beta1")


def _aggregated_version(accept: str) -> str:
    """`v2` or `v2beta1` where the client prefers the aggregated form, in its order; else empty."""
    for clause in accept.split(","):
        parts = {part.strip() for part in clause.split(";")}
        if "as=APIGroupDiscoveryList" in parts and "g=apidiscovery.k8s.io" in parts:
            for version in _VERSIONS:
                if f"v={version}" in parts:
                    return version
        elif "application/json" in parts or "*/*" in parts:
            return ""
    return ""


class Discovery:
    """Handlers for /api, /apis and what is directly below them."""

    def __init__(self, kinds: Iterable[Kind[Any]], address: str) -> None:
        self._address = address
        self._groups = documents.grouped(kinds)
        self._made: dict[str, tuple[bytes, str]] = {}

    def set_kinds(self, kinds: Iterable[Kind[Any]]) -> None:
        """The server's kinds changed: all documents are made anew when next asked for."""
        self._groups = documents.grouped(kinds)
        self._made.clear()

    def paths(self) -> dict[str, Handler]:
        """Every path that has a document now."""
        found: dict[str, Handler] = {"/api": self.core, "/apis": self.groups}
        for group, versions in self._groups.items():
            if group:
                found[f"/apis/{group}"] = self.group
            for version in versions:
                found[f"/apis/{group}/{version}" if group else f"/api/{version}"] = self.resources
        return {**found, **{path + "/": handler for path, handler in found.items()}}

    async def core(self, exchange: Exchange) -> Reply:
        return self._root(exchange, "/api", core=True)

    async def groups(self, exchange: Exchange) -> Reply:
        return self._root(exchange, "/apis", core=False)

    def _root(self, exchange: Exchange, path: str, *, core: bool) -> Reply:
        version = _aggregated_version(exchange.headers.get("Accept", ""))
        if not version:
            groups = self._groups
            make = (
                (lambda: documents.api_versions(groups, self._address))
                if core
                else lambda: documents.group_list(groups)
            )
            body, _ = self._document(path, make)
            return _answer(exchange, body, "application/json")
        body, tag = self._document(f"{path}?{version}", lambda: documents.aggregated(self._groups, version, core=core))
        content_type = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        headers = (("ETag", f'"{tag}"'), ("Vary", "Accept"))
        if exchange.headers.get("If-None-Match", "").strip('"') == tag:
            return Answer(b"", 304, content_type, headers)
        return Answer(body, 200, content_type, headers)

    async def group(self, exchange: Exchange) -> Reply:
        name = exchange.path.strip("/").split("/")[1]
        body, _ = self._document(
            f"/apis/{name}",
            lambda: {"kind": "APIGroup", "apiVersion": "v1", **documents.group(name, self._groups[name])},
        )
        return _answer(exchange, body, "application/json")

    async def resources(self, exchange: Exchange) -> Reply:
        path = exchange.path.rstrip("/")
        prefix, *rest = path.strip("/").split("/")
        group, version = ("", rest[0]) if prefix == "api" else (rest[0], rest[1])
        group_version = f"{group}/{version}" if group else version
        body, _ = self._document(path, lambda: documents.resource_list(group_version, self._groups[group][version]))
        return _answer(exchange, body, "application/json")

    def _document(self, key: str, make: Callable[[], documents.Document]) -> tuple[bytes, str]:
        """(bytes, ETag)"""
        made = self._made.get(key)
        if made is None:
            body = codec.encode(make())
            made = self._made[key] = (body, hashlib.sha512(body).hexdigest().upper())
        return made


def _answer(exchange: Exchange, body: bytes, content_type: str) -> Answer:
    if wants_pretty(exchange):
        import msgspec

        body = msgspec.json.format(body, indent=2)
    return Answer(body, 200, content_type)
