"""The API over HTTP: `Client` against any Kubernetes API server, ours or another.

Verbs on top of `transport.py`. Watches are streams of lines, each decoded once. Source: client-go rest, tools/watch.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

import aiohttp
import msgspec

from tiphys.api import codec
from tiphys.api.errors import (
    ApiError,
    Expired,
    InternalError,
    from_status,
)
from tiphys.api.kind import Kind
from tiphys.api.meta.resource import PartialObject, Resource
from tiphys.api.meta.schema import Struct
from tiphys.api.meta.types import DeleteOptions, ListMeta, Preconditions, Status
from tiphys.base.clock import Clock, SystemClock
from tiphys.client.informer import SharedInformer
from tiphys.client.interface import Informer, Listing, PatchType, Propagation, WatchEvent
from tiphys.client.kubeconfig import Access
from tiphys.client.transport import Transport, lines

R = TypeVar("R", bound=Resource)
S = TypeVar("S", bound=Struct)

WATCH_MIN_S = 300
"""Watches ask to be ended after between this and twice this, so that they spread over several servers again."""

PATCH_TYPES: dict[PatchType, str] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class _RawList(Struct):
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


class _RawEvent(Struct):
    type: str = ""
    object: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


_list_decoder = msgspec.json.Decoder(_RawList)
_event_decoder = msgspec.json.Decoder(_RawEvent)


class RestClient:
    """A `Client` over HTTP(S). Make it inside a running loop, and `close` it."""

    def __init__(self, access: Access, clock: Clock | None = None, *, user_agent: str = "tiphys") -> None:
        self._clock = clock or SystemClock()
        self._transport = Transport(access, self._clock, user_agent)
        self._informers: dict[tuple[Kind[Any], str, str, str], SharedInformer[Any]] = {}

    @property
    def access(self) -> Access:
        return self._transport.access

    def use(self, access: Access) -> None:
        """Connect as `access` says from now on; what is open goes on. Raises KubeconfigError."""
        self._transport.use(access)

    # --- verbs

    async def get(self, kind: Kind[R], name: str, namespace: str = "") -> R:
        return codec.decode(kind.schema, await self._transport.request("GET", kind.path(namespace, name)))

    async def list(
        self,
        kind: Kind[R],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Listing[R]:
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=str(limit) if limit else "",
            resourceVersion=resource_version,
        ) | {"continue": continue_token}
        if not continue_token:
            del query["continue"]
        data = await self._transport.request("GET", kind.path(namespace), query)
        raw = _list_decoder.decode(data)
        items = [_decode_item(kind, item) for item in raw.items or ()]
        return Listing(items, raw.metadata.resource_version, raw.metadata.continue_)

    async def create(self, kind: Kind[R], obj: R, *, dry_run: bool = False) -> R:
        query = {"dryRun": "All"} if dry_run else {}
        path = kind.path(obj.metadata.namespace)
        return codec.decode(kind.schema, await self._transport.request("POST", path, query, codec.encode(obj)))

    async def update(self, kind: Kind[R], obj: R, *, subresource: str = "") -> R:
        path = kind.path(obj.metadata.namespace, obj.metadata.name, subresource)
        return codec.decode(kind.schema, await self._transport.request("PUT", path, {}, codec.encode(obj)))

    async def patch(
        self,
        kind: Kind[R],
        name: str,
        patch: Mapping[str, Any] | Sequence[Any],
        namespace: str = "",
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> R:
        query = _query(fieldManager=field_manager, force="true" if force else "")
        body = msgspec.json.encode(patch)  # JSON is YAML: it serves for apply too
        path = kind.path(namespace, name, subresource)
        return codec.decode(
            kind.schema, await self._transport.request("PATCH", path, query, body, content_type=PATCH_TYPES[patch_type])
        )

    async def delete(
        self,
        kind: Kind[R],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_s: int | None = None,
        propagation: Propagation | None = None,
    ) -> None:
        options = DeleteOptions(
            kind="DeleteOptions",
            api_version="v1",
            grace_period_seconds=grace_period_s,
            propagation_policy=propagation,
            preconditions=Preconditions(uid=uid or None, resource_version=resource_version or None)
            if uid or resource_version
            else None,
        )
        await self._transport.request("DELETE", kind.path(namespace, name), {}, codec.encode(options))

    async def delete_collection(
        self, kind: Kind[R], namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> None:
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        options = DeleteOptions(kind="DeleteOptions", api_version="v1", propagation_policy="Background")
        await self._transport.request("DELETE", kind.path(namespace), query, codec.encode(options))

    async def create_subresource(
        self, kind: Kind[R], name: str, namespace: str, subresource: str, body: Struct, answer: type[S]
    ) -> S:
        data = await self._transport.request("POST", kind.path(namespace, name, subresource), {}, codec.encode(body))
        return codec.decode(answer, data)

    # --- watching

    async def watch(
        self,
        kind: Kind[R],
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        initial_events: bool = False,
    ) -> AsyncIterator[WatchEvent[R]]:
        """As `Client.watch`. `initial_events` asks the server to send the state first, ended by a BOOKMARK with the
        annotation `k8s.io/initial-events-end` (WatchList, KEP-3157)."""
        seconds = random.randint(WATCH_MIN_S, 2 * WATCH_MIN_S)  # noqa: S311 - spreads load, protects nothing
        query = _query(resourceVersion=resource_version, labelSelector=label_selector, fieldSelector=field_selector) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        if initial_events:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        timeout = aiohttp.ClientTimeout(total=seconds + 30.0, sock_connect=30.0)
        response = await self._transport.open("GET", kind.path(namespace), query, b"", "", timeout)
        try:
            async for line in lines(response):
                yield _decode_event(kind, line)
        except (aiohttp.ClientPayloadError, TimeoutError):
            # The connection went away in mid-stream: to the reader this is a watch that the server ended.
            return
        finally:
            response.close()

    def informer(
        self, kind: Kind[R], namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> Informer[R]:
        key = (kind, namespace, label_selector, field_selector)
        informer = self._informers.get(key)
        if informer is None:
            informer = self._informers[key] = SharedInformer(self, kind, *key[1:], clock=self._clock)
            informer.start()
        return informer

    async def close(self) -> None:
        """Ends informers and connections. Idempotent."""
        informers, self._informers = list(self._informers.values()), {}
        for informer in informers:
            await informer.close()
        await self._transport.close()

    async def raw(self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        """Any path: `/version`, `/metrics`, logs. Errors as everywhere."""
        return await self._transport.request(method, path, dict(query or {}), body)


def _query(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _decode_item(kind: Kind[R], data: msgspec.Raw) -> R:
    """An item of a list. Servers leave out what the list's own kind implies."""
    obj = codec.decode(kind.schema, bytes(data))
    if not obj.kind:
        obj.kind, obj.api_version = kind.kind, kind.api_version
    return obj


def _decode_event(kind: Kind[R], line: bytes) -> WatchEvent[R]:
    try:
        event = _event_decoder.decode(line)
    except msgspec.MsgspecError as error:
        raise InternalError(f"{kind.plural}: a watch event cannot be read: {error}") from error
    data = bytes(event.object)
    match event.type:
        case "ADDED" | "MODIFIED" | "DELETED" as change:
            return WatchEvent(change, codec.decode(kind.schema, data))
        case "BOOKMARK":
            # Only the metadata of a bookmark means anything; the rest may be missing what the schema would check.
            head = codec.decode(PartialObject, data)
            return WatchEvent("BOOKMARK", kind.schema(metadata=head.metadata))
        case "ERROR":
            status = codec.decode(Status, data)
            raise Expired(status.message) if status.code == 410 else from_status(status)
        case unknown:
            raise InternalError(f"{kind.plural}: unknown watch event {unknown!r}")


async def reachable(client: RestClient, clock: Clock, timeout_s: float) -> bool:
    """Whether the server says that it is ready, asked again until `timeout_s` is over."""
    end_s = clock.monotonic() + timeout_s
    while True:
        try:
            async with asyncio.timeout(max(0.1, min(5.0, end_s - clock.monotonic()))):
                await client.raw("GET", "/readyz")
            return True
        except (ApiError, TimeoutError):
            if clock.monotonic() >= end_s:
                return False
            await clock.sleep(0.05)
