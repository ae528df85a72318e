"""Get, list and watch: what a resource version asks for, and where the answer comes from.

The newest state comes from the cache; a state of the past (the later pages of a list, an exact version) comes from the
store's history. Source: staging/src/k8s.io/apiserver/pkg/storage/{cacher,etcd3}.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.errors import (
    BadRequest,
    Expired,
    FieldError,
    InternalError,
    forbidden,
    invalid_object,
    not_supported,
)
from tiphys.api.kind import Kind
from tiphys.api.meta.types import StatusCause
from tiphys.apiserver.cache.cache import KindCache
from tiphys.apiserver.cache.caches import Caches
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.cache.fanout import WatchStream
from tiphys.apiserver.cache.selection import Selection, select
from tiphys.apiserver.registry import continuing, metadata
from tiphys.apiserver.registry.freshness import Freshness
from tiphys.apiserver.registry.interface import ListOptions, Page, WatchOptions
from tiphys.apiserver.registry.storage import refused
from tiphys.apiserver.registry.versions import entry_in, ready, view_of
from tiphys.store.interface import Compacted, Range, Store, StoreError, prefix_end

_CHUNK = 500
_MAX_UINT64 = 2**64 - 1
_CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
_VERSION_TOO_OLD = "The resourceVersion for the provided list is too old."


class Reads:
    """Reads over one store and its caches."""

    def __init__(self, store: Store, caches: Caches) -> None:
        self._store = store
        self._caches = caches
        self._fresh = Freshness(caches)

    async def get(self, kind: Kind[Any], namespace: str, name: str, resource_version: str = "") -> Entry:
        cache = self._caches.of(kind)
        if resource_version:
            await self._fresh.at(parse_version(resource_version))
        else:
            await self._fresh.of_now()
        entry = cache.get(namespace, name)
        if entry is None:
            self._check_readable(cache.key(namespace, name))
            raise metadata.absent(kind, name)
        return await entry_in(cache, kind, entry)

    def _check_readable(self, key: bytes) -> None:
        """Raises InternalError where the object is there (or one below `key`, if that ends in `/`), but unreadable."""
        unreadable: dict[bytes, str] = getattr(self._store, "unreadable", None) or {}
        for known, why in unreadable.items():
            if known == key or (key.endswith(b"/") and known.startswith(key)):
                raise InternalError(f"Internal error occurred: {why}")

    # Lists.

    async def list(self, kind: Kind[Any], namespace: str, options: ListOptions) -> Page:
        _check_list(options)
        selection = select(kind, namespace, options.label_selector, options.field_selector)
        cache = self._caches.of(kind)
        self._check_readable(cache.start_of(namespace))
        if options.continue_token:
            if options.resource_version not in ("", "0"):
                raise BadRequest("specifying resource version is not allowed when using continue")
            start, revision = continuing.decode(options.continue_token, cache.start_of(namespace))
            if revision == continuing.INCONSISTENT:
                revision = self._caches.revision
            return await self._page(cache, selection, start, revision, options)
        revision = parse_version(options.resource_version) if options.resource_version else 0
        if revision:
            await self._fresh.at(revision)
        elif not options.resource_version:
            await self._fresh.of_now()
        exact = options.resource_version_match == "Exact"
        if revision and not options.resource_version_match and options.limit:
            exact = True  # upstream's legacy: a limit with a version has always meant that version
        start = cache.start_of(namespace)
        if cache.versions is not None and not exact:
            await ready(view_of(cache, kind), cache.entries(namespace))
        if exact:
            return await self._page(cache, selection, start, revision, options)
        if options.resource_version == "0":
            options = ListOptions(options.label_selector, options.field_selector)  # from memory: not limited
        return self._newest(cache, selection, start, options)

    def _newest(self, cache: KindCache, selection: Selection, start: bytes, options: ListOptions) -> Page:
        revision = self._caches.revision
        end, limit = prefix_end(cache.start_of(selection.namespace)), options.limit
        view = view_of(cache, selection.kind)
        if selection.everything:
            shown = cache.entries_from(start, end, limit)
            left = cache.count(start, end) - len(shown)
            if view is not None:
                shown = [view(entry) for entry in shown]
            return _paged(cache, selection, shown, revision, left > 0, left)
        shown = []
        for entry in cache.candidates(selection, start):
            seen = entry if view is None else view(entry)
            if selection.matches(seen):
                if limit and len(shown) == limit:
                    return _paged(cache, selection, shown, revision, True, None)
                shown.append(seen)
        return Page(shown, revision)

    async def _page(
        self, cache: KindCache, selection: Selection, start: bytes, revision: int, options: ListOptions
    ) -> Page:
        """Entries from `start` on as they were at `revision`."""
        if max(cache.changed_at, self._store.compact_revision) <= revision <= self._caches.revision:
            # Nothing of this kind changed since, and the past is not forgotten: the cache is the past.
            if cache.versions is not None:
                await ready(view_of(cache, selection.kind), cache.entries(selection.namespace))
            page = self._newest(cache, selection, start, options)
            token = page.continue_token and _token(cache, selection, page.entries[-1], revision)
            return Page(page.entries, revision, token, page.remaining)
        view = view_of(cache, selection.kind)
        end, limit = prefix_end(cache.start_of(selection.namespace)), options.limit
        shown: list[Entry] = []
        while True:
            found = await self._at(cache, selection, start, end, revision, limit, bool(options.continue_token))
            entries = [cache.entry_of(record) for record in found.records]
            await ready(view, entries)
            for index, (record, entry) in enumerate(zip(found.records, entries, strict=True)):
                seen = entry if view is None else view(entry)
                if selection.everything or selection.matches(seen):
                    shown.append(seen)
                if limit and len(shown) == limit:
                    left = found.count - index - 1
                    return _paged(cache, selection, shown, revision, left > 0, left, record.key)
            if not found.more:
                return Page(shown, revision)
            start = found.records[-1].key + b"\0"

    async def _at(
        self,
        cache: KindCache,
        selection: Selection,
        start: bytes,
        end: bytes,
        revision: int,
        limit: int,
        continued: bool,
    ) -> Range:
        try:
            return await self._store.range(start, end, revision=revision, limit=max(limit, _CHUNK) if limit else 0)
        except Compacted:
            if not continued:
                raise Expired(_VERSION_TOO_OLD) from None
            token = continuing.encode(start, cache.start_of(selection.namespace), continuing.INCONSISTENT)
            raise Expired(_CONTINUE_TOO_OLD, continue_token=token) from None
        except StoreError as error:
            raise refused(error) from error

    # Watches.

    async def watch(self, kind: Kind[Any], namespace: str, options: WatchOptions) -> WatchStream:
        _check_watch(options)
        selection = select(kind, namespace, options.label_selector, options.field_selector)
        revision = parse_version(options.resource_version) if options.resource_version else 0
        cache = self._caches.of(kind)
        after: int | None = revision or None
        if not options.resource_version:
            await self._fresh.of_now()
        if options.send_initial_events:
            await self._fresh.at(revision)
            after = None
        elif options.send_initial_events is False and not revision:
            after = self._caches.revision
        return cache.watch(
            selection,
            after,
            form=options.form,
            view=view_of(cache, kind),
            bookmarks=options.allow_bookmarks,
            initial_end=bool(options.send_initial_events) and options.allow_bookmarks,
        )


def parse_version(text: str) -> int:
    """Raises BadRequest."""
    if text.isascii() and text.isdigit() and int(text) <= _MAX_UINT64:
        return int(text)
    why = "value out of range" if text.isascii() and text.isdigit() else "invalid syntax"
    raise BadRequest(
        f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {why}',
        causes=[StatusCause(reason="FieldValueInvalid", message=f'Invalid value: "{text}"', field="resourceVersion")],
    )


def _paged(
    cache: KindCache,
    selection: Selection,
    shown: list[Entry],
    revision: int,
    more: bool,
    left: int | None,
    last_key: bytes = b"",
) -> Page:
    if not more:
        return Page(shown, revision)
    token = (
        _token(cache, selection, shown[-1], revision)
        if not last_key
        else _token_at(cache, selection, last_key, revision)
    )
    return Page(shown, revision, token, left if selection.everything else None)


def _token(cache: KindCache, selection: Selection, last: Entry, revision: int) -> str:
    return _token_at(cache, selection, last.key, revision)


def _token_at(cache: KindCache, selection: Selection, last_key: bytes, revision: int) -> str:
    return continuing.encode(last_key + b"\0", cache.start_of(selection.namespace), revision)


def _check_list(options: ListOptions) -> None:
    errors: list[FieldError] = []
    match, path = options.resource_version_match, "resourceVersionMatch"
    if match:
        if not options.resource_version:
            errors.append(forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if options.continue_token:
            errors.append(forbidden(path, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            errors.append(not_supported(path, match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and options.resource_version == "0":
            errors.append(forbidden(path, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    _refuse(errors)


def _check_watch(options: WatchOptions) -> None:
    errors: list[FieldError] = []
    match, path = options.resource_version_match, "resourceVersionMatch"
    if options.send_initial_events is not None and match != "NotOlderThan":
        errors.append(forbidden(path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    if match:
        if options.send_initial_events is None:
            text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            errors.append(forbidden(path, text))
        if match != "NotOlderThan":
            errors.append(not_supported(path, match, ("NotOlderThan",)))
    _refuse(errors)


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise invalid_object("meta.k8s.io", "ListOptions", "", errors)
