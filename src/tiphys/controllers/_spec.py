"""What a controller says of itself: the value that each controller file ends with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from tiphys.api.kind import Kind
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.resource import Resource
from tiphys.client.interface import Client, Informer
from tiphys.controllers._actions import Action
from tiphys.controllers._measures import CounterOf, Declared, Measured, Turn
from tiphys.controllers.settings import ControllerSettings

R = TypeVar("R", bound=Resource)
W = TypeVar("W")


class Key(NamedTuple):
    """What most controllers look at: one object by name. A controller may use any hashable value instead."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Tally(NamedTuple):
    """How often something happened lately; see `Watch.tally`."""

    times: int = 0
    last: datetime | None = None


class Listers:
    """The only thing that `read` may look at: local copies, settings, and when something was last heard of."""

    def __init__(
        self,
        informers: Mapping[Kind[Any], Informer[Any]],
        settings: ControllerSettings,
        heard: Mapping[tuple[Kind[Any], str, str], datetime],
        started: datetime,
        tallies: Mapping[Hashable, Tally] = MappingProxyType({}),
        memory: Mapping[Hashable, Any] = MappingProxyType({}),
    ) -> None:
        self._informers, self._heard, self._tallies, self._memory = informers, heard, tallies, memory
        self.settings = settings
        self.started = started
        """When this controller had all its caches filled."""

    @property
    def custom(self) -> tuple[Kind[Any], ...]:
        """The custom kinds of the cluster, where the controller follows them (see `ControllerSpec.custom`)."""
        return tuple(kind for kind in self._informers if kind.custom is not None)

    def get(self, kind: Kind[R], name: str, namespace: str = "") -> R | None:
        return self._informers[kind].get(name, namespace)

    def list(self, kind: Kind[R], namespace: str = "") -> Iterable[R]:
        return self._informers[kind].list(namespace)

    def indexed(self, kind: Kind[R], index: str, value: str) -> Iterable[R]:
        return self._informers[kind].indexed(index, value)

    def count(self, kind: Kind[Any], index: str, value: str) -> int:
        """How many objects `indexed` would give; costs nothing."""
        return self._informers[kind].count(index, value)

    def everywhere(self, index: str, value: str) -> Iterable[tuple[Kind[Any], Resource]]:
        """What `indexed` gives, of all kinds there are: for a controller whose every kind has this index."""
        for kind, informer in self._informers.items():
            if informer.count(index, value):
                for obj in informer.indexed(index, value):
                    yield kind, obj

    def owned(self, kind: Kind[R], owner: Resource) -> Iterable[R]:
        """Objects whose controller is `owner`."""
        return self._informers[kind].indexed("owner", owner.metadata.uid)

    def heard(self, kind: Kind[Any], name: str, namespace: str = "") -> datetime:
        """When the stamp of a watch (see `Watch.stamp`) last changed here, or the object was deleted; by our own clock.
        What happened before this controller started counts as having happened at its start."""
        return self._heard.get((kind, namespace, name), self.started)

    def tally(self, what: Hashable) -> Tally:
        """How often a watch counted `what` (see `Watch.tally`), and when last, by our own clock."""
        return self._tallies.get(what, Tally())

    def remembered(self, key: Hashable) -> Any:
        """What the last plan of `key` asked to keep (`Remember`); None: nothing."""
        return self._memory.get(key)


def own_key(_listers: Listers, obj: Resource) -> Iterable[Key]:
    return (Key(obj.metadata.namespace, obj.metadata.name),)


def controller_key(kind: Kind[Any]) -> Callable[[Listers, Resource], Iterable[Key]]:
    """The key of the `kind` that controls the object, by its reference; none where another kind does, or none."""

    def keys(_listers: Listers, obj: Resource) -> Iterable[Key]:
        owner = controller_of(obj)
        if owner is not None and owner.kind == kind.kind and owner.api_version == kind.api_version:
            yield Key(obj.metadata.namespace if kind.namespaced else "", owner.name)

    return keys


@dataclass(frozen=True)
class Watch(Generic[R]):
    """Changes of a kind, and whom they wake. On an update, the keys of the old and of the new object are woken."""

    kind: Kind[R]
    keys: Callable[[Listers, R], Iterable[Any]] = own_key
    when: Callable[[R | None, R | None], bool] | None = None
    """Called with (old, new); False: the change does not matter. Only to save work: correctness is in `plan`."""
    stamp: Callable[[R], object] | None = None
    """A value of the object whose last change is remembered, for `Listers.heard`: a heartbeat is trusted by when we saw
    it change, not by the other machine's clock."""
    tally: Callable[[R | None, R | None], Hashable | None] | None = None
    """Called with (old, new); what it returns is counted, for `Listers.tally`: repeated failures, say. What did not
    happen again for half an hour is forgotten, and everything is when the process ends."""
    measure: Callable[[Listers, R | None, R | None], Iterable[Measured]] | None = None
    """Called with (old, new): what to count of the change itself, whoever made it; of the controller's `metrics`."""


@dataclass(frozen=True)
class Index(Generic[R]):
    """A way to find objects of a kind; `name` is unique per kind in the whole process."""

    kind: Kind[R]
    name: str
    values: Callable[[R], Iterable[str]]


class CustomPart(NamedTuple):
    """What a controller wants of a custom kind."""

    watch: Watch[Any]
    indexes: tuple[Index[Any], ...] = ()


@dataclass(frozen=True)
class ControllerSpec(Generic[W]):
    """A controller as a value. `_runtime` does the rest."""

    name: str
    """Upstream's name, which `--controllers` takes."""
    primary: Kind[Any] | None
    """The kind whose objects are the keys; changes of it wake their own key. None: see `watches`."""
    read: Callable[[Listers, Any, datetime], W | None]
    """All that `plan` needs, or None when there is nothing to do. Looks at nothing but its arguments."""
    plan: Callable[[Any, W], Sequence[Action]]
    """Pure: no I/O, no clock, no randomness; mutates nothing it was given."""
    observe: Callable[[Client, Any, W], Awaitable[W]] | None = None
    """Live looks at what no copy has (readings of metrics), after `read` and before `plan`. What cannot be read is part
    of the world, too: it raises nothing that `plan` should know of."""
    watches: tuple[Watch[Any], ...] = ()
    reads: tuple[Kind[Any], ...] = ()
    """Kinds that `read` looks at but that wake nobody."""
    indexes: tuple[Index[Any], ...] = ()
    custom: Callable[[Kind[Any]], CustomPart] | None = None
    """For whoever must see every kind: what is watched of a custom kind, which may come at any time."""
    alias: str = ""
    """The name upstream used before 1.28, still understood."""
    component: str = ""
    """Who its events are from; empty: `name`."""
    workers: int = 5
    serial: bool = False
    """One key at a time, and only when all earlier writes are seen: for whoever hands out something scarce."""
    resync_s: float = 0.0
    """Wake `resync_keys` this often; 0: never. For what no event tells."""
    resync_keys: tuple[Any, ...] = ()
    on_by_default: bool = True
    metrics: tuple[Declared, ...] = ()
    """What it shows at /metrics besides what all controllers show."""
    measure: Callable[[Turn[W]], Iterable[Measured]] | None = None
    """What to count of a plan that was carried out. Pure; of `metrics` only."""
    stale_skips: CounterOf | None = None
    """Counts looks that were put off until the copies show earlier writes."""
    kinds: frozenset[Kind[Any]] = field(init=False, default=frozenset())
    """All kinds it needs a copy of."""

    def __repr__(self) -> str:
        return f"<controller {self.name}>"

    def __post_init__(self) -> None:
        watched = [watch.kind for watch in self.watches]
        own = [] if self.primary is None else [self.primary]
        object.__setattr__(self, "kinds", frozenset((*own, *watched, *self.reads)))
        for index in self.indexes:
            if index.kind not in self.kinds:
                raise ValueError(f"{self.name}: index {index.name} is on {index.kind.plural}, which is not read")
        if self.primary is not None and self.primary not in watched:
            object.__setattr__(self, "watches", (Watch(self.primary), *self.watches))
