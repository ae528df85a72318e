"""The in-process client: the same authorization, admission and registry as over HTTPS, without bytes.

Controllers and scheduler in the control plane's process use it. Objects that it returns are the watch cache's own,
shared, and never to be mutated. What is passed to a write is copied first, because the registry consumes what it
gets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from tiphys.api import codec
from tiphys.api.errors import ApiError, BadRequest, MethodNotAllowed, ServiceUnavailable, from_status
from tiphys.api.kind import Kind
from tiphys.api.kinds.autoscaling.scale import Scale
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, copy_of
from tiphys.api.meta.types import DeleteOptions, Preconditions, Status
from tiphys.apiserver.cache.selection import Selection, select
from tiphys.apiserver.chain.exchange import Answer, Exchange, Stream, Takeover
from tiphys.apiserver.chain.exchange import Handler as Serve
from tiphys.apiserver.http_messages import Headers
from tiphys.apiserver.registry.interface import Cache, Entry, ListOptions, PatchRequest, WatchOptions, WriteOptions
from tiphys.apiserver.request import RequestInfo, User
from tiphys.apiserver.reviews.table import REVIEWS
from tiphys.apiserver.subresources import creates
from tiphys.apiserver.verbs.context import Context
from tiphys.client.interface import EventType, Handler, Listing, PatchType, Propagation, WatchEvent

R = TypeVar("R", bound=Resource)
S = TypeVar("S", bound=Struct)


class _Raw(msgspec.Struct):
    type: str
    object: msgspec.Raw


_MAX_RAW_BYTES = 32 * 1024 * 1024


async def _whole(reply: Answer | Stream, what: str) -> bytes:
    """The body; a stream is read to its end, which must come before `_MAX_RAW_BYTES`. Raises BadRequest."""
    if isinstance(reply, Answer):
        return reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
    pieces: list[bytes] = []
    size = 0
    try:
        async for batch in reply.batches:
            pieces += batch
            size += sum(map(len, batch))
            if size > _MAX_RAW_BYTES:
                raise BadRequest(f"{what}: the answer is longer than {_MAX_RAW_BYTES} bytes")
    finally:
        reply.close()
    return b"".join(pieces)


def _refusal(code: int, body: bytes) -> ApiError:
    try:
        return from_status(msgspec.json.decode(body, type=Status))
    except (msgspec.DecodeError, ValueError):
        return from_status(Status(status="Failure", code=code, message=body[:1024].decode("utf-8", "replace")))


def _with_status(current: Any, obj: Any) -> Any:
    """What `/status` takes of `obj`: its metadata and its status. The rest stays as it is, so it is not copied."""
    return replace(current, metadata=copy_of(obj.metadata), status=copy_of(obj.status))


class LocalClient:
    """`client.interface.Client` over the registry, acting as one user."""

    def __init__(self, context: Context, user: User, serve: Serve | None = None) -> None:
        """`serve` answers requests by path, as over HTTPS: for `raw`."""
        self._context = context
        self._serve = serve
        self._registry = context.registry
        self._user = user
        self._manager = user.name.rpartition(":")[2] or "unknown"
        self._informers: dict[tuple[Kind[Any], str, str, str], LocalInformer[Any]] = {}
        self._closed = asyncio.Event()

    async def raw(self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        if self._serve is None:
            raise ServiceUnavailable(f"{method} {path}: this client has no server")

        async def read(_limit: int) -> bytes:
            return body

        headers = Headers()
        headers.add(b"Accept", b"application/json")
        if body:
            headers.add(b"Content-Type", b"application/json")
        exchange = Exchange(
            method, path, urlencode(query or {}), headers, read, client_user=self._user, started=time.monotonic()
        )
        reply = await self._serve(exchange)
        if isinstance(reply, Takeover):
            raise BadRequest(f"{method} {path}: the answer is a tunnel")
        answer = await _whole(reply, f"{method} {path}")
        if reply.status >= 300:
            raise _refusal(reply.status, answer)
        return answer

    def _authorize(self, verb: str, kind: Kind[Any], namespace: str, name: str = "", subresource: str = "") -> None:
        info = RequestInfo(
            verb=verb, path="", is_resource=True, group=kind.group, version=kind.version, resource=kind.plural,
            subresource=subresource, namespace=namespace if kind.namespaced else "", name=name,
        )  # fmt: skip
        self._context.authorizer.authorize(self._user, info)

    def _options(self, *, subresource: str = "", dry_run: bool = False, manager: str = "") -> WriteOptions:
        return WriteOptions(
            user=self._user, field_manager=manager or self._manager, dry_run=dry_run, subresource=subresource,
            admission=self._context.admission,
        )  # fmt: skip

    async def get(self, kind: Kind[R], name: str, namespace: str = "") -> R:
        self._authorize("get", kind, namespace, name)
        entry = await self._registry.get(kind, namespace if kind.namespaced else "", name)
        return cast("R", entry.obj)

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
        self._authorize("list", kind, namespace)
        options = ListOptions(label_selector, field_selector, limit, continue_token, resource_version)
        page = await self._registry.list(kind, namespace if kind.namespaced else "", options)
        return Listing([entry.obj for entry in page.entries], str(page.revision), page.continue_token)

    async def create(self, kind: Kind[R], obj: R, *, dry_run: bool = False) -> R:
        namespace = obj.metadata.namespace if kind.namespaced else ""
        self._authorize("create", kind, namespace)
        copied = copy_of(obj)
        review = REVIEWS.get(kind)
        if review is not None:
            return cast("R", await review(self._context, self._user, namespace, copied))
        entry = await self._registry.create(kind, namespace, copied, self._options(dry_run=dry_run))
        return cast("R", entry.obj)

    async def update(self, kind: Kind[R], obj: R, *, subresource: str = "") -> R:
        meta = obj.metadata
        namespace = meta.namespace if kind.namespaced else ""
        self._authorize("update", kind, namespace, meta.name, subresource)
        opts = self._options(subresource=subresource)
        if subresource == "scale":
            raise MethodNotAllowed("a scale is changed by patching it, or its parent")
        only_status = subresource == "status" and kind.custom is None

        def wanted(current: Any) -> Any:
            return _with_status(current, obj) if only_status else copy_of(obj)

        entry, _ = await self._registry.update(kind, namespace, meta.name, wanted, opts)
        return cast("R", entry.obj)

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
        namespace = namespace if kind.namespaced else ""
        self._authorize("patch", kind, namespace, name, subresource)
        # Through JSON once: the registry expects what a body would have held, and may keep it.
        request = PatchRequest(patch_type, msgspec.json.decode(codec.encode(patch)), force)
        opts = self._options(subresource=subresource, manager=field_manager)
        if subresource == "scale":
            scale: Scale = await self._registry.patch_scale(kind, namespace, name, request, opts)
            return cast("R", scale)
        entry, _ = await self._registry.patch(kind, namespace, name, request, opts)
        return cast("R", entry.obj)

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
        namespace = namespace if kind.namespaced else ""
        self._authorize("delete", kind, namespace, name)
        options = DeleteOptions(grace_period_seconds=grace_period_s, propagation_policy=propagation)
        if uid or resource_version:
            options.preconditions = Preconditions(uid=uid or None, resource_version=resource_version or None)
        await self._registry.delete(kind, namespace, name, options, self._options())

    async def delete_collection(
        self, kind: Kind[R], namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> None:
        namespace = namespace if kind.namespaced else ""
        self._authorize("deletecollection", kind, namespace)
        selection = ListOptions(label_selector, field_selector)
        options = DeleteOptions(propagation_policy="Background")
        await self._registry.delete_collection(kind, namespace, selection, options, self._options())

    async def create_subresource(
        self, kind: Kind[R], name: str, namespace: str, subresource: str, body: Struct, answer: type[S]
    ) -> S:
        self._authorize("create", kind, namespace, name, subresource)
        row = creates.find(kind, subresource)
        if row is None:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        done = await row.run(self._context, namespace, name, copy_of(body), self._options(subresource=subresource))
        return cast("S", done)

    async def watch(
        self,
        kind: Kind[R],
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent[R]]:
        """Informers are cheaper: this one decodes what the registry encoded."""
        self._authorize("watch", kind, namespace)
        options = WatchOptions(label_selector, field_selector, resource_version, allow_bookmarks=True)
        stream = await self._registry.watch(kind, namespace if kind.namespaced else "", options)
        try:
            async for batch in stream:
                for line in batch:
                    raw = msgspec.json.decode(line, type=_Raw)
                    if raw.type == "ERROR":
                        raise from_status(codec.decode(Status, bytes(raw.object)))
                    yield WatchEvent(cast("Any", raw.type), codec.decode(kind.schema, bytes(raw.object)))
        finally:
            stream.close()

    def informer(
        self, kind: Kind[R], namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> LocalInformer[R]:
        namespace = namespace if kind.namespaced else ""
        key = (kind, namespace, label_selector, field_selector)
        known = self._informers.get(key)
        if known is not None and kind.custom is not None and not known.reads(self._registry.cache_of(kind)):
            known = None  # the kind went and came again
        if known is None:
            self._authorize("list", kind, namespace)
            self._authorize("watch", kind, namespace)
            selection = select(kind, namespace, label_selector, field_selector)
            known = self._informers[key] = LocalInformer(self._registry.cache_of(kind), kind, selection)
        return known

    async def close(self) -> None:
        for informer in self._informers.values():
            informer.close()
        self._informers.clear()


class LocalInformer(Generic[R]):
    """`client.interface.Informer` that reads the watch cache itself: always in sync, and no copy of anything."""

    def __init__(self, cache: Cache, kind: Kind[R], selection: Selection) -> None:
        self._cache = cache
        self._kind = kind
        self._selection = selection
        self._all = selection.everything and not selection.namespace
        self._handlers: list[Handler[R]] = []
        self._indexes: dict[str, _Index[R]] = {}
        self._stop = cache.subscribe(self._changed)

    @property
    def kind(self) -> Kind[R]:
        return self._kind

    def reads(self, cache: Cache) -> bool:
        """Whether this is the cache that is read."""
        return cache is self._cache

    @property
    def synced(self) -> bool:
        return True

    async def wait_synced(self) -> None:
        return None

    def get(self, name: str, namespace: str = "") -> R | None:
        entry = self._cache.get(namespace, name)
        if entry is None or not (self._all or self._selection.matches(entry)):
            return None
        return cast("R", entry.obj)

    def list(self, namespace: str = "") -> Iterable[R]:
        entries = self._cache.entries(namespace or self._selection.namespace)
        if self._all:
            return [entry.obj for entry in entries]
        return [entry.obj for entry in entries if self._selection.matches(entry)]

    def indexed(self, index: str, value: str) -> Iterable[R]:
        return list(self._index(index).filed.get(value, {}).values())

    def count(self, index: str, value: str) -> int:
        return len(self._index(index).filed.get(value, ()))

    def _index(self, name: str) -> _Index[R]:
        if name == "owner":
            self.add_index(name, _controller_uid)  # kept from when it is first asked for: most never ask
        return self._indexes[name]

    def add_index(self, index: str, values: Callable[[R], Iterable[str]]) -> None:
        if index in self._indexes:
            return
        made = self._indexes[index] = _Index(values)
        for obj in self.list():
            made.put((obj.metadata.namespace, obj.metadata.name), obj)

    def subscribe(self, handler: Handler[R]) -> Callable[[], None]:
        for obj in self.list():
            handler("ADDED", None, obj)
        self._handlers.append(handler)

        def stop() -> None:
            if handler in self._handlers:
                self._handlers.remove(handler)

        return stop

    def close(self) -> None:
        self._stop()
        self._handlers.clear()

    def _changed(self, event_type: str, new: Entry | None, old: Entry | None) -> None:
        if not self._all:
            # An object that begins or ceases to match is, for this informer, added or deleted.
            new = new if new is not None and self._selection.matches(new) else None
            old = old if old is not None and self._selection.matches(old) else None
            if new is None and old is None:
                return
            event_type = "ADDED" if old is None else "DELETED" if new is None else "MODIFIED"
        before: R | None = old.obj if old is not None else None
        after: R | None = new.obj if new is not None and event_type != "DELETED" else None
        if after is not None:
            key = (after.metadata.namespace, after.metadata.name)
            for index in self._indexes.values():
                index.put(key, after)
        elif before is not None:
            for index in self._indexes.values():
                index.remove((before.metadata.namespace, before.metadata.name))
        change = cast("EventType", event_type)
        for handler in tuple(self._handlers):
            handler(change, before, after)


class _Index(Generic[R]):
    """Objects by the values that a function gives for each."""

    __slots__ = ("_known", "_values", "filed")

    def __init__(self, values: Callable[[R], Iterable[str]]) -> None:
        self._values = values
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}
        """Under which values each object is filed: most changes leave them as they are."""
        self.filed: dict[str, dict[tuple[str, str], R]] = {}

    def put(self, key: tuple[str, str], obj: R) -> None:
        values = tuple(self._values(obj))
        known = self._known.get(key)
        if values == known:
            for value in values:
                self.filed[value][key] = obj
            return
        if known is not None:
            self.remove(key)
        self._known[key] = values
        for value in values:
            self.filed.setdefault(value, {})[key] = obj

    def remove(self, key: tuple[str, str]) -> None:
        for value in self._known.pop(key, ()):
            entries = self.filed.get(value)
            if entries is not None and entries.pop(key, None) is not None and not entries:
                del self.filed[value]


def _controller_uid(obj: Resource) -> Iterable[str]:
    return (owner.uid for owner in obj.metadata.owner_references if owner.controller)
