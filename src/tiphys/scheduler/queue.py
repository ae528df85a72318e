"""Which pod is next, and which pods rest until when.

    add ──────────► active ──pop──► (a decision) ──► bound
     │                ▲  ▲               │ park: no node fits
     │ gates          │  └─ due ─ backoff ◄── wake ── waiting
     ▼                │                  │ fail: an error
    gated ── update ──┘ due ── failing ◄─┘

*active*: highest priority first, then longest in the queue. *waiting*: nothing fits; only a change that a refusing
plugin asked for (`Change`, hints) gets it out, or `waiting_max_s`. *backoff*: woken, but resting 1, 2, 4 .. 10 s since
its last failure; when nothing is active it is taken early, an idle scheduler may as well try. *failing*: the same
after an error, and never taken early. *gated*: has scheduling gates, or its group is not complete. A pod that is
`held` (its victims are being told to leave) stays where it is until `let_go`.

Times are the injected clock's, monotonic seconds. Nothing waits here.
Limits: `capacity` pods; `add` refuses more and sets `overflowed`.
Source: pkg/scheduler/backend/queue.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.scheduler.events import Change, Hint
from tiphys.scheduler.pods import PodRecord

if TYPE_CHECKING:
    from tiphys.scheduler.plugin import PluginSpec


class Place(IntEnum):
    ACTIVE = 0
    BACKOFF = 1
    FAILING = 2
    WAITING = 3
    GATED = 4
    OUT = 5
    """Popped, or gone."""


class QueuedPod(msgspec.Struct, eq=False):
    """A pod in the queue and its history there."""

    pod: Pod
    record: PodRecord
    since_s: float
    """When it last entered the queue."""
    place: Place = Place.OUT
    entry: int = 0
    """The number of its current heap entry; older entries are dead."""
    refusals: int = 0
    errors: int = 0
    """Since the last decision that was no error."""
    rest_until_s: float = 0.0
    plugins: frozenset[str] = frozenset()
    """Who refused it last; empty: anything may help."""
    came_s: float = 0.0
    """When it first entered the queue."""
    attempts: int = 0
    """Decisions taken about it."""
    held: bool = False
    """Not to be tried now, whatever happens."""
    woken: bool = False
    """Something happened that may help, while it was held."""

    @property
    def wanted_by(self) -> Iterator[tuple[str, str]]:
        """(profile, plugin) of those that refused it."""
        profile = self.record.profile
        for name in self.plugins or ("",):
            yield profile, name


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    active: int
    backoff: int
    failing: int
    waiting: int
    gated: int


@dataclass(slots=True)
class _Heap:
    """A heap whose entries die when their pod moves; rebuilt when most are dead."""

    entries: list[tuple[float, float, int, QueuedPod]] = field(default_factory=list)
    alive: int = 0

    def push(self, first: float, second: float, entry: int, item: QueuedPod) -> None:
        heapq.heappush(self.entries, (first, second, entry, item))
        self.alive += 1
        if len(self.entries) > 2 * self.alive + 64:
            self.entries = [e for e in self.entries if e[3].entry == e[2]]
            heapq.heapify(self.entries)

    def peek(self) -> tuple[float, float, int, QueuedPod] | None:
        while self.entries and self.entries[0][3].entry != self.entries[0][2]:
            heapq.heappop(self.entries)
        return self.entries[0] if self.entries else None


class SchedulingQueue:
    def __init__(
        self,
        clock: Clock,
        profiles: Mapping[str, Sequence[PluginSpec]],
        *,
        gated: Callable[[PodRecord], bool] | None = None,
        backoff: Backoff | None = None,
        waiting_max_s: float = 300.0,
        capacity: int = 500_000,
    ) -> None:
        self._clock = clock
        self._backoff = backoff or Backoff(first_s=1.0, cap_s=10.0)
        self._waiting_max_s = waiting_max_s
        self._capacity = capacity
        self.overflowed = False
        """A pod was refused for want of room: look for it again when there is some."""
        self._wakes = {
            (profile, plugin.name): dict(plugin.wakes or {}) for profile, specs in profiles.items() for plugin in specs
        }
        """(profile, plugin) to the changes it waits for. One that is not here waits for anything."""
        self._is_gated = gated or (lambda record: bool(record.pod.spec.scheduling_gates))
        self._pods: dict[str, QueuedPod] = {}
        self._active, self._resting, self._failing = _Heap(), _Heap(), _Heap()
        self._heaps = {Place.ACTIVE: self._active, Place.BACKOFF: self._resting, Place.FAILING: self._failing}
        self._waiting: dict[str, QueuedPod] = {}
        """In the order in which they began to wait."""
        self._waiting_by_plugin: dict[tuple[str, str], dict[str, QueuedPod]] = {}
        self._gated = 0
        self._entries = 0

    def __len__(self) -> int:
        return len(self._pods)

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def __iter__(self) -> Iterator[QueuedPod]:
        return iter(self._pods.values())

    @property
    def waits(self) -> bool:
        """Whether there is any pod that a change could wake."""
        return bool(self._waiting)

    @property
    def statistics(self) -> QueueStatistics:
        return QueueStatistics(
            self._active.alive, self._resting.alive, self._failing.alive, len(self._waiting), self._gated
        )

    # Pods come, change and go

    def add(self, pod: Pod, record: PodRecord) -> bool:
        """A pod that needs a node. False when there is no room."""
        if len(self._pods) >= self._capacity:
            self.overflowed = True
            return False
        now_s = self._clock.monotonic()
        item = QueuedPod(pod, record, now_s, came_s=now_s)
        self._pods[record.uid] = item
        self._move(item, Place.GATED if self._is_gated(record) else Place.ACTIVE)
        return True

    def update(self, pod: Pod, record: PodRecord) -> None:
        """The pod itself changed in what placement depends on: worth another try."""
        item = self._pods[record.uid]
        item.pod = pod
        priority_changed = record.priority != item.record.priority
        if item.place is Place.WAITING:  # it is filed under what its record says
            self._leave(item)
        item.record = record
        if item.held and item.place is Place.OUT:
            item.woken = True
            self._move(item, Place.WAITING)
        elif self._is_gated(record):
            self._move(item, Place.GATED)
        elif item.place in (Place.OUT, Place.GATED):
            self._release(item)
        elif item.place is Place.ACTIVE and priority_changed:
            self._move(item, Place.ACTIVE)

    def refresh(self, pod: Pod) -> None:
        """The pod's status changed: keep the newer object, and its place."""
        item = self._pods.get(pod.metadata.uid)
        if item is not None:
            item.pod = item.record.pod = pod

    def recheck(self, items: Iterable[QueuedPod]) -> None:
        """Whether `items` are gated may have changed."""
        for item in items:
            gated = self._is_gated(item.record)
            if gated and item.place is not Place.OUT:
                self._move(item, Place.GATED)
            elif not gated and item.place is Place.GATED:
                self._release(item)

    def get(self, uid: str) -> QueuedPod | None:
        return self._pods.get(uid)

    def remove(self, uid: str) -> None:
        item = self._pods.pop(uid, None)
        if item is not None:
            self._leave(item)

    # Decisions

    def pop(self) -> QueuedPod | None:
        """The next pod to place; it leaves the queue. None when all rest."""
        head = self._active.peek() or self._resting.peek()
        if head is None:
            return None
        item = head[3]
        self.take(item)
        return item

    def take(self, item: QueuedPod) -> None:
        """`item` leaves the queue, wherever it is in it: a decision about it is to be taken."""
        self._leave(item)
        del self._pods[item.record.uid]
        item.attempts += 1

    def park(self, item: QueuedPod, plugins: frozenset[str], *, hold: bool = False) -> None:
        """No node fits `item`, by the word of `plugins`. With `hold`, it stays until `let_go`."""
        item.held, item.woken = hold, False
        item.refusals += 1
        item.errors = 0
        item.plugins = plugins
        self._rest(item, item.refusals)
        self._pods[item.record.uid] = item
        self._move(item, Place.WAITING)

    def fail(self, item: QueuedPod) -> None:
        """An error, not a refusal, kept `item` from its node: try again after a rest."""
        item.errors += 1
        self._rest(item, item.errors)
        self._pods[item.record.uid] = item
        self._move(item, Place.FAILING)

    def let_go(self, uid: str, *, now: bool = False) -> None:
        """`uid` need not be held any longer; it is tried again if something happened meanwhile, or at once."""
        item = self._pods.get(uid)
        if item is None or not item.held:
            return
        item.held = False
        if item.place is Place.WAITING and (item.woken or now):
            self._release(item)

    def activate(self, uid: str) -> None:
        """A pod that waits or rests is to be tried at once."""
        item = self._pods.get(uid)
        if item is not None and item.place in (Place.WAITING, Place.BACKOFF) and not item.held:
            self._move(item, Place.ACTIVE)

    # Time and change

    def wake(self, change: Change) -> int:
        """Let out the waiting pods that `change` may help; says how many."""
        if not self._waiting:
            return 0
        helped: dict[str, QueuedPod] = {}
        for key, items in self._waiting_by_plugin.items():
            hints = self._wakes.get(key)
            if hints is None:  # nobody's plugin: anything may help
                helped |= items
            elif change.wake in hints:
                helped |= _helped(items, hints[change.wake], change, helped)
        for item in helped.values():
            self._release(item)
        return len(helped)

    def tick(self) -> int:
        """Move what has rested or waited long enough; says how many became active."""
        now_s = self._clock.monotonic()
        before = self._active.alive
        for heap in (self._resting, self._failing):
            while (head := heap.peek()) is not None and head[0] <= now_s:
                self._move(head[3], Place.ACTIVE)
        for item in list(self._overdue(now_s)):
            self._release(item)
        return self._active.alive - before

    def next_due_s(self) -> float | None:
        """When `tick` should be called next (monotonic); None while nothing rests or waits."""
        due = [head[0] for heap in (self._resting, self._failing) if (head := heap.peek()) is not None]
        for item in self._waiting.values():
            due.append(item.since_s + self._waiting_max_s)
            break
        return min(due, default=None)

    # Inside

    def _overdue(self, now_s: float) -> Iterator[QueuedPod]:
        for item in self._waiting.values():
            if item.since_s + self._waiting_max_s > now_s:
                return
            yield item

    def _rest(self, item: QueuedPod, failures: int) -> None:
        item.since_s = self._clock.monotonic()
        item.rest_until_s = item.since_s + self._backoff.delay_s(failures)

    def _release(self, item: QueuedPod) -> None:
        if item.held:
            item.woken = True
            return
        resting = item.rest_until_s > self._clock.monotonic()
        self._move(item, Place.BACKOFF if resting else Place.ACTIVE)

    def _leave(self, item: QueuedPod) -> None:
        uid = item.record.uid
        if item.place in self._heaps:
            self._heaps[item.place].alive -= 1
        elif item.place is Place.WAITING:
            del self._waiting[uid]
            for key in item.wanted_by:
                items = self._waiting_by_plugin[key]
                del items[uid]
                if not items:
                    del self._waiting_by_plugin[key]
        elif item.place is Place.GATED:
            self._gated -= 1
        item.entry = 0
        item.place = Place.OUT

    def _move(self, item: QueuedPod, place: Place) -> None:
        self._leave(item)
        item.place = place
        if place is Place.WAITING:
            self._waiting[item.record.uid] = item
            for key in item.wanted_by:
                self._waiting_by_plugin.setdefault(key, {})[item.record.uid] = item
        elif place is Place.GATED:
            self._gated += 1
        else:
            self._entries += 1
            item.entry = self._entries
            first = -float(item.record.priority) if place is Place.ACTIVE else item.rest_until_s
            second = item.since_s if place is Place.ACTIVE else -float(item.record.priority)
            self._heaps[place].push(first, second, item.entry, item)


def _helped(
    items: Mapping[str, QueuedPod], hint: Hint | None, change: Change, already: Mapping[str, QueuedPod]
) -> dict[str, QueuedPod]:
    """Those of `items` that `hint` lets out; without a hint, all. Pods of one shape are asked about once."""
    if hint is None:
        return dict(items)
    found: dict[str, QueuedPod] = {}
    answers: dict[int, bool] = {}
    for uid, item in items.items():
        if uid in already:
            continue
        shape = item.record.shape
        answer = answers.get(id(shape))
        if answer is None:
            answer = hint(item.record, change)
            if not (shape.spread or shape.terms or item.record.claims or item.record.gang):
                answers[id(shape)] = answer  # nothing else was looked at
        if answer:
            found[uid] = item
    return found
