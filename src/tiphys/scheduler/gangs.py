"""Pod groups: pods that are placed together or not at all.

A pod of a group whose policy names a minimum waits until so many pods of the group are there; then all that wait are
decided for in one go, and unless enough of them find a node, none gets one (`engine.Engine`).

Source: pkg/scheduler/framework/plugins/gangscheduling, schedule_one_podgroup.go (KEP-4671, alpha).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tiphys.scheduler.pods import PodRecord

if TYPE_CHECKING:
    from tiphys.scheduler.queue import QueuedPod

_Key = tuple[str, str]


class Gangs:
    """The groups that are known, and the pods that name one, by namespace and name."""

    def __init__(self) -> None:
        self.known = False
        """Whether the API has PodGroups at all; without them, naming one has no effect."""
        self._minimum: dict[_Key, int] = {}
        self._waiting: dict[_Key, dict[str, QueuedPod]] = {}
        self._placed: dict[_Key, set[str]] = {}
        self._key_of: dict[str, _Key] = {}

    def set(self, namespace: str, name: str, minimum: int | None) -> None:
        """None: the group is gone."""
        if minimum is None:
            self._minimum.pop((namespace, name), None)
        else:
            self._minimum[(namespace, name)] = minimum

    def minimum(self, pod: PodRecord) -> int:
        """How many pods must be placed at once; 0 for any number."""
        return self._minimum.get((pod.namespace, pod.gang), 0)

    def waits(self, pod: PodRecord) -> bool:
        """Whether it is too early for this pod: its group is not there, or not complete."""
        if not self.known:
            return False
        key = (pod.namespace, pod.gang)
        minimum = self._minimum.get(key)
        if minimum is None:
            return True
        known = set(self._waiting.get(key, ())) | self._placed.get(key, set()) | {pod.uid}
        return len(known) < minimum

    def arrived(self, item: QueuedPod) -> bool:
        """A pod of a group is in the queue. Whether it is a new one."""
        key = (item.record.namespace, item.record.gang)
        members = self._waiting.setdefault(key, {})
        new = item.record.uid not in members
        members[item.record.uid] = item
        self._key_of[item.record.uid] = key
        return new

    def queued(self, namespace: str, name: str) -> Iterator[QueuedPod]:
        """The pods of a group that were seen waiting; some may have a node by now."""
        yield from self._waiting.get((namespace, name), {}).values()

    def placed_count(self, pod: PodRecord) -> int:
        return len(self._placed.get((pod.namespace, pod.gang), ()))

    def placed(self, pod: PodRecord) -> None:
        """It has a node, for good or as long as its binding is under way. It stays known to `displaced`."""
        key = (pod.namespace, pod.gang)
        self._key_of[pod.uid] = key
        self._placed.setdefault(key, set()).add(pod.uid)

    def displaced(self, uid: str) -> None:
        """Its binding failed: it waits again."""
        key = self._key_of.get(uid)
        if key is not None:
            self._placed.get(key, set()).discard(uid)

    def forget(self, uid: str) -> None:
        """It is gone."""
        key = self._key_of.pop(uid, None)
        if key is None:
            return
        for members in (self._waiting, self._placed):
            there = members.get(key)
            if there is None:
                continue
            if isinstance(there, dict):
                there.pop(uid, None)
            else:
                there.discard(uid)
            if not there:
                del members[key]
