"""The recent past of one kind, so that a watch can go on from where it broke off.

Bounded by count and by age, whichever is reached first; a few events are kept however old they are, because a quiet
kind costs nothing and its watchers should not have to list again. Source: upstream's watch_cache.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tiphys.apiserver.cache.entry import Entry

MAX_EVENTS = 4096
KEPT_ANYWAY = 128
MAX_AGE_S = 120.0


class Event:
    """One change of one object. `new` is None on deletion, `old` on creation."""

    __slots__ = ("_removed", "json", "new", "old", "revision")

    def __init__(self, revision: int, new: Entry | None, old: Entry | None) -> None:
        self.revision = revision
        self.new = new
        self.old = old
        self._removed: Entry | None = None
        self.json: dict[str, bytes] = {}
        """Encoded events by type, while they are being handed out."""

    def removed(self) -> Entry:
        """The last state, bearing the revision at which it went (deleted, or left a selection)."""
        if self._removed is None:
            if self.old is None:
                raise AssertionError("an object that was created cannot have gone")
            self._removed = self.old.at(self.revision)
        return self._removed


class Ring:
    """Events after `floor`: everything that happened to the kind since then."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        """The newest revision whose events are not here: a watch from it, or later, can be served."""
        self._events: deque[tuple[float, Event]] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: Event, now: float) -> None:
        """`now` is monotonic seconds."""
        events = self._events
        events.append((now, event))
        while len(events) > MAX_EVENTS or (len(events) > KEPT_ANYWAY and events[0][0] < now - MAX_AGE_S):
            self.floor = events.popleft()[1].revision

    def after(self, revision: int) -> Iterator[Event]:
        """Events of later revisions, in order; `revision` must not be below `floor`."""
        newer: list[Event] = []
        for _, event in reversed(self._events):
            if event.revision <= revision:
                break
            newer.append(event)
        return reversed(newer)
