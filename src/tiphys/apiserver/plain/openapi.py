"""/openapi/v2 and /openapi/v3: the documents of `api.openapi` over HTTP.

They are made when first asked for, in a thread, and kept with their gzip form: every kubectl asks for them.
Source: k8s.io/kube-openapi/pkg/handler, .../handler3.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import BODY_KINDS
from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply
from tiphys.apiserver.verbs.router import not_found

if TYPE_CHECKING:
    from tiphys.api.openapi import Documents

_ASKED = "com.github.proto-openapi.spec.v2@v1.0+protobuf"
_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""With a dot: Go's own parser refuses the `@` that clients ask with."""
_NEVER = "Thu, 31 Dec 2099 23:59:59 GMT"
_GZIP_LEVEL = 6
_Made = tuple[bytes, str] | None


class OpenApi:
    """The handlers. One document is made at a time, so that a crowd of clients causes one making."""

    def __init__(self, kinds: Iterable[Kind[Any]]) -> None:
        self._kinds = tuple(kinds)
        self._documents: Documents | None = None
        self._packed: dict[str, bytes] = {}
        """ETag -> gzip"""
        self._stale = False
        self._making = asyncio.Lock()

    async def v2(self, exchange: Exchange) -> Reply:
        if _ASKED in exchange.headers.get("Accept", ""):
            return await self._answer(exchange, lambda documents: documents.v2_protobuf(), _PROTOBUF)
        return await self._answer(exchange, lambda documents: documents.v2_json())

    async def v3_index(self, exchange: Exchange) -> Reply:
        return await self._answer(exchange, lambda documents: documents.v3_index())

    async def v3_group(self, exchange: Exchange) -> Reply:
        name = exchange.path.removeprefix("/openapi/v3/").rstrip("/")
        return await self._answer(exchange, lambda documents: documents.v3(name))

    def set_kinds(self, kinds: Iterable[Kind[Any]]) -> None:
        """The server's kinds changed: documents are brought up to date when next asked for."""
        self._kinds = tuple(kinds)
        self._stale = True

    def _make(self, make: Callable[[Documents], _Made]) -> tuple[bytes, bytes, str] | None:
        """(plain, gzip, ETag), in a thread."""
        if self._documents is None:
            from tiphys.api.openapi import Documents

            self._documents = Documents(self._kinds, BODY_KINDS)
        elif self._stale:
            self._documents.set_kinds(self._kinds)
            self._packed.clear()
        self._stale = False
        made = make(self._documents)
        if made is None:
            return None
        body, tag = made
        packed = self._packed.get(tag)
        if packed is None:
            packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)
            packed = self._packed[tag] = packer.compress(body) + packer.flush()
        return body, packed, tag

    async def _answer(
        self, exchange: Exchange, make: Callable[[Documents], _Made], content_type: str = "application/json"
    ) -> Reply:
        async with self._making:
            made = await asyncio.to_thread(self._make, make)
        if made is None:
            return not_found()
        plain, packed, tag = made
        headers: tuple[tuple[str, str], ...] = (("ETag", f'"{tag}"'), ("Vary", "Accept-Encoding, Accept"))
        if exchange.headers.get("If-None-Match", "").strip('"') == tag:
            return Answer(b"", 304, content_type, headers)
        if exchange.info.query.get("hash") == (tag,):
            headers = (*headers, ("Expires", _NEVER))
        if "gzip" in exchange.headers.get("Accept-Encoding", ""):
            return Answer(packed, 200, content_type, (*headers, ("Content-Encoding", "gzip")))
        return Answer(plain, 200, content_type, headers)
