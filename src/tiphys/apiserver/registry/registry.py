"""`StoredRegistry`: the registry over a store. `open_registry` makes one that is ready to serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from tiphys.api.kind import Kind
from tiphys.api.kinds import IPADDRESS, KINDS, NAMESPACE
from tiphys.api.kinds.autoscaling.scale import Scale
from tiphys.api.kinds.core.service import SERVICE
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.cache.cache import KindCache, Subscriber
from tiphys.apiserver.cache.caches import Caches
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.cache.fanout import WatchStream
from tiphys.apiserver.registry.deleting import Deletes
from tiphys.apiserver.registry.freshness import Freshness
from tiphys.apiserver.registry.interface import (
    Cache,
    Deletion,
    ListOptions,
    Page,
    PatchRequest,
    Transform,
    WatchOptions,
    WriteOptions,
)
from tiphys.apiserver.registry.patching import Patches
from tiphys.apiserver.registry.reading import Reads
from tiphys.apiserver.registry.scaling import Scales
from tiphys.apiserver.registry.service_addresses import ServiceAddresses
from tiphys.apiserver.registry.services import ServiceAllocator
from tiphys.apiserver.registry.storage import Storage
from tiphys.apiserver.registry.versions import view_of
from tiphys.apiserver.registry.writing import Writes
from tiphys.apiserver.request import User
from tiphys.base.clock import Clock
from tiphys.store.interface import Compacted, Store, StoreError

if TYPE_CHECKING:
    from tiphys.apiserver.crd.versions import CustomVersions

log = logging.getLogger(__name__)

_OWN = WriteOptions(user=User("system:apiserver", groups=("system:masters",)), field_manager="kube-apiserver")
"""For objects that the registry keeps itself."""


class RegistrySettings(msgspec.Struct, frozen=True):
    service_cidr: str = "10.96.0.0/16"
    """One network, or one of each family separated by a comma; the usual family's first."""
    node_ports: tuple[int, int] = (30000, 32767)
    """First and last."""
    compaction_interval_s: float = 300.0
    """History older than this, and at most twice this, is forgotten; 0: never. Upstream: --etcd-compaction-interval."""


class StoredRegistry:
    """`interface.Registry` over a store and its caches."""

    def __init__(self, store: Store, caches: Caches, clock: Clock, settings: RegistrySettings) -> None:
        self._store = store
        self._caches = caches
        self._clock = clock
        self._settings = settings
        pools = [
            ServiceAddresses(
                cidr,
                caches,
                create=lambda obj: self.create(IPADDRESS, "", obj, _OWN),
                delete=lambda name: self.delete(IPADDRESS, "", name, DeleteOptions(), _OWN),
            )
            for cidr in settings.service_cidr.split(",")
        ]
        self._services = ServiceAllocator(pools, settings.node_ports, store)
        storage = Storage(store, caches, clock)
        self._fresh = Freshness(caches)
        self._reads = Reads(store, caches)
        self._writes = Writes(storage, caches, self._services, clock)
        self._deletes = Deletes(storage, caches, self._writes, clock)
        self._patches = Patches(self._writes)
        self._scales = Scales(self._reads, self._writes)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self._caches.start()
        if SERVICE in self._caches:
            cache = self._caches.of(SERVICE)
            for entry in cache.entries():
                self._services.seen("ADDED", entry, None)
            cache.subscribe(self._services.seen)
        if self._settings.compaction_interval_s:
            self._tasks.append(asyncio.create_task(self._compact(), name="compaction"))

    @property
    def revision(self) -> int:
        """The newest revision that reads see."""
        return self._caches.revision

    async def create(self, kind: Kind[Any], namespace: str, obj: Any, opts: WriteOptions) -> Entry:
        if self._caches.remote and kind.namespaced and self._caches.of(NAMESPACE).get("", namespace) is None:
            await self._fresh.of_now()  # it may have been made through another server a moment ago
        return await self._writes.create(kind, namespace, obj, opts)

    async def get(self, kind: Kind[Any], namespace: str, name: str, resource_version: str = "") -> Entry:
        return await self._reads.get(kind, namespace, name, resource_version)

    async def list(self, kind: Kind[Any], namespace: str, options: ListOptions) -> Page:
        return await self._reads.list(kind, namespace, options)

    async def update(
        self,
        kind: Kind[Any],
        namespace: str,
        name: str,
        transform: Transform,
        opts: WriteOptions,
        *,
        uid: str = "",
    ) -> tuple[Entry, bool]:
        await self._fresh.of_now()
        return await self._writes.update(kind, namespace, name, transform, opts, uid=uid)

    async def rewrite(
        self, kind: Kind[Any], namespace: str, name: str, transform: Transform, *, uid: str = "", dry_run: bool = False
    ) -> Entry:
        await self._fresh.of_now()
        return await self._writes.rewrite(kind, namespace, name, transform, uid, dry_run)

    async def patch(
        self, kind: Kind[Any], namespace: str, name: str, request: PatchRequest, opts: WriteOptions
    ) -> tuple[Entry, bool]:
        await self._fresh.of_now()
        return await self._patches.patch(kind, namespace, name, request, opts)

    async def delete(
        self, kind: Kind[Any], namespace: str, name: str, options: DeleteOptions, opts: WriteOptions
    ) -> Deletion:
        await self._fresh.of_now()
        return await self._deletes.delete(kind, namespace, name, options, opts)

    async def delete_collection(
        self, kind: Kind[Any], namespace: str, selection: ListOptions, options: DeleteOptions, opts: WriteOptions
    ) -> Page:
        page = await self._reads.list(kind, namespace, selection)
        await self._deletes.delete_all(kind, page.entries, options, opts)
        return page

    async def watch(self, kind: Kind[Any], namespace: str, options: WatchOptions) -> WatchStream:
        return await self._reads.watch(kind, namespace, options)

    async def get_scale(self, kind: Kind[Any], namespace: str, name: str) -> Scale:
        await self._fresh.of_now()
        return await self._scales.get(kind, namespace, name)

    async def update_scale(self, kind: Kind[Any], namespace: str, name: str, scale: Scale, opts: WriteOptions) -> Scale:
        await self._fresh.of_now()
        return await self._scales.change(kind, namespace, name, lambda _: scale, opts)

    async def patch_scale(
        self, kind: Kind[Any], namespace: str, name: str, request: PatchRequest, opts: WriteOptions
    ) -> Scale:
        await self._fresh.of_now()
        return await self._scales.patch(kind, namespace, name, request, opts)

    async def open_kind(self, kind: Kind[Any], versions: CustomVersions) -> None:
        known = kind in self._caches
        cache = await self._caches.open(kind)
        cache.kind, cache.versions = kind, versions
        if known:
            cache.cut_off()

    def shut_kind(self, kind: Kind[Any]) -> None:
        self._caches.shut(kind)

    def cache_of(self, kind: Kind[Any]) -> Cache:
        cache = self._caches.of(kind)
        return cache if cache.kind == kind else CacheView(cache, kind)

    def versions_of(self, kind: Kind[Any]) -> CustomVersions | None:
        """How objects of a custom kind look in each version; None for built-in kinds."""
        return self._caches.of(kind).versions

    async def _compact(self) -> None:
        """Forget history step by step, so that between one and two intervals of it are always there."""
        before = self._caches.revision
        while True:
            await self._clock.sleep(self._settings.compaction_interval_s)
            try:
                if before > self._store.compact_revision:
                    await self._store.compact(before)
            except Compacted:
                log.debug("compaction: another server was faster")
            except StoreError as error:
                log.warning("compaction at revision %d failed: %s", before, error)
            before = self._caches.revision

    async def close(self) -> None:
        """End every watch; the store stays its owner's."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._caches.close()


class CacheView:
    """A cache seen in another version of its kind."""

    def __init__(self, cache: KindCache, kind: Kind[Any]) -> None:
        view = view_of(cache, kind)
        if view is None:
            raise ValueError("a cache needs no view of its own version")
        self._cache = cache
        self._view = view
        self.kind = kind

    @property
    def revision(self) -> int:
        return self._cache.revision

    def get(self, namespace: str, name: str) -> Entry | None:
        entry = self._cache.get(namespace, name)
        return entry and self._view(entry)

    def entries(self, namespace: str = "") -> list[Entry]:
        return [self._view(entry) for entry in self._cache.entries(namespace)]

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        view = self._view
        return self._cache.subscribe(
            lambda event_type, new, old: subscriber(event_type, new and view(new), old and view(old))
        )


async def open_registry(
    store: Store,
    clock: Clock,
    settings: RegistrySettings | None = None,
    kinds: Iterable[Kind[Any]] = KINDS,
) -> StoredRegistry:
    """A registry with its caches filled; `close` ends it."""
    caches = Caches(store, clock, [kind for kind in kinds if kind.stored])
    registry = StoredRegistry(store, caches, clock, settings or RegistrySettings())
    await registry.start()
    return registry
