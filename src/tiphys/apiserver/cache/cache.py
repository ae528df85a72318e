"""The live objects of one stored kind, their recent past, and everyone who watches them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from tiphys.api.errors import ApiError, Expired
from tiphys.api.kind import Kind
from tiphys.apiserver.cache.entry import Entry, served
from tiphys.apiserver.cache.fanout import JSON_LINES, FanOut, Form, Group, View, WatchStream
from tiphys.apiserver.cache.foreign import as_json
from tiphys.apiserver.cache.index import FieldIndex
from tiphys.apiserver.cache.ring import Event, Ring
from tiphys.apiserver.cache.selection import Selection
from tiphys.base.sortedkeys import SortedKeys
from tiphys.store.interface import Record, prefix_end

if TYPE_CHECKING:
    from tiphys.apiserver.crd.versions import CustomVersions

log = logging.getLogger(__name__)

Subscriber = Callable[[str, Entry | None, Entry | None], None]

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def bookmark(kind: Kind[Any], revision: int, initial_events_end: bool = False) -> Entry:
    """An object that says nothing but "you have seen everything up to here"."""
    annotations = f',"annotations":{{"{INITIAL_EVENTS_END}":"true"}}' if initial_events_end else ""
    data = (
        f'{{"kind":"{kind.kind}","apiVersion":"{kind.api_version}",'
        f'"metadata":{{"resourceVersion":"{revision}"{annotations}}}}}'
    )
    return Entry(kind, b"", "", "", revision, data.encode())


def key_prefix(kind: Kind[Any]) -> bytes:
    """Where objects of this kind are stored; etcd's layout upstream."""
    return _prefix(kind.storage_key)


@lru_cache(maxsize=4096)
def _prefix(storage_key: str) -> bytes:
    return f"/registry/{storage_key}/".encode()


class KindCache:
    """Filled and kept current by `Caches`; read by everyone without waiting. Entries are of the stored version."""

    def __init__(self, kind: Kind[Any], revision: Callable[[], int]) -> None:
        self.kind = kind
        self.prefix = key_prefix(kind)
        self._revision = revision
        self._entries: dict[bytes, Entry] = {}
        self._keys = SortedKeys()
        self._index = FieldIndex(kind.indexed_field) if kind.indexed_field else None
        self._ring = Ring(0)
        self._fan_out = FanOut()
        self._subscribers: list[Subscriber] = []
        self.versions: CustomVersions | None = None
        """Of custom kinds: how stored objects look in each version."""
        self.changed_at = 0
        """The revision of the newest change of this kind."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def revision(self) -> int:
        """The store's revision that the content reflects."""
        return self._revision()

    # Reading.

    def key(self, namespace: str, name: str) -> bytes:
        tail = f"{namespace}/{name}" if self.kind.namespaced else name
        return self.prefix + tail.encode()

    def get(self, namespace: str, name: str) -> Entry | None:
        return self._entries.get(self.key(namespace, name))

    def entries(self, namespace: str = "") -> list[Entry]:
        """In key order; all namespaces when empty. A new list."""
        entries = self._entries
        if not entries:
            return []  # of many kinds there are none, and a pod's every change asks for those of its namespace
        start = self.start_of(namespace)
        return [entries[key] for key in self._keys.range(start, prefix_end(start))]

    def entries_from(self, start: bytes, end: bytes, limit: int = 0) -> list[Entry]:
        """Of the keys with start <= key < end, no more than `limit` (0: all)."""
        entries = self._entries
        return [entries[key] for key in self._keys.range(start, end, limit)]

    def candidates(self, selection: Selection, start: bytes = b"") -> list[Entry]:
        """What may match, in key order from `start` on: everything in the namespace, unless less is known to do."""
        if selection.name and (selection.namespace or not self.kind.namespaced):
            found = self.get(selection.namespace, selection.name)
            return [found] if found is not None and start <= found.key else []
        start = max(start, self.start_of(selection.namespace))
        end = prefix_end(self.start_of(selection.namespace))
        value = selection.fields.exact(self.kind.indexed_field) if self._index is not None else None
        if self._index is None or value is None:
            return self.entries_from(start, end)
        return [self._entries[key] for key in self._index.keys(value, self._entries) if start <= key < end]

    def count(self, start: bytes, end: bytes) -> int:
        """How many objects have keys with start <= key < end."""
        return self._keys.count(start, end)

    def start_of(self, namespace: str) -> bytes:
        """The prefix of the keys of a namespace, or of all."""
        return self.prefix + f"{namespace}/".encode() if namespace else self.prefix

    def entry_of(self, record: Record) -> Entry:
        """A stored record, of now or of the past, as an entry."""
        tail = record.key[len(self.prefix) :].decode()
        namespace, _, name = tail.rpartition("/")
        value = as_json(self.kind, record.key, record.value)
        return Entry(self.kind, record.key, namespace, name, record.mod_revision, served(value, record.mod_revision))

    # Changing: `Caches` alone.

    def load(self, records: list[Record], revision: int) -> None:
        """Take in what the store holds at `revision`."""
        for record in records:
            self._entries[record.key] = self.entry_of(record)
            self.changed_at = max(self.changed_at, record.mod_revision)
        self._keys = SortedKeys(self._entries)
        if self._index is not None:
            self._index.clear()
        self._ring = Ring(revision)

    def apply(self, key: bytes, revision: int, entry: Entry | None, now: float) -> None:
        """One durable change: `entry` stands at `key` from now on (None: nothing does)."""
        old = self._entries.get(key)
        if entry is None:
            if old is None:
                return
            del self._entries[key]
            self._keys.remove(key)
        else:
            self._entries[key] = entry
            if old is None:
                self._keys.add(key)
        if self._index is not None:
            self._index.changed(key, entry, old)
        self.changed_at = revision
        event = Event(revision, entry, old)
        self._ring.append(event, now)
        self._fan_out.publish(event)
        self._tell(key, entry, old)

    def replace(self, records: list[Record], revision: int) -> None:
        """Start again from what the store holds at `revision`, after changes were missed.

        Watchers are cut off (what they have seen has a gap); subscribers are told the difference.
        """
        self._fan_out.close()
        before, self._entries = self._entries, {}
        self.load(records, revision)
        for key in sorted(before.keys() | self._entries.keys()):
            new, old = self._entries.get(key), before.get(key)
            if new is None or old is None or new.revision != old.revision:
                self._tell(key, new, old)

    def _tell(self, key: bytes, entry: Entry | None, old: Entry | None) -> None:
        event_type = "DELETED" if entry is None else "ADDED" if old is None else "MODIFIED"
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(event_type, entry, old)
            except Exception:
                log.exception("%s %s: a subscriber failed", self.kind.kind, key.decode(errors="replace"))

    # Watching.

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call for every later change (not for what is there now); returns how to stop."""
        self._subscribers.append(subscriber)

        def stop() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return stop

    def watch(
        self,
        selection: Selection,
        after: int | None,
        *,
        form: Form | None = None,
        view: View | None = None,
        bookmarks: bool = False,
        initial_end: bool = False,
    ) -> WatchStream:
        """Events of a selection: after a revision, or (None) all that is there as ADDED, then what changes.

        `initial_end` puts a bookmark with the `initial-events-end` annotation after what was there. A revision that
        is too old makes a stream of one ERROR event.
        """
        form = form or JSON_LINES
        if after is not None and after < self._ring.floor:
            return _failed(form, Expired(f"too old resource version: {after} ({self._ring.floor})"))
        if view is not None and getattr(view, "deferred", False):
            stream = self._deferred(selection, after, form, view, bookmarks, initial_end)
            self._fan_out.add(selection, view, stream)
            return stream
        if after is None:
            initial = self._present(selection, form, view, initial_end)
        else:
            initial = self._past(selection, form, view, after, initial_end)
        stream = WatchStream(form, initial, bookmarks)
        stream.bookmarked = self.revision
        if after is not None and after > self.revision:
            stream.bookmarked = after
        self._fan_out.add(selection, view, stream)
        return stream

    def _deferred(
        self, selection: Selection, after: int | None, form: Form, view: View, bookmarks: bool, end: bool
    ) -> WatchStream:
        """A watch whose events must be converted by somebody else."""
        from tiphys.apiserver.crd.deferred import DeferredStream

        present = self.entries(selection.namespace) if after is None else []
        past = [] if after is None else list(self._ring.after(after))
        mark = bookmark(selection.kind, self.revision, True) if end else None
        stream = DeferredStream(form, cast("Any", view), selection, present, past, mark, bookmarks)
        stream.bookmarked = max(self.revision, after or 0)
        return stream

    def _present(self, selection: Selection, form: Form, view: View | None, end: bool) -> Iterator[bytes]:
        entries = self.candidates(selection)
        mark = bookmark(selection.kind, self.revision, True) if end else None

        def encode() -> Iterator[bytes]:
            for entry in entries:
                shown = entry if view is None else view(entry)
                if selection.everything or selection.matches(shown):
                    yield form.event("ADDED", shown)
            if mark is not None:
                yield form.event("BOOKMARK", mark)

        return encode()

    def _past(self, selection: Selection, form: Form, view: View | None, after: int, end: bool) -> Iterator[bytes]:
        group = Group(selection, view)
        seen = [group.seen(event) for event in self._ring.after(after)]
        mark = bookmark(selection.kind, self.revision, True) if end else None

        def encode() -> Iterator[bytes]:
            for item in seen:
                if item is not None:
                    yield form.event(*item)
            if mark is not None:
                yield form.event("BOOKMARK", mark)

        return encode()

    def send_bookmarks(self) -> None:
        """Tell watchers that asked for it how far they are."""
        revision = self.revision
        made: dict[tuple[Kind[Any], str], bytes] = {}
        for selection, watcher in self._fan_out.watchers():
            if not watcher.bookmarks or watcher.bookmarked >= revision:
                continue
            what = (selection.kind, watcher.form.name)
            if what not in made:
                made[what] = watcher.form.event("BOOKMARK", bookmark(selection.kind, revision))
            watcher.bookmarked = revision
            watcher.offer(made[what])

    def cut_off(self) -> None:
        """End every watch: what its objects look like has changed."""
        self._fan_out.close()

    def close(self) -> None:
        self._fan_out.close()
        self._subscribers.clear()


def _failed(form: Form, error: ApiError) -> WatchStream:
    stream = WatchStream(form, iter((form.error(error),)), False)
    stream.error = error
    stream.close()
    return stream
