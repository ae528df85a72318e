"""Every node as a row, every fact about nodes as a numpy column.

The table is the scheduler's whole picture of the cluster. Informer events and assumed pods change single rows in
place; a filter or score reads whole columns. Rows are reused through a free list and columns grow by doubling, so row
numbers stay put for as long as a node exists.

Readers that keep results per row (`cycle.Evaluation`) ask `changes_since` which rows moved, and redo only those.

One loop owns the table; nothing here waits, locks or reads a clock.
Source: pkg/scheduler/backend/cache, pkg/scheduler/framework/types.go (NodeInfo).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.facts import amounts
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.scheduler.columns import ABSENT, Bools, Ints, LabelColumn, LabelColumns, grown
from tiphys.scheduler.counts import Countable, Domains, GroupCounts, TermIndex
from tiphys.scheduler.devices.index import DeviceIndex
from tiphys.scheduler.holdings import Holdings
from tiphys.scheduler.images import Images
from tiphys.scheduler.nodechange import NodeChange, difference
from tiphys.scheduler.nominations import Nominations
from tiphys.scheduler.pods import PodRecord, Shapes
from tiphys.scheduler.resources import CPU, MEMORY, NATIVE, PODS, is_scalar
from tiphys.scheduler.taints import TaintSets
from tiphys.scheduler.terms import Namespaces
from tiphys.scheduler.volumes.index import VolumeIndex

_CHANGES_MAX = 1 << 16
_SPREADS_MAX = 256


class Spread(NamedTuple):
    """How the nodes lie in the domains of one label."""

    version: tuple[int, int]
    used: Bools
    """bool[texts]: some node has this value."""
    domains: int
    everywhere: bool
    """Every node has the label."""


class NodeTable:
    """Node state in columns; row i of each column is node `names[i]`. Arrays are replaced when the table grows: take
    them from the table at each use and never keep them."""

    def __init__(self, capacity: int = 64) -> None:
        self.capacity = capacity
        self.count = 0
        """Nodes in the table."""
        self.epoch = 0
        """Changes when a node comes or goes."""
        self.high = 0
        """Rows in use are below this."""
        self.names: list[str] = []
        self.rows: dict[str, int] = {}
        self.nodes: list[Node | None] = []
        self._free: list[int] = []

        self.resources: dict[str, int] = {name: i for i, name in enumerate(NATIVE)}
        """Resource name to the row of `allocatable` and `requested`."""
        self.live: Bools = np.zeros(capacity, dtype=np.bool_)
        self.unschedulable: Bools = np.zeros(capacity, dtype=np.bool_)
        self.allocatable: Ints = np.zeros((len(NATIVE), capacity), dtype=np.int64)
        self.requested: Ints = np.zeros((len(NATIVE), capacity), dtype=np.int64)
        self.scored: Ints = np.zeros((2, capacity), dtype=np.int64)
        """Requested cpu and memory with what pods leave unstated filled in."""
        self.pods_allowed: Ints = np.zeros(capacity, dtype=np.int64)
        self.pod_count: Ints = np.zeros(capacity, dtype=np.int64)
        self.taints = TaintSets(capacity)
        self.held = Holdings()
        self.volumes = VolumeIndex()
        self.devices = DeviceIndex()
        self.namespaces = Namespaces()
        self.terms = TermIndex(self.namespaces)
        self.images = Images()
        self.nominations = Nominations()
        self.shapes = Shapes()
        self.pods: dict[str, PodRecord] = {}
        """Pods that are bound or assumed, by UID."""
        self.assumed: set[str] = set()
        self._on_node: dict[str, dict[str, PodRecord]] = {}
        self._in_namespace: dict[str, dict[str, PodRecord]] = {}
        self._spreads: dict[str, Spread] = {}
        self._labels = LabelColumns(self._labels_by_row)
        self._counts = GroupCounts(self._pods_by_row, self.namespaces)
        self._changes: list[int] = []
        self._changes_start = 0

    # Reading

    def label(self, key: str) -> LabelColumn:
        """The column of one label key, made at first use."""
        return self._labels.get(key, self.capacity)

    def spread_of(self, key: str) -> Spread:
        """Which values of the label `key` there are, and whether every node has one."""
        column = self.label(key)
        known = self._spreads.get(key)
        if known is None or known.version != (column.version, self.epoch):
            if len(self._spreads) >= _SPREADS_MAX:
                self._spreads.clear()
            used = column.used()
            everywhere = not (self.live & (column.ids == ABSENT)).any()
            known = self._spreads[key] = Spread((column.version, self.epoch), used, int(used.sum()), everywhere)
        return known

    def labels_of(self, row: int) -> dict[str, str]:
        node = self.nodes[row]
        return {} if node is None else node.metadata.labels

    def count_of(self, group: Countable) -> Ints:
        """Pods of `group` on each row."""
        return self._counts.get(group, self.capacity).rows

    def domains_of(self, group: Countable, key: str) -> Domains:
        """Pods of `group` by value of the label `key`."""
        return self._counts.get(group, self.capacity).domains(key, self.label)

    def namespace_changed(self, name: str, labels: dict[str, str] | None) -> bool:
        """A namespace came, changed its labels, or went (None)."""
        return self.namespaces.set(name, labels)

    def nominate(self, pod: PodRecord, node: str) -> None:
        """Keep room on `node` for a pod that waits; an empty name gives the room back."""
        for name in self.nominations.set(pod, node):
            row = self.rows.get(name)
            if row is not None:
                self._changed(row)

    def pods_on(self, name: str) -> Iterable[PodRecord]:
        return self._on_node.get(name, {}).values()

    @property
    def position(self) -> int:
        """Where the log of changes ends; hand it to `changes_since` later."""
        return self._changes_start + len(self._changes)

    def changes_since(self, position: int) -> list[int] | None:
        """Rows that changed since (may repeat); None when that is too long ago to say."""
        index = position - self._changes_start
        return self._changes[index:] if index >= 0 else None

    # Nodes

    def set_node(self, node: Node) -> NodeChange:
        """Take in a node's current state; says what changed. Heartbeats change nothing."""
        name = node.metadata.name
        row = self.rows.get(name)
        if row is None:
            row = self._new_row(name)
            self.nodes[row] = node
            self._write_node(row, node)
            for pod in self.pods_on(name):
                self._account(pod, row, 1)
            self._changed(row)
            return NodeChange.ADDED
        old = self.nodes[row]
        self.nodes[row] = node
        change = difference(old, node) if old is not None else NodeChange.ADDED
        if change:
            self._write_node(row, node)
            self._changed(row)
        return change

    def remove_node(self, name: str) -> None:
        """Forget a node. Its pods are remembered, in case the node comes back."""
        row = self.rows.pop(name, None)
        if row is None:
            return
        for pod in self.pods_on(name):
            self.held.add(pod, row, -1)
        for column in (self.live, self.unschedulable, self.pods_allowed, self.pod_count):
            column[row] = 0
        self.taints.set_node(row, None)
        self.allocatable[:, row] = 0
        self.requested[:, row] = 0
        self.scored[:, row] = 0
        self._labels.clear_row(row)
        self._counts.clear_row(row)
        self.terms.clear_row(row)
        self.images.set_node(row, ())
        self.names[row] = ""
        self.nodes[row] = None
        self._free.append(row)
        self.count -= 1
        self.epoch += 1
        self._changed(row)

    # Pods

    def record(self, pod: Pod, node: str | None = None) -> PodRecord:
        return self.shapes.record(pod, node)

    def set_pod(self, pod: PodRecord) -> bool:
        """Account for a bound pod, or confirm an assumed one. Says whether the picture changed."""
        old = self.pods.get(pod.uid)
        if old is not None:
            self.assumed.discard(pod.uid)
            if (
                old.node == pod.node
                and old.shape is pod.shape
                and old.terminating == pod.terminating
                and old.labels == pod.labels
            ):
                return False
            self._drop(old)
        self._put(pod)
        return True

    def assume(self, pod: PodRecord) -> None:
        """Account for a pod whose binding is under way: `pod.node` was decided but is not yet in the API."""
        self._put(pod)
        self.assumed.add(pod.uid)

    def forget(self, uid: str) -> None:
        """Undo `assume`, unless the pod was seen bound meanwhile."""
        if uid in self.assumed:
            self.remove_pod(uid)

    def remove_pod(self, uid: str) -> PodRecord | None:
        """A pod is gone or finished; returns what was known of it."""
        pod = self.pods.get(uid)
        if pod is not None:
            self.assumed.discard(uid)
            self._drop(pod)
        return pod

    def suppose(self, pod: PodRecord, row: int, sign: int) -> None:
        """As if `pod` came to the node of `row` (`sign` 1) or left it (-1). The caller undoes it before it returns to
        the loop; readers of `changes_since` are not told."""
        self._account(pod, row, sign)

    @contextlib.contextmanager
    def with_more(self, pods: Sequence[PodRecord], row: int) -> Iterator[None]:
        """As if `pods` were on the node of `row` as well."""
        for pod in pods:
            self._account(pod, row, 1)
        try:
            yield
        finally:
            for pod in pods:
                self._account(pod, row, -1)

    # Inside

    def _put(self, pod: PodRecord) -> None:
        self.pods[pod.uid] = pod
        self._on_node.setdefault(pod.node, {})[pod.uid] = pod
        self._in_namespace.setdefault(pod.namespace, {})[pod.uid] = pod
        row = self.rows.get(pod.node)
        if row is not None:
            self._account(pod, row, 1)
            self._changed(row)

    def _drop(self, pod: PodRecord) -> None:
        del self.pods[pod.uid]
        for index, key in ((self._on_node, pod.node), (self._in_namespace, pod.namespace)):
            neighbours = index[key]
            del neighbours[pod.uid]
            if not neighbours:
                del index[key]
        row = self.rows.get(pod.node)
        if row is not None:
            self._account(pod, row, -1)
            self._changed(row)

    def _account(self, pod: PodRecord, row: int, sign: int) -> None:
        shape = pod.shape
        for name, quantity in shape.requests.items():
            resource = self.resources.get(name)
            if resource is None:
                resource = self._new_resource(name)
            self.requested[resource, row] += sign * quantity
        scored = shape.scored
        self.scored[0, row] += sign * scored.get(CPU, 0)
        self.scored[1, row] += sign * scored.get(MEMORY, 0)
        self.pod_count[row] += sign
        self.held.add(pod, row, sign)
        self._counts.add(pod, row, sign)
        self.terms.add(pod, row, sign)

    def _write_node(self, row: int, node: Node) -> None:
        self.live[row] = True
        self.unschedulable[row] = node.spec.unschedulable
        allocatable = amounts(node.status.allocatable)
        self.pods_allowed[row] = allocatable.pop(PODS, 0)
        self.allocatable[:, row] = 0
        for name, quantity in allocatable.items():
            resource = self.resources.get(name)
            if resource is None:
                if not is_scalar(name):
                    continue
                resource = self._new_resource(name)
            self.allocatable[resource, row] = quantity
        self.taints.set_node(row, node)
        self._labels.set_row(row, node.metadata.labels)
        self.images.set_node(row, node.status.images)

    def _new_row(self, name: str) -> int:
        if self._free:
            row = self._free.pop()
            self.names[row] = name
        else:
            row = self.high
            if row == self.capacity:
                self._grow()
            self.high += 1
            self.names.append(name)
            self.nodes.append(None)
        self.rows[name] = row
        self.count += 1
        self.epoch += 1
        return row

    def _grow(self) -> None:
        self.capacity *= 2
        self.live = grown(self.live, self.capacity)
        self.unschedulable = grown(self.unschedulable, self.capacity)
        self.allocatable = grown(self.allocatable, self.capacity)
        self.requested = grown(self.requested, self.capacity)
        self.scored = grown(self.scored, self.capacity)
        self.pods_allowed = grown(self.pods_allowed, self.capacity)
        self.pod_count = grown(self.pod_count, self.capacity)
        self.taints.grow(self.capacity)
        self._labels.grow(self.capacity)
        self._counts.grow(self.capacity)

    def _new_resource(self, name: str) -> int:
        resource = self.resources[name] = len(self.resources)
        empty = np.zeros((1, self.capacity), dtype=np.int64)
        self.allocatable = np.concatenate((self.allocatable, empty))
        self.requested = np.concatenate((self.requested, empty))
        return resource

    def _changed(self, row: int) -> None:
        if len(self._changes) >= _CHANGES_MAX:
            self._changes_start += len(self._changes)
            self._changes.clear()
        self._changes.append(row)

    def _labels_by_row(self) -> Iterator[tuple[int, dict[str, str]]]:
        for row, node in enumerate(self.nodes):
            if node is not None:
                yield row, node.metadata.labels

    def _pods_by_row(self, namespaces: frozenset[str] | None) -> Iterator[tuple[PodRecord, int]]:
        for namespace in self._in_namespace if namespaces is None else namespaces:
            for pod in self._in_namespace.get(namespace, {}).values():
                row = self.rows.get(pod.node)
                if row is not None:
                    yield pod, row
