"""Reading one's own writes: a key is not planned again until the cache shows what its last plan did.

Every write names what the cache must show: the object at that revision or a later one, or its deletion. A plan made on
an older picture would do the same again: create a pod twice, hand out an address twice. Upstream counts (expectations)
or compares revisions (consistency store); this is the second, for all controllers alike.
Source: pkg/controller/controller_utils.go (ControllerExpectations), pkg/util/consistency.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.base.clock import Clock
from tiphys.client.interface import EventType, Informer

GONE_MAX = 8192
"""How many deletions are remembered, for writes whose answer arrives after the object is gone again."""


@dataclass(frozen=True, slots=True)
class _Expected:
    revision: int
    """What the cache must reach; GOING: the object must be gone or going."""
    until_s: float


GOING = -1


class Expectations:
    """What each key of one controller still waits to see."""

    def __init__(self, informers: Mapping[Kind[Any], Informer[Any]], clock: Clock, timeout_s: float) -> None:
        self._informers, self._clock, self._timeout_s = informers, clock, timeout_s
        self._by_uid: dict[str, dict[Hashable, _Expected]] = {}
        self._by_key: dict[Hashable, set[str]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def wrote(self, key: Hashable, kind: Kind[Any], obj: Resource) -> None:
        """`key`'s plan wrote `obj`, which is the API's answer."""
        informer = self._informers.get(kind)
        uid = obj.metadata.uid
        if informer is None or not uid or uid in self._gone:
            return
        revision = _revision(obj)
        seen = informer.get(obj.metadata.name, obj.metadata.namespace)
        if seen is None or seen.metadata.uid != uid or _revision(seen) < revision:
            self._expect(key, uid, revision)

    def deleted(self, key: Hashable, kind: Kind[Any], name: str, namespace: str, uid: str) -> None:
        """`key`'s plan deleted this object."""
        informer = self._informers.get(kind)
        if informer is None:
            return
        seen = informer.get(name, namespace)
        if seen is not None and seen.metadata.uid == uid and seen.metadata.deletion_timestamp is None:
            self._expect(key, uid, GOING)

    @property
    def any(self) -> bool:
        """Whether anything is waited for: until then, `observed` needs to hear of deletions alone."""
        return bool(self._by_uid)

    def observed(self, change: EventType, obj: Resource) -> list[Hashable]:
        """The cache shows this; returns the keys that wait for nothing any more because of it."""
        uid = obj.metadata.uid
        if change == "DELETED":
            self._gone[uid] = None
            if len(self._gone) > GONE_MAX:
                self._gone.popitem(last=False)
        waiting = self._by_uid.get(uid)
        if waiting is None:
            return []
        going = change == "DELETED" or obj.metadata.deletion_timestamp is not None
        revision = _revision(obj)
        met = [key for key, wanted in waiting.items() if going or GOING < wanted.revision <= revision]
        return [key for key in met if self._met(key, uid)]

    def waits(self, key: Hashable) -> bool:
        """Whether `key` still waits. Gives up on what did not show in time."""
        now_s = self._clock.monotonic()
        for uid in tuple(self._by_key.get(key, ())):
            if self._by_uid[uid][key].until_s <= now_s:
                self._met(key, uid)
        return key in self._by_key

    def waits_at_all(self) -> bool:
        """Whether any key does."""
        return sum(self.waits(key) for key in tuple(self._by_key)) > 0

    def _expect(self, key: Hashable, uid: str, revision: int) -> None:
        self._by_uid.setdefault(uid, {})[key] = _Expected(revision, self._clock.monotonic() + self._timeout_s)
        self._by_key.setdefault(key, set()).add(uid)

    def _met(self, key: Hashable, uid: str) -> bool:
        """Strikes one expectation; whether it was the key's last."""
        waiting = self._by_uid[uid]
        del waiting[key]
        if not waiting:
            del self._by_uid[uid]
        uids = self._by_key[key]
        uids.discard(uid)
        if uids:
            return False
        del self._by_key[key]
        return True


def _revision(obj: Resource) -> int:
    """Revisions of one cluster can be compared as numbers (KEP-5504)."""
    text = obj.metadata.resource_version
    return int(text) if text.isdigit() else 0
