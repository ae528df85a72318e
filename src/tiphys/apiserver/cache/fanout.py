"""Handing events to watchers: selected once per selection, encoded once per form, given by reference.

Watchers that ask for the same thing form a group. An event is matched against a group, not against its watchers; the
groups that a change can concern are found by namespace and, for selections that name one value of a field (a kubelet's
`spec.nodeName=`, an object's `metadata.name=`), by that value.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Protocol

from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.cache.ring import Event
from tiphys.apiserver.cache.selection import Selection, field_of

MAX_QUEUED = 4096
"""Events that may wait for one watcher; then it is cut off, and has to begin again."""
_INITIAL_BATCH = 128

View = Callable[[Entry], Entry]
"""The entry as another version of its kind."""


class Form(Protocol):
    """See registry/interface.py."""

    @property
    def name(self) -> str: ...
    def event(self, event_type: str, entry: Entry) -> bytes: ...
    def error(self, error: ApiError) -> bytes: ...


class JsonLines:
    """`{"type":"ADDED","object":{...}}` and a newline."""

    name = "json"

    def event(self, event_type: str, entry: Entry) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (event_type.encode(), entry.data)

    def error(self, error: ApiError) -> bytes:
        return b'{"type":"ERROR","object":%b}\n' % codec.encode(error.status())


JSON_LINES = JsonLines()


class WatchStream:
    """One watcher's events, encoded: first what was there when it came, then what happens.

    Whoever sends them sets `ready` and takes; or iterates over the batches, until the end.
    """

    immediate = True
    """What `take` gives is what is to be sent; otherwise only iterating makes bytes of it."""

    def __init__(self, form: Form, initial: Iterator[bytes], bookmarks: bool) -> None:
        self.form = form
        self.bookmarks = bookmarks
        self.bookmarked = 0
        """The revision of the last bookmark."""
        self.error: ApiError | None = None
        self.slow = False
        """It was cut off because it did not read."""
        self.on_close: Callable[[], None] = _nothing
        self.ready: Callable[[], None] = _nothing
        """Called when there is something to take after there was nothing, and at the end."""
        self._initial: Iterator[bytes] | None = initial
        self._queue: list[Any] = []
        self._closed = False

    def offer(self, data: Any) -> None:
        """Queue one encoded event (an `Event`, where the stream encodes itself)."""
        queue = self._queue
        if not queue:
            queue.append(data)
            self.ready()
        elif len(queue) < MAX_QUEUED:
            queue.append(data)
        else:
            self.slow = True
            self.close()

    def close(self) -> None:
        """Nothing more will come; idempotent."""
        if not self._closed:
            self._closed = True
            self.on_close()
            self.ready()

    @property
    def ended(self) -> bool:
        """Closed, and all was taken that should be."""
        return self._closed and (self.slow or (self._initial is None and not self._queue))

    def take(self) -> list[bytes]:
        """What waits to be sent; empty when there is nothing now."""
        if self.slow:
            return []
        if self._initial is not None:
            batch = list(itertools.islice(self._initial, _INITIAL_BATCH))
            if batch:
                self.ready()
                return batch
            self._initial = None
        batch, self._queue = self._queue, []
        return batch

    async def __aiter__(self) -> AsyncIterator[list[bytes]]:
        waker = asyncio.Event()
        self.ready = waker.set
        try:
            while not self.ended:
                waker.clear()
                if batch := self.take():
                    yield batch
                elif not self.ended:
                    await waker.wait()
        finally:
            self.close()


def _nothing() -> None:
    return


class Group:
    """Watchers of one selection."""

    __slots__ = ("deferred", "selection", "view", "watchers")

    def __init__(self, selection: Selection, view: View | None) -> None:
        self.selection = selection
        self.view = view
        self.watchers: set[WatchStream] = set()
        self.deferred = bool(getattr(view, "deferred", False))
        """Watchers get the events and make bytes of them themselves: views must be waited for."""

    @property
    def trigger(self) -> tuple[str, str]:
        """The field and value that an event's object must have; empty where anything may concern the group."""
        found = self.selection.trigger() or ("", "")
        return ("", "") if self.deferred and not found[0].startswith("metadata.") else found

    def seen(self, event: Event) -> tuple[str, Entry] | None:
        """The event as this selection sees it: entering is ADDED, leaving is DELETED."""
        new, old = event.new, event.old
        matches, view = self.selection.matches, self.view
        if view is not None:
            new, old = new and view(new), old and view(old)
        if new is not None and matches(new):
            return ("MODIFIED" if old is not None and matches(old) else "ADDED"), new
        if old is not None and matches(old):
            removed = event.removed()
            return "DELETED", removed if view is None else view(removed)
        return None

    def deliver(self, event: Event) -> None:
        if self.deferred:
            for watcher in tuple(self.watchers):
                watcher.offer(event)
            return
        seen = self.seen(event)
        if seen is None:
            return
        event_type, entry = seen
        encoded: dict[str, bytes] = event.json if self.view is None else {}
        form: Form | None = None
        data = b""
        for watcher in tuple(self.watchers):
            if watcher.form is not form:
                form = watcher.form
                name = event_type + form.name
                known = encoded.get(name)
                data = encoded[name] = form.event(event_type, entry) if known is None else known
            watcher.offer(data)


_GroupKey = tuple[str, str, str]
"""Namespace, trigger field, trigger value."""


class FanOut:
    """All watchers of one stored kind."""

    def __init__(self) -> None:
        self._groups: dict[Selection, Group] = {}
        self._filed: dict[_GroupKey, dict[Selection, Group]] = {}
        self._fields: Counter[tuple[Any, str]] = Counter()
        """(kind, field) of the triggers in use."""

    def add(self, selection: Selection, view: View | None, watcher: WatchStream) -> None:
        group = self._groups.get(selection)
        if group is None:
            group = self._groups[selection] = Group(selection, view)
            field, value = group.trigger
            self._filed.setdefault((selection.namespace, field, value), {})[selection] = group
            if field:
                self._fields[selection.kind, field] += 1
        group.watchers.add(watcher)
        watcher.on_close = lambda: self._remove(selection, watcher)

    def _remove(self, selection: Selection, watcher: WatchStream) -> None:
        group = self._groups.get(selection)
        if group is None:
            return
        group.watchers.discard(watcher)
        if group.watchers:
            return
        del self._groups[selection]
        field, value = group.trigger
        key = (selection.namespace, field, value)
        del self._filed[key][selection]
        if not self._filed[key]:
            del self._filed[key]
        if field:
            self._fields[selection.kind, field] -= 1
            self._fields += Counter()

    def publish(self, event: Event) -> None:
        if not self._groups:
            return
        for group in list(self._concerned(event)):
            group.deliver(event)
        event.json = {}

    def _concerned(self, event: Event) -> Iterable[Group]:
        entry = event.new or event.old
        if entry is None:
            return
        filed = self._filed
        keys: set[_GroupKey] = {("", "", ""), (entry.namespace, "", "")}
        for kind, field in self._fields:
            for state in (event.new, event.old):
                if state is not None:
                    view = self._view_of(kind)
                    plain = view is None or field.startswith("metadata.")
                    value = field_of(state if plain or view is None else view(state), field)
                    keys.add(("", field, value))
                    keys.add((entry.namespace, field, value))
        for key in keys:
            if (groups := filed.get(key)) is not None:
                yield from groups.values()

    def _view_of(self, kind: Any) -> View | None:
        return next((group.view for group in self._groups.values() if group.selection.kind is kind), None)

    def watchers(self) -> Iterator[tuple[Selection, WatchStream]]:
        for group in list(self._groups.values()):
            for watcher in list(group.watchers):
                yield group.selection, watcher

    def close(self) -> None:
        for _, watcher in self.watchers():
            watcher.close()
