"""All kinds' caches over one store: filled from it once, kept current by what it makes durable.

With a store in this process the caches are changed in the very turn in which a write becomes durable, before its
writer is answered: a reader never waits. With a remote store a task reads its watch, and `wait_for` is how a writer
makes sure that it reads what it wrote.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from tiphys.api import codec
from tiphys.api.kind import Kind
from tiphys.apiserver.cache.cache import KindCache, key_prefix
from tiphys.apiserver.cache.entry import Entry, served
from tiphys.base import verify
from tiphys.base.clock import Clock
from tiphys.store.interface import Change, Compacted, Record, Store, StoreError, Watch, prefix_end

log = logging.getLogger(__name__)

ROOT = b"/registry/"
_EVERY_KEY = (b"", b"\xff" * 8)
BOOKMARK_INTERVAL_S = 60.0
_LOAD_PAGE = 2000
_REPLAYED = 1000
"""Revisions before the newest that are replayed at start, so that watches go on over a restart."""


class Pending:
    """A write on its way: the typed object is kept, so that nobody has to decode what was just encoded."""

    __slots__ = ("entry", "kind", "obj", "value")

    def __init__(self, kind: Kind[Any], obj: Any, value: bytes) -> None:
        self.kind = kind
        self.obj = obj
        self.value = value
        self.entry: Entry | None = None
        """Set when the write is durable and in the cache."""


class Tapped(Protocol):
    """A store in this process, which calls when something is durable."""

    def tap(self, tap: Callable[[int, list[Change]], None]) -> Callable[[], None]: ...


class Caches:
    """`start` before use, `close` after. Kinds that share storage share a cache."""

    def __init__(self, store: Store, clock: Clock, kinds: Iterable[Kind[Any]]) -> None:
        self._store = store
        self._clock = clock
        self.revision = 0
        """Everything up to this revision of the store is in the caches."""
        self._by_prefix: dict[bytes, KindCache] = {}
        for kind in kinds:
            self.add(kind)
        self._opening: dict[bytes, list[Change]] = {}
        """What happens to kinds while they are being read for the first time."""
        self._pending: dict[int, Pending] = {}
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waits = 0
        self._stop_tap: Callable[[], None] | None = None
        self._watch: Watch | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, kind: Kind[Any]) -> None:
        """Make room for a kind, in the version in which it is stored."""
        prefix = key_prefix(kind)
        if prefix not in self._by_prefix:
            self._by_prefix[prefix] = KindCache(kind.stored_as or kind, lambda: self.revision)

    async def open(self, kind: Kind[Any]) -> KindCache:
        """The cache of a kind that came while the server runs, filled; also one that is there already."""
        prefix = key_prefix(kind)
        known = self._by_prefix.get(prefix)
        if known is not None:
            return known
        cache = KindCache(kind.stored_as or kind, lambda: self.revision)
        missed = self._opening.setdefault(prefix, [])
        revision = self.revision
        try:
            cache.load(await self._read(prefix, revision), revision)
            now = self._clock.monotonic()
            for change in missed:
                cache.apply(change.key, change.revision, self._entry(cache, change.record), now)
        finally:
            self._opening.pop(prefix, None)
        self._by_prefix[prefix] = cache
        return cache

    def shut(self, kind: Kind[Any]) -> None:
        """Forget a kind that went: its watches end."""
        cache = self._by_prefix.pop(key_prefix(kind), None)
        if cache is not None:
            cache.close()

    def of(self, kind: Kind[Any]) -> KindCache:
        """The cache that holds this kind, in whatever version. Raises KeyError for kinds that are not stored."""
        return self._by_prefix[key_prefix(kind)]

    def __contains__(self, kind: Kind[Any]) -> bool:
        return key_prefix(kind) in self._by_prefix

    def all(self) -> Mapping[bytes, KindCache]:
        return self._by_prefix

    async def start(self) -> None:
        """Read everything as it was a little while ago and replay what came after; from then on follow the store."""
        while True:
            self.revision = max(1, self._store.compact_revision, self._store.revision - _REPLAYED)
            try:
                loaded = {prefix: await self._read(prefix, self.revision) for prefix in self._by_prefix}
                break
            except Compacted:
                log.info("watch cache: another server compacted revision %d while it was read", self.revision)
        for prefix, records in loaded.items():
            self._by_prefix[prefix].load(records, self.revision)
        tap = getattr(self._store, "tap", None)
        if tap is None:
            newest = await self._store.newest()
            self._tasks.append(asyncio.create_task(self._follow(), name="watch cache"))
            await self.wait_for(newest)
        else:
            await self._catch_up()
            self._stop_tap = tap(self._changed)
        self._tasks.append(asyncio.create_task(self._bookmark(), name="watch bookmarks"))

    async def _read(self, prefix: bytes, revision: int) -> list[Record]:
        records: list[Record] = []
        start, end = prefix, prefix_end(prefix)
        while True:
            page = await self._store.range(start, end, revision=revision, limit=_LOAD_PAGE)
            records += page.records
            if not page.more:
                return records
            start = page.records[-1].key + b"\0"

    async def _catch_up(self) -> None:
        """Replay up to now, which moves on meanwhile. Ends in the turn in which nothing is left."""
        watch = self._store.watch(*_EVERY_KEY, self.revision + 1, previous=False)
        batches = aiter(watch)
        while self.revision < self._store.revision:
            batch = await anext(batches)
            self._changed(batch[-1].revision, batch)
        watch.cancel()

    def _changed(self, revision: int, changes: list[Change]) -> None:
        now = self._clock.monotonic()
        self.revision = revision
        for change in changes:
            cache = self._cache_at(change.key)
            if cache is not None:
                cache.apply(change.key, change.revision, self._entry(cache, change.record), now)
            elif self._opening:
                for prefix, missed in self._opening.items():
                    if change.key.startswith(prefix):
                        missed.append(change)
        while self._waiters and self._waiters[0][0] <= revision:
            future = heapq.heappop(self._waiters)[2]
            if not future.done():
                future.set_result(None)

    def _cache_at(self, key: bytes) -> KindCache | None:
        at = key.find(b"/", len(ROOT)) + 1
        cache = self._by_prefix.get(key[:at])
        if cache is None and at:
            cache = self._by_prefix.get(key[: key.find(b"/", at) + 1])
        return cache

    def _entry(self, cache: KindCache, record: Record | None) -> Entry | None:
        if record is None:
            return None
        pending = self._pending.pop(id(record.value), None)
        if pending is None or pending.value is not record.value:
            return cache.entry_of(record)
        meta = pending.obj.metadata
        meta.resource_version = str(record.mod_revision)
        data = served(record.value, record.mod_revision)
        if verify.enabled:
            decoded = codec.decode(cache.kind.schema, data)
            verify.that(decoded == pending.obj, f"{record.key!r}: {pending.obj} was written, {decoded} is read")
        entry = pending.entry = Entry(
            cache.kind, record.key, meta.namespace, meta.name, record.mod_revision, data, pending.obj
        )
        if cache.versions is not None:
            entry.forms = {cache.versions.clean: None}
        return entry

    def expect(self, pending: Pending) -> None:
        """Announce a write just before it is given to the store; `forget` when it is over."""
        self._pending[id(pending.value)] = pending

    def forget(self, pending: Pending) -> None:
        self._pending.pop(id(pending.value), None)

    async def wait_for(self, revision: int) -> None:
        """Return when the caches have reached `revision`; at once with a store in this process."""
        if revision <= self.revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waits += 1
        heapq.heappush(self._waiters, (revision, self._waits, future))
        await future

    @property
    def remote(self) -> bool:
        """Whether the store is elsewhere: the caches follow it, and others may have written what is not here yet."""
        return self._stop_tap is None

    async def newest(self) -> int:
        """The revision up to which anyone may have been answered by now. Raises StoreError: the store is away."""
        return await self._store.newest()

    async def _follow(self) -> None:
        """Of all keys, also those that are not ours: so every revision passes by, and waiting for one always ends."""
        behind = False
        while True:
            try:
                if behind:
                    await self._reload()
                    behind = False
                watch = self._watch = self._store.watch(*_EVERY_KEY, self.revision + 1, previous=False)
                async for batch in watch:
                    self._changed(batch[-1].revision, batch)
                return
            except Compacted:
                # History is gone: what is in the caches cannot be brought up to date, watchers must begin again.
                log.warning("watch cache: fell behind compaction, reading everything again")
                behind = True
            except StoreError as error:
                log.warning("watch cache: the store's watch broke: %s", error)
                await self._clock.sleep(1.0)

    async def _reload(self) -> None:
        revision = await self._store.newest()
        read = {prefix: await self._read(prefix, revision) for prefix in self._by_prefix}
        for prefix, records in read.items():
            if prefix in self._by_prefix:
                self._by_prefix[prefix].replace(records, revision)
        self._changed(revision, [])

    async def _bookmark(self) -> None:
        while True:
            await self._clock.sleep(BOOKMARK_INTERVAL_S)
            for cache in self._by_prefix.values():
                cache.send_bookmarks()

    async def close(self) -> None:
        if self._stop_tap is not None:
            self._stop_tap()
            self._stop_tap = None
        if self._watch is not None:
            self._watch.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for cache in self._by_prefix.values():
            cache.close()
