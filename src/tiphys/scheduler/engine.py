"""The scheduler without I/O: events go in, decisions come out.

Holds the table, the queue and the cycle, and keeps them consistent: a pod is in the queue, or in the table (bound, or
assumed while its binding is under way), or with the caller between `step` and `bound`/`failed`, never in two places.
Everything runs on one loop and returns at once. `scheduler.py` is the shell that talks to the API.

Source: pkg/scheduler/eventhandlers.go, schedule_one.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.client.interface import EventType
from tiphys.scheduler.cycle import Cycle, Decision, Pick
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.pods import Group, PodRecord
from tiphys.scheduler.profile import DEFAULT, checked
from tiphys.scheduler.queue import QueuedPod, SchedulingQueue
from tiphys.scheduler.settings import SchedulerSettings
from tiphys.scheduler.table import NodeChange, NodeTable

GroupOf = Callable[[PodRecord], Group | None]

_WAKES = (
    (NodeChange.ADDED, Wake.NODE_ADDED),
    (NodeChange.ALLOCATABLE, Wake.NODE_ALLOCATABLE),
    (NodeChange.LABELS, Wake.NODE_LABELS),
    (NodeChange.TAINTS, Wake.NODE_TAINTS),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One decision. With a node, the pod is assumed there, and the caller owes `bound` or `failed`."""

    item: QueuedPod
    decision: Decision


def finished(pod: Pod) -> bool:
    """Takes no room on its node any more."""
    return pod.status.phase in ("Succeeded", "Failed")


class Engine:
    def __init__(
        self,
        clock: Clock,
        settings: SchedulerSettings | None = None,
        *,
        plugins: Sequence[PluginSpec] = DEFAULT,
        group_of: GroupOf | None = None,
        pick: Pick | None = None,
    ) -> None:
        self._settings = settings = settings or SchedulerSettings()
        self._clock = clock
        plugins = checked(plugins)
        self.table = NodeTable()
        self.queue = SchedulingQueue(
            clock,
            plugins,
            backoff=Backoff(first_s=settings.backoff_first_s, cap_s=settings.backoff_cap_s),
            waiting_max_s=settings.waiting_max_s,
            capacity=settings.queue_max,
        )
        self._cycle = Cycle(self.table, plugins, pick)
        self._group_of: GroupOf = group_of or (lambda _pod: None)

    # Events

    def on_node(self, type_: EventType, old: Node | None, new: Node | None) -> None:
        if type_ == "DELETED":
            if old is not None:
                self.table.remove_node(old.metadata.name)
            return
        if new is None:
            return
        changed = self.table.set_node(new)
        if changed and len(self.queue):
            for flag, wake in _WAKES:
                if flag in changed:
                    self.queue.wake(Change(wake, node=new, old_node=None if wake is Wake.NODE_ADDED else old))

    def on_pod(self, type_: EventType, old: Pod | None, new: Pod | None) -> None:
        if old is not None and new is not None and old.metadata.uid != new.metadata.uid:
            self._gone(old.metadata.uid)  # deleted and made again under the same name
            old = None
        if type_ == "DELETED" or new is None:
            if old is not None:
                self._gone(old.metadata.uid)
        elif finished(new):
            self._gone(new.metadata.uid)
        elif new.spec.node_name:
            self._bound(old, new)
        else:
            self._pending(old, new)

    def _gone(self, uid: str) -> None:
        self.queue.remove(uid)
        record = self.table.remove_pod(uid)
        if record is not None:
            self.queue.wake(Change(Wake.POD_REMOVED, pod=record))

    def _bound(self, old: Pod | None, new: Pod) -> None:
        uid = new.metadata.uid
        known = self.table.pods.get(uid)
        assumed = uid in self.table.assumed
        if known is not None and not assumed and old is not None and _alike(old, new):
            return
        self.queue.remove(uid)
        if known is not None and known.node == new.spec.node_name and old is not None and _same_ask(old, new):
            record = known  # our own assumption come true: nothing to work out again
        else:
            record = self.table.record(new)
        changed = self.table.set_pod(record)
        if changed or assumed:
            wake = Wake.POD_CHANGED if known is not None and not assumed else Wake.POD_ADDED
            self.queue.wake(Change(wake, pod=record))

    def _pending(self, old: Pod | None, new: Pod) -> None:
        uid = new.metadata.uid
        if uid in self.table.assumed or new.spec.scheduler_name != self._settings.scheduler_name:
            return
        if new.metadata.deletion_timestamp is not None:
            self.queue.remove(uid)
        elif uid not in self.queue:
            self.queue.add(new, self.table.record(new))
        elif old is None or not _alike(old, new):
            self.queue.update(new, self.table.record(new))
        else:
            self.queue.refresh(new)

    def refill(self, pods: Iterable[Pod]) -> None:
        """After the queue overflowed: take in pending pods that it does not know."""
        self.queue.overflowed = False
        for pod in pods:
            if not pod.spec.node_name and not finished(pod):
                self._pending(None, pod)
            if self.queue.overflowed:
                return

    # Decisions

    def step(self) -> Outcome | None:
        """Decide for the next pod. None when there is none to decide for."""
        item = self.queue.pop()
        if item is None:
            return None
        record = item.record
        record.group = self._group_of(record)
        decision = self._cycle.decide(record)
        if decision.node:
            record.node = decision.node
            self.table.assume(record)
        else:
            self.queue.park(item, decision.diagnosis.plugins if decision.diagnosis else frozenset())
        return Outcome(item, decision)

    def failed(self, item: QueuedPod, newest: Pod | None) -> None:
        """The binding did not happen: free the node, and try again after a rest, with the `newest` state if known."""
        record = item.record
        if newest is not None and newest.metadata.uid == record.uid:
            item.pod = newest
        if record.uid not in self.table.assumed:
            return  # seen bound, or deleted, meanwhile
        self.table.forget(record.uid)
        self.queue.wake(Change(Wake.POD_REMOVED, pod=record))
        item.record = self.table.record(item.pod)
        self.queue.fail(item)

    def dropped(self, item: QueuedPod) -> None:
        """The pod is gone from the API: free the node and forget it."""
        self.table.forget(item.record.uid)


def _same_ask(old: Pod, new: Pod) -> bool:
    """Equal in all that a record holds, save the node."""
    return (
        old.metadata.labels == new.metadata.labels
        and (old.metadata.deletion_timestamp is None) == (new.metadata.deletion_timestamp is None)
        and old.spec.containers == new.spec.containers
        and old.spec.resources == new.spec.resources
    )


def _alike(old: Pod, new: Pod) -> bool:
    """Nothing changed but status and bookkeeping."""
    return (
        old.metadata.labels == new.metadata.labels
        and (old.metadata.deletion_timestamp is None) == (new.metadata.deletion_timestamp is None)
        and old.spec == new.spec
    )
