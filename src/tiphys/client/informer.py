"""A local, current copy of the objects of one kind, kept by list and watch.

The reflector asks for the state as a stream (WatchList) and falls back to a paged list where the server does not know
that. After a break it goes on from the last revision it saw (bookmarks keep that recent); when the server has forgotten
that revision (410) it starts over and tells subscribers only what really changed meanwhile. Each object is decoded once
and shared by all readers. Source: client-go tools/cache/reflector.go, shared_informer.go, thread_safe_store.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from tiphys.api.errors import (
    ApiError,
    BadRequest,
    Expired,
    Gone,
    InternalError,
    Invalid,
    MethodNotAllowed,
    ServiceUnavailable,
)
from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.tasks import TaskSet, described
from tiphys.client.interface import EventType, Handler, Listing, WatchEvent

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Resource)

PAGE = 500
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
STREAM_START_S = 15.0
"""How long a stream may go without its end-of-state bookmark before we take it that the server ignored the request."""
BACKOFF = Backoff(first_s=0.8, cap_s=30.0, jitter=1.0)
"""client-go's reflector defaults."""


class Store(Generic[R]):
    """Objects by namespace and name, with indexes. Not for more than one writer."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], R] = {}
        self._namespaces: dict[str, dict[str, R]] = {}
        self._index_functions: dict[str, Callable[[R], Iterable[str]]] = {}
        self._indexes: dict[str, dict[str, dict[tuple[str, str], R]]] = {}
        self.add_index("owner", _controller_uid)

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, name: str, namespace: str) -> R | None:
        return self._objects.get((namespace, name))

    def list(self, namespace: str = "") -> list[R]:
        return list(self._namespaces.get(namespace, {}).values() if namespace else self._objects.values())

    def indexed(self, index: str, value: str) -> Sequence[R]:
        return list(self._indexes[index].get(value, {}).values())

    def count(self, index: str, value: str) -> int:
        return len(self._indexes[index].get(value, ()))

    def add_index(self, index: str, values: Callable[[R], Iterable[str]]) -> None:
        if index in self._index_functions:
            return
        self._index_functions[index] = values
        filed: dict[str, dict[tuple[str, str], R]] = {}
        self._indexes[index] = filed
        for key, obj in self._objects.items():
            for value in values(obj):
                filed.setdefault(value, {})[key] = obj

    def put(self, obj: R) -> R | None:
        """Returns what it replaced."""
        key = (obj.metadata.namespace, obj.metadata.name)
        old = self._objects.get(key)
        if old is not None:
            self._unfile(key, old)
        self._objects[key] = obj
        self._namespaces.setdefault(key[0], {})[key[1]] = obj
        for index, values in self._index_functions.items():
            filed = self._indexes[index]
            for value in values(obj):
                filed.setdefault(value, {})[key] = obj
        return old

    def remove(self, name: str, namespace: str) -> R | None:
        key = (namespace, name)
        old = self._objects.pop(key, None)
        if old is not None:
            self._unfile(key, old)
            inside = self._namespaces[namespace]
            del inside[name]
            if not inside:
                del self._namespaces[namespace]
        return old

    def _unfile(self, key: tuple[str, str], old: R) -> None:
        for index, values in self._index_functions.items():
            filed = self._indexes[index]
            for value in values(old):
                entries = filed.get(value)
                if entries is not None and entries.pop(key, None) is not None and not entries:
                    del filed[value]


def _controller_uid(obj: Resource) -> Iterable[str]:
    return (owner.uid for owner in obj.metadata.owner_references if owner.controller)


class Source(Protocol):
    """What an informer needs of a client."""

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
    ) -> Listing[R]: ...

    def watch(
        self,
        kind: Kind[R],
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        initial_events: bool = False,
    ) -> AsyncIterator[WatchEvent[R]]: ...


class SharedInformer(Generic[R]):
    """An `Informer` over `Source`. `start` it, `close` it; the client that made it does both."""

    def __init__(
        self,
        source: Source,
        kind: Kind[R],
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        *,
        clock: Clock,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._source, self._kind, self._namespace = source, kind, namespace
        self._labels, self._fields = label_selector, field_selector
        self._clock, self._backoff = clock, backoff
        self._store: Store[R] = Store()
        self._handlers: list[Handler[R]] = []
        self._synced = asyncio.Event()
        self._resource_version = ""
        self._streams = True
        self._tasks = TaskSet()

    @property
    def kind(self) -> Kind[R]:
        return self._kind

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """The revision that the copy reflects."""
        return self._resource_version

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def get(self, name: str, namespace: str = "") -> R | None:
        return self._store.get(name, namespace)

    def list(self, namespace: str = "") -> Iterable[R]:
        return self._store.list(namespace)

    def indexed(self, index: str, value: str) -> Iterable[R]:
        return self._store.indexed(index, value)

    def count(self, index: str, value: str) -> int:
        return self._store.count(index, value)

    def add_index(self, index: str, values: Callable[[R], Iterable[str]]) -> None:
        self._store.add_index(index, values)

    def subscribe(self, handler: Handler[R]) -> Callable[[], None]:
        for obj in self._store.list():
            handler("ADDED", None, obj)
        self._handlers.append(handler)

        def stop() -> None:
            if handler in self._handlers:
                self._handlers.remove(handler)

        return stop

    def start(self) -> None:
        self._tasks.spawn(self._reflect(), f"informer {self._kind.plural}")

    async def close(self) -> None:
        await self._tasks.close()

    # --- the reflector

    async def _reflect(self) -> None:
        failures = 0
        while True:
            try:
                stream = None if self._resource_version else await self._load()
                started_s = self._clock.monotonic()
                await self._follow(stream)
                # A server that ends every watch at once must not be asked again at once.
                failures = 0 if self._clock.monotonic() - started_s >= 1.0 else failures + 1
                if failures < 2:
                    continue
            except (Expired, Gone):
                log.info("informer %s: revision %s is gone, listing anew", self._kind.plural, self._resource_version)
                self._resource_version = ""
                failures += 1
                if failures < 2:
                    continue
            except ApiError as error:
                failures += 1
                log.warning("informer %s: %s", self._kind.plural, described(error))
            except Exception as error:
                # A bad event must not end the only copy that others read.
                failures += 1
                self._resource_version = ""
                log.error("informer %s: %s", self._kind.plural, described(error), exc_info=error)
            await self._clock.sleep(self._backoff.delay_s(max(failures, 1)))

    async def _load(self) -> AsyncIterator[WatchEvent[R]] | None:
        """Replaces the copy by the server's present state; returns the stream that goes on with the changes, if any."""
        if self._streams:
            try:
                async with asyncio.timeout(STREAM_START_S):
                    return await self._load_stream()
            except (Invalid, BadRequest, MethodNotAllowed, InternalError, TimeoutError) as error:
                # InternalError: what upstream's server says where its etcd is too old (below 3.4.31, 3.5.13).
                self._streams = False
                log.info("informer %s: no streamed lists here, listing: %s", self._kind.plural, described(error))
        await self._load_pages()
        return None

    async def _load_stream(self) -> AsyncIterator[WatchEvent[R]]:
        objects: dict[tuple[str, str], R] = {}
        events = self._source.watch(
            self._kind, self._namespace, initial_events=True, label_selector=self._labels, field_selector=self._fields
        )
        # A stream that ends early is retried; that its end came from a server that cannot stream shows in an error.
        try:
            async for event in events:
                metadata = event.object.metadata
                if event.type == "BOOKMARK":
                    if metadata.annotations.get(INITIAL_EVENTS_END) == "true":
                        self._replace(objects, metadata.resource_version)
                        return events
                elif event.type == "DELETED":
                    objects.pop((metadata.namespace, metadata.name), None)
                else:
                    objects[metadata.namespace, metadata.name] = event.object
        except BaseException:
            await _end(events)
            raise
        raise ServiceUnavailable(f"{self._kind.plural}: the watch ended before the state was complete")

    async def _load_pages(self) -> None:
        objects: dict[tuple[str, str], R] = {}
        token, revision = "", ""
        while True:
            page = await self._source.list(
                self._kind,
                self._namespace,
                limit=PAGE,
                continue_token=token,
                label_selector=self._labels,
                field_selector=self._fields,
            )
            for obj in page.items:
                objects[obj.metadata.namespace, obj.metadata.name] = obj
            revision, token = page.resource_version, page.continue_token
            if not token:
                break
        self._replace(objects, revision)

    async def _follow(self, stream: AsyncIterator[WatchEvent[R]] | None) -> None:
        """Applies changes until the server ends the watch."""
        events = stream or self._source.watch(
            self._kind,
            self._namespace,
            resource_version=self._resource_version,
            label_selector=self._labels,
            field_selector=self._fields,
        )
        try:
            async for event in events:
                metadata = event.object.metadata
                if event.type == "DELETED":
                    old = self._store.remove(metadata.name, metadata.namespace)
                    # The last state is the event's: it carries what the deletion itself wrote.
                    self._tell("DELETED", event.object if old is not None else old, None)
                elif event.type != "BOOKMARK":
                    self._put(event.object)
                self._resource_version = metadata.resource_version
        finally:
            await _end(events)

    def _put(self, obj: R) -> None:
        old = self._store.put(obj)
        self._tell("MODIFIED" if old is not None else "ADDED", old, obj)

    def _replace(self, objects: dict[tuple[str, str], R], revision: str) -> None:
        for old in self._store.list():
            if (old.metadata.namespace, old.metadata.name) not in objects:
                self._store.remove(old.metadata.name, old.metadata.namespace)
                self._tell("DELETED", old, None)
        for key, obj in objects.items():
            known = self._store.get(key[1], key[0])
            if known is None or known.metadata.resource_version != obj.metadata.resource_version:
                self._put(obj)
        self._resource_version = revision
        self._synced.set()

    def _tell(self, change: EventType, old: R | None, new: R | None) -> None:
        if old is None and new is None:
            return
        for handler in tuple(self._handlers):
            try:
                handler(change, old, new)
            except Exception as error:
                # One subscriber's fault must not blind the others.
                obj = new or old
                name = f"{obj.metadata.namespace}/{obj.metadata.name}" if obj else ""
                log.error("informer %s: a subscriber failed on %s", self._kind.plural, name, exc_info=error)


async def _end(events: AsyncIterator[Any]) -> None:
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()
