"""/openapi/v2 and /openapi/v3: documents derived from the kinds, made when first asked for, in a thread.

Source: k8s.io/kube-openapi/pkg/handler, .../handler3.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from tiphys.api import codec
from tiphys.api.kinds import KINDS
from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply
from tiphys.apiserver.verbs.router import not_found

_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


class OpenApi:
    """Encoded once per document, gzip included."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[bytes, bytes, str]] = {}
        """path -> (plain, gzip, ETag)"""
        self._making = asyncio.Lock()

    async def v2(self, exchange: Exchange) -> Reply:
        return await self._answer(exchange, "v2", _v2)

    async def v3_index(self, exchange: Exchange) -> Reply:
        return await self._answer(exchange, "v3", self._index)

    async def v3_group(self, exchange: Exchange) -> Reply:
        path = exchange.path.removeprefix("/openapi/v3/").rstrip("/")
        groups = {_path_of(kind.group, kind.version): (kind.group, kind.version) for kind in KINDS}
        if path not in groups:
            return not_found()
        group, version = groups[path]
        return await self._answer(exchange, f"v3/{path}", lambda: _v3(group, version))

    def _index(self) -> dict[str, Any]:
        paths = {}
        for group, version in dict.fromkeys((kind.group, kind.version) for kind in KINDS):
            path = _path_of(group, version)
            made = self._made.get(f"v3/{path}") or self._make(f"v3/{path}", lambda g=group, v=version: _v3(g, v))
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={made[2]}"}
        return {"paths": paths}

    def _make(self, key: str, document: Callable[[], dict[str, Any]]) -> tuple[bytes, bytes, str]:
        body = codec.encode(document())
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        made = (body, packer.compress(body) + packer.flush(), hashlib.sha512(body).hexdigest().upper())
        self._made[key] = made
        return made

    async def _answer(self, exchange: Exchange, key: str, document: Callable[[], dict[str, Any]]) -> Reply:
        async with self._making:
            made = self._made.get(key) or await asyncio.to_thread(self._make, key, document)
        plain, packed, tag = made
        headers: tuple[tuple[str, str], ...] = (("ETag", f'"{tag}"'), ("Vary", "Accept-Encoding, Accept"))
        if exchange.headers.get("If-None-Match", "").strip('"') == tag:
            return Answer(b"", 304, headers=headers)
        if parse_qs(exchange.raw_query).get("hash") == [tag]:
            headers = (*headers, ("Expires", "Thu, 31 Dec 2099 23:59:59 GMT"))
        if "gzip" in exchange.headers.get("Accept-Encoding", ""):
            return Answer(packed, headers=(*headers, ("Content-Encoding", "gzip")))
        return Answer(plain, headers=headers)


def _path_of(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _v2() -> dict[str, Any]:
    from tiphys.api import openapi

    return openapi.v2(KINDS)


def _v3(group: str, version: str) -> dict[str, Any]:
    from tiphys.api import openapi

    return openapi.v3(KINDS, group, version)
