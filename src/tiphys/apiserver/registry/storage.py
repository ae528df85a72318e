"""The registry's way to durable objects: encode, compare and write, and have the cache know before anyone is told."""

from __future__ import annotations

from typing import Any, NamedTuple

from tiphys.api import codec
from tiphys.api.errors import InternalError
from tiphys.api.kind import Kind
from tiphys.api.kinds.core.event import EVENT
from tiphys.apiserver.cache.cache import KindCache
from tiphys.apiserver.cache.caches import Caches, Pending
from tiphys.apiserver.cache.entry import Entry, served
from tiphys.apiserver.registry.versions import entry_in, stored_form
from tiphys.base.clock import Clock
from tiphys.store.interface import Compare, Delete, LeaseNotFound, Put, Record, Store, StoreError, StoreFailed

EVENT_TTL_S = 3600
_LEASE_REUSE_S = 60.0


class Encoded(NamedTuple):
    """An object in its stored form, and its bytes."""

    stored: Any
    value: bytes


def _encoded(stored: Any) -> Encoded:
    stored.metadata.resource_version = ""
    return Encoded(stored, codec.encode(stored))


class Storage:
    """Conditional writes of single objects. None as an answer means: someone else was faster."""

    def __init__(self, store: Store, caches: Caches, clock: Clock) -> None:
        self._store = store
        self._caches = caches
        self._clock = clock
        self._event_lease = 0
        self._event_lease_until = 0.0

    def encoded(self, kind: Kind[Any], obj: Any) -> Encoded | None:
        """`obj` as it would be stored, without its resource version; None where others convert it first."""
        cache = self._caches.of(kind)
        return _encoded(stored_form(cache, kind, obj)) if cache.versions is None else None

    async def put(
        self, kind: Kind[Any], key: bytes, obj: Any, expected: int, encoded: Encoded | None = None
    ) -> Entry | None:
        """Write `obj` where the key stands at revision `expected` (0: is absent). The object is consumed.

        `encoded`: the same object, encoded already. The entry has the version of `kind`. Raises InternalError where
        the store fails.
        """
        cache = self._caches.of(kind)
        if encoded is None:
            encoded = _encoded(await _stored(cache, kind, obj))
        stored, value = encoded
        lease = await self._lease(cache.kind)
        pending = Pending(cache.kind, stored, value)
        self._caches.expect(pending)
        try:
            result = await self._store.txn((Compare(key, expected),), (Put(key, value, lease),))
        except LeaseNotFound:
            self._event_lease = 0
            raise InternalError("the lease of events expired while one was written: try again") from None
        except StoreError as error:
            raise refused(error) from error
        finally:
            self._caches.forget(pending)
        await self._caches.wait_for(result.revision)
        if not result.succeeded:
            return None
        entry = pending.entry or cache.entry_of(Record(key, value, 0, result.revision, 0))
        return await entry_in(cache, kind, entry)

    async def rehearsed(self, kind: Kind[Any], entry: Entry) -> Entry:
        """A dry run's entry as it would be read back had it been written: through the stored version, and what that
        does not know is lost. Raises InternalError where a conversion fails.
        """
        cache = self._caches.of(kind)
        if cache.kind.api_version == kind.api_version:
            return entry
        stored = await _stored(cache, kind, entry.obj)
        written = Entry(
            cache.kind, entry.key, entry.namespace, entry.name, entry.revision, codec.encode(stored), stored
        )
        obj = (await entry_in(cache, kind, written)).obj
        obj.metadata.resource_version = str(entry.revision) if entry.revision else ""
        return Entry(kind, entry.key, entry.namespace, entry.name, entry.revision, codec.encode(obj), obj)

    async def remove(self, entry: Entry) -> int | None:
        """Delete what stands at exactly this entry; the revision of the deletion."""
        try:
            result = await self._store.txn((Compare(entry.key, entry.revision),), (Delete(entry.key),))
        except StoreError as error:
            raise refused(error) from error
        await self._caches.wait_for(result.revision)
        if not result.succeeded:
            return None
        return result.revision

    def unchanged(self, kind: Kind[Any], obj: Any, current: Entry, encoded: Encoded | None) -> bool:
        """Whether writing `obj` over `current` (an entry of the stored version) would change nothing."""
        stale = getattr(self._store, "stale", None)
        if stale is not None and stale(current.key):
            return False  # encrypted with a key of before: the same object is to be written with today's
        cache = self._caches.of(kind)
        if cache.versions is not None:
            return cache.versions.is_clean(current) and cache.versions.same(kind, obj, current)
        return encoded is not None and served(encoded.value, current.revision) == current.data

    async def _lease(self, kind: Kind[Any]) -> int:
        """Events expire. Many share a lease, so that there are not as many leases as events."""
        if kind is not EVENT:
            return 0
        now = self._clock.monotonic()
        if not self._event_lease or now >= self._event_lease_until:
            self._event_lease_until = now + _LEASE_REUSE_S
            self._event_lease = await self._store.grant(EVENT_TTL_S + int(_LEASE_REUSE_S))
        return self._event_lease


async def _stored(cache: KindCache, kind: Kind[Any], obj: Any) -> Any:
    return stored_form(cache, kind, obj) if cache.versions is None else await cache.versions.stored_form(obj)


def refused(error: StoreError) -> InternalError:
    """What a client is told when the store fails: why, without a trace."""
    return InternalError(f"storage: {error}" if isinstance(error, StoreFailed) else str(error))
