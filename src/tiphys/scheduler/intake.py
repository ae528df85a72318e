"""What happened in the cluster, taken into the table, the queue and the groups.

A pod is in the queue, or in the table (bound, or assumed while its binding is under way), never in both; what changed
wakes the pods that it may help. Nothing is decided here.

Source: pkg/scheduler/eventhandlers.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod import facts
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.client.interface import EventType
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.gangs import Gangs
from tiphys.scheduler.nodechange import NodeChange
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.queue import SchedulingQueue
from tiphys.scheduler.table import NodeTable

_WAKES = (
    (NodeChange.ADDED, Wake.NODE_ADDED),
    (NodeChange.ALLOCATABLE, Wake.NODE_ALLOCATABLE),
    (NodeChange.LABELS, Wake.NODE_LABELS),
    (NodeChange.TAINTS, Wake.NODE_TAINTS),
    (NodeChange.FEATURES, Wake.NODE_FEATURES),
)


class Intake:
    """Changes `table`, `queue` and `gangs` by events; `profiles` are the names of those whose pods are taken in."""

    def __init__(self, table: NodeTable, queue: SchedulingQueue, gangs: Gangs, profiles: Collection[str]) -> None:
        self.table, self.queue, self.gangs = table, queue, gangs
        self._profiles = profiles

    def on_node(self, type_: EventType, old: Node | None, new: Node | None) -> None:
        if type_ == "DELETED":
            if old is not None:
                self.table.remove_node(old.metadata.name)
                self.queue.wake(Change(Wake.NODE_REMOVED, old_node=old))
            return
        if new is None:
            return
        changed = self.table.set_node(new)
        if changed and len(self.queue):
            for flag, wake in _WAKES:
                if flag in changed:
                    self.queue.wake(Change(wake, node=new, old_node=None if wake is Wake.NODE_ADDED else old))

    def on_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        """`labels` None: the namespace is gone."""
        if self.table.namespace_changed(name, labels) and len(self.queue):
            self.queue.wake(Change(Wake.NAMESPACE, key=name))

    def storage_or_devices_changed(self, change: Change) -> None:
        """A claim, a volume, a device or what decides about them changed; the index has the newest state already."""
        if len(self.queue):
            self.queue.wake(change)

    def on_group(self, namespace: str, name: str, minimum: int | None) -> None:
        """A PodGroup wants at least `minimum` of its pods placed together, 0 for none in particular; None: gone."""
        self.gangs.set(namespace, name, minimum)
        self._group_changed(namespace, name)

    def _group_changed(self, namespace: str, name: str) -> None:
        self.queue.recheck(list(self.gangs.queued(namespace, name)))
        self.queue.wake(Change(Wake.POD_GROUP, key=f"{namespace}/{name}"))

    def on_pod(self, type_: EventType, old: Pod | None, new: Pod | None) -> None:
        if old is not None and new is not None and old.metadata.uid != new.metadata.uid:
            self._gone(old.metadata.uid)  # deleted and made again under the same name
            old = None
        if type_ == "DELETED" or new is None:
            if old is not None:
                self._gone(old.metadata.uid)
        elif new.status.phase in ("Succeeded", "Failed"):  # takes no room any more
            self._gone(new.metadata.uid)
        elif new.spec.node_name:
            self._bound(old, new)
        else:
            self._pending(old, new)

    def _gated(self, record: PodRecord) -> bool:
        return bool(record.pod.spec.scheduling_gates) or (bool(record.gang) and self.gangs.waits(record))

    def _nominate(self, record: PodRecord, node: str) -> None:
        record.nominated = node
        self.table.nominate(record, node)

    def _gone(self, uid: str) -> None:
        self._leave_queue(uid)
        self.gangs.forget(uid)
        self.table.volumes.forget(uid)
        self.table.devices.forget(uid)
        record = self.table.remove_pod(uid)
        if record is not None:
            self.queue.wake(Change(Wake.POD_REMOVED, pod=record))

    def _leave_queue(self, uid: str) -> None:
        """Out of the queue, and no room is kept for it any longer."""
        item = self.queue.get(uid)
        if item is not None:
            self.queue.remove(uid)
            self.table.nominate(item.record, "")

    def _bound(self, old: Pod | None, new: Pod) -> None:
        uid = new.metadata.uid
        known = self.table.pods.get(uid)
        assumed = uid in self.table.assumed
        if known is not None and not assumed and old is not None and _alike(old, new) and not _resizes(old, new):
            known.pod = new
            return
        self._leave_queue(uid)
        if known is not None and known.node == new.spec.node_name and old is not None and _same_ask(old, new):
            record = known  # our own assumption come true: nothing to work out again
            record.pod = new
        else:
            record = self.table.record(new)
        if record.gang:
            self.gangs.placed(record)
        if record.claims:
            self.table.volumes.forget(uid)
        if record.devices:
            self.table.devices.forget(uid)
        changed = self.table.set_pod(record)
        if (changed or assumed) and self.queue.waits:
            wake = Wake.POD_CHANGED if known is not None and not assumed else Wake.POD_ADDED
            self.queue.wake(Change(wake, pod=record))

    def _pending(self, old: Pod | None, new: Pod) -> None:
        uid = new.metadata.uid
        if uid in self.table.assumed or new.spec.scheduler_name not in self._profiles:
            return
        if new.metadata.deletion_timestamp is not None:
            self._leave_queue(uid)
            self.gangs.forget(uid)
        elif uid not in self.queue:
            self._enqueue(new)
        elif old is None or not _alike(old, new):
            record = self.table.record(new)
            self.queue.update(new, record)
            self.table.nominate(record, record.nominated)
        else:
            self.queue.refresh(new)
            if old.status.nominated_node_name != new.status.nominated_node_name:
                self._nominated_elsewhere(new)

    def _nominated_elsewhere(self, pod: Pod) -> None:
        """The API says where room is kept; usually it repeats what was decided here."""
        item = self.queue.get(pod.metadata.uid)
        node = pod.status.nominated_node_name
        if item is not None and item.record.nominated != node:
            self._nominate(item.record, node)

    def _enqueue(self, pod: Pod) -> None:
        record = self.table.record(pod)
        if not self.queue.add(pod, record):
            return
        if record.nominated:
            self.table.nominate(record, record.nominated)
        if record.gang:
            item = self.queue.get(record.uid)
            if item is not None and self.gangs.arrived(item):
                self._group_changed(record.namespace, record.gang)

    def refill(self, pods: Iterable[Pod]) -> None:
        """After the queue overflowed: take in pending pods that it does not know."""
        self.queue.overflowed = False
        for pod in pods:
            if not pod.spec.node_name and not facts.is_terminal(pod):
                self._pending(None, pod)
            if self.queue.overflowed:
                return


def _resizes(old: Pod, new: Pod) -> bool:
    """What the containers really have, and so what the pod takes of its node, changed."""
    before, after = old.status.container_statuses, new.status.container_statuses
    if before is after or not after:
        return False
    return facts.resized(old) != facts.resized(new)


def _same_ask(old: Pod, new: Pod) -> bool:
    """Equal in all that a record holds, save the node."""
    return (
        old.metadata.labels == new.metadata.labels
        and (old.metadata.deletion_timestamp is None) == (new.metadata.deletion_timestamp is None)
        and old.spec.containers == new.spec.containers
        and old.spec.resources == new.spec.resources
    )


def _alike(old: Pod, new: Pod) -> bool:
    """Nothing changed but bookkeeping and such status as placement does not depend on."""
    return (
        old.metadata.labels == new.metadata.labels
        and old.status.resource_claim_statuses == new.status.resource_claim_statuses
        and (old.metadata.deletion_timestamp is None) == (new.metadata.deletion_timestamp is None)
        and old.spec == new.spec
    )
