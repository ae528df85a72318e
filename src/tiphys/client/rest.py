"""The API over HTTP: `Client` against any Kubernetes API server, ours or another.

One connection pool; requests that the server asks to repeat (429, or 5xx with Retry-After) are repeated a bounded
number of times, and nothing else is: a POST that may have happened is the caller's to judge. Watches are streams of
lines, each decoded once. Source: client-go rest/request.go, rest/with_retry.go, tools/watch.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

import aiohttp
import msgspec

from tiphys.api import codec
from tiphys.api.errors import (
    ApiError,
    Expired,
    InternalError,
    ServiceUnavailable,
    Timeout,
    Unauthorized,
    from_status,
)
from tiphys.api.kind import Kind
from tiphys.api.meta.resource import PartialObject, Resource
from tiphys.api.meta.schema import Struct
from tiphys.api.meta.types import DeleteOptions, ListMeta, Preconditions, Status
from tiphys.base.clock import Clock, SystemClock
from tiphys.client.credentials import Credentials, tls_context
from tiphys.client.informer import SharedInformer
from tiphys.client.interface import Informer, Listing, PatchType, Propagation, WatchEvent
from tiphys.client.kubeconfig import Access

R = TypeVar("R", bound=Resource)
S = TypeVar("S", bound=Struct)

RETRIES_MAX = 10
RETRY_AFTER_MAX_S = 30.0
REQUEST_TIMEOUT_S = 65.0
"""A little more than the server's own limit, so that the server's answer is what the caller sees."""
WATCH_MIN_S = 300
"""Watches ask to be ended after between this and twice this, so that they spread over several servers again."""
ANSWER_BYTES_MAX = 512 * 1024 * 1024
LINE_BYTES_MAX = 16 * 1024 * 1024
CONNECTIONS_MAX = 512

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
        self._access = access
        self._clock = clock or SystemClock()
        self._credentials = Credentials(access, self._clock)
        self._ssl = tls_context(access)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, socket_factory=_keepalive_socket),
            headers={"User-Agent": user_agent, "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
            # A service account's token must not follow a redirect, nor a proxy of the environment be used.
            trust_env=False,
        )
        self._informers: dict[tuple[Kind[Any], str, str, str], SharedInformer[Any]] = {}

    # --- verbs

    async def get(self, kind: Kind[R], name: str, namespace: str = "") -> R:
        return codec.decode(kind.schema, await self._request("GET", kind.path(namespace, name)))

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
        data = await self._request("GET", kind.path(namespace), query)
        raw = _list_decoder.decode(data)
        items = [_decode_item(kind, item) for item in raw.items or ()]
        return Listing(items, raw.metadata.resource_version, raw.metadata.continue_)

    async def create(self, kind: Kind[R], obj: R, *, dry_run: bool = False) -> R:
        query = {"dryRun": "All"} if dry_run else {}
        path = kind.path(obj.metadata.namespace)
        return codec.decode(kind.schema, await self._request("POST", path, query, codec.encode(obj)))

    async def update(self, kind: Kind[R], obj: R, *, subresource: str = "") -> R:
        path = kind.path(obj.metadata.namespace, obj.metadata.name, subresource)
        return codec.decode(kind.schema, await self._request("PUT", path, {}, codec.encode(obj)))

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
            kind.schema, await self._request("PATCH", path, query, body, content_type=PATCH_TYPES[patch_type])
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
        await self._request("DELETE", kind.path(namespace, name), {}, codec.encode(options))

    async def delete_collection(
        self, kind: Kind[R], namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> None:
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        await self._request("DELETE", kind.path(namespace), query)

    async def create_subresource(
        self, kind: Kind[R], name: str, namespace: str, subresource: str, body: Struct, answer: type[S]
    ) -> S:
        data = await self._request("POST", kind.path(namespace, name, subresource), {}, codec.encode(body))
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
        response = await self._open("GET", kind.path(namespace), query, b"", "", timeout)
        try:
            async for line in _lines(response):
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
        await self._session.close()

    async def raw(self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        """Any path: `/version`, `/metrics`, logs. Errors as everywhere."""
        return await self._request(method, path, dict(query or {}), body)

    # --- transport

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        content_type: str = "application/json",
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        response = await self._open(method, path, query or {}, body, content_type if body else "", timeout)
        async with response:
            return await _body(response)

    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """The response to a request that succeeded, its body unread. Raises ApiError for every other outcome."""
        reread = False
        for attempt in range(RETRIES_MAX + 1):
            headers: dict[str, str] = self._credentials.headers()
            if content_type:
                headers["Content-Type"] = content_type
            try:
                response = await self._session.request(
                    method,
                    self._access.server + path,
                    params=query,
                    data=body or None,
                    headers=headers,
                    timeout=timeout,
                    ssl=self._ssl if self._ssl is not None else True,
                    server_hostname=self._access.tls_server_name or None,
                    allow_redirects=False,
                )
            except TimeoutError as error:
                raise Timeout(f"{method} {path}: no answer from {self._access.server} in time") from error
            except aiohttp.ClientError as error:
                raise ServiceUnavailable(f"{method} {path}: cannot reach {self._access.server}: {error}") from error
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


def _query(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


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


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
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
