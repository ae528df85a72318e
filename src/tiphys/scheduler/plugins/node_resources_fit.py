"""NodeResourcesFit: what a pod requests must be free; by default, the emptier the node, the better.

The strategy of the score is an argument: LeastAllocated, MostAllocated or RequestedToCapacityRatio, over resources
with weights. Of cpu and memory, scoring assumes `UNSTATED` for containers that state nothing.

Source: pkg/scheduler/framework/plugins/noderesources/{fit,resource_allocation}.go.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.facts import amounts
from tiphys.scheduler.capacity import shares, weighted, weighted_of
from tiphys.scheduler.columns import Bools, Ints, Rows
from tiphys.scheduler.config.args import RATIO, NodeResourcesFitArgs
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.resources import CPU, MEMORY, PODS, is_extended, is_scalar
from tiphys.scheduler.table import NodeTable

TOO_MANY_PODS = "Too many pods"
INSUFFICIENT = "Insufficient {}"
_NATIVE_SCORED = {CPU: 0, MEMORY: 1}


def build(args: NodeResourcesFitArgs) -> PluginSpec:
    counts = _Requests(args)
    score = _Score(args)
    return PluginSpec(
        name="NodeResourcesFit",
        filter=counts.filter,
        filter_row=counts.filter_row,
        explain=counts.explain,
        resolvable=counts.resolvable,
        score=score.score,
        score_row=score.score_row,
        weight=1,
        wakes={
            Wake.NODE_ADDED: counts.large_enough,
            Wake.NODE_ALLOCATABLE: counts.large_enough,
            Wake.POD_REMOVED: None,
            Wake.POD_CHANGED: None,
        },
    )


class _Requests:
    """What must be free."""

    def __init__(self, args: NodeResourcesFitArgs) -> None:
        self._ignored = frozenset(args.ignored_resources)
        self._groups = frozenset(args.ignored_resource_groups)

    def _asked(self, pod: PodRecord) -> Mapping[str, int]:
        if not self._ignored and not self._groups:
            return pod.shape.requests
        return {name: quantity for name, quantity in pod.shape.requests.items() if not self._is_ignored(name)}

    def _is_ignored(self, name: str) -> bool:
        return is_extended(name) and (name in self._ignored or name.partition("/")[0] in self._groups)

    def filter(self, table: NodeTable, pod: PodRecord, rows: Rows) -> Bools:
        """bool[rows]: one more pod is allowed and every requested resource is free. O(rows) per resource."""
        fits: Bools = table.pod_count[rows] < table.pods_allowed[rows]
        for name, quantity in self._asked(pod).items():
            fits &= _lacking(table, name, quantity, rows) <= 0
        return fits

    def filter_row(self, table: NodeTable, pod: PodRecord, row: int) -> bool:
        if table.pod_count.item(row) >= table.pods_allowed.item(row):
            return False
        allocatable, requested = table.allocatable, table.requested
        for name, quantity in self._asked(pod).items():
            resource = table.resources.get(name)
            if resource is None or allocatable.item(resource, row) - requested.item(resource, row) < quantity:
                return False
        return True

    def explain(self, table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Mapping[str, int]:
        """Each lacking resource counts, so one node may appear under several reasons."""
        where = _seen(table, rows)
        reasons = {TOO_MANY_PODS: int(np.count_nonzero(table.pod_count[where] >= table.pods_allowed[where]))}
        for name, quantity in self._asked(pod).items():
            reasons[INSUFFICIENT.format(name)] = int(np.count_nonzero(_lacking(table, name, quantity, where) > 0))
        return reasons

    def resolvable(self, table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Bools:
        """Removing pods helps only where the node, empty, would be large enough."""
        large = np.ones(len(rows), dtype=np.bool_)
        where = _seen(table, rows)
        for name, quantity in self._asked(pod).items():
            resource = table.resources.get(name)
            large &= False if resource is None else table.allocatable[resource, where] >= quantity
        return large

    def large_enough(self, pod: PodRecord, change: Change) -> bool:
        """The node would hold the pod if it were empty, and grew in something that the pod wants."""
        if change.node is None:
            return False
        asked = self._asked(pod)
        capacity = amounts(change.node.status.allocatable)
        if not capacity.get(PODS) or any(capacity.get(n, 0) < q for n, q in asked.items()):
            return False
        return change.old_node is None or _grew(change.old_node, capacity, asked)


def _seen(table: NodeTable, rows: npt.NDArray[np.intp]) -> Rows:
    """`rows`, as a slice where they are all: a slice is read without copying."""
    return slice(0, table.high) if len(rows) == table.high and rows[0] == 0 and rows[-1] == table.high - 1 else rows


def _lacking(table: NodeTable, name: str, quantity: int, rows: Rows) -> Ints:
    """int64[rows]: by how much the node has too little; 0 and below where it has enough."""
    resource = table.resources.get(name)
    if resource is None:
        return np.full(len(table.live[rows]), quantity, dtype=np.int64)
    lacking: Ints = quantity - (table.allocatable[resource, rows] - table.requested[resource, rows])
    return lacking


def _grew(old: Node, capacity: Mapping[str, int], asked: Mapping[str, int]) -> bool:
    before = amounts(old.status.allocatable)
    return any(capacity.get(n, 0) > before.get(n, 0) for n in (PODS, *asked))


class _Score:
    """How good the room is that is left."""

    def __init__(self, args: NodeResourcesFitArgs) -> None:
        strategy = args.scoring_strategy
        shape = strategy.requested_to_capacity_ratio
        self._resources = [(r.name, r.weight) for r in strategy.resources]
        self._share, self._share_of = shares(strategy.type, shape.shape if shape is not None else ())
        self._ratio = strategy.type == RATIO

    def _counted(self, table: NodeTable, pod: PodRecord) -> list[tuple[int, int | None, int, int]]:
        """(resource, its row in `scored` if it has one, what the pod asks, weight); extended ones only when asked."""
        known = pod.shape.memo.get(self)
        if known is None or known[0] != len(table.resources):
            found = []
            for name, weight in self._resources:
                asked, resource = pod.shape.scored.get(name, 0), table.resources.get(name)
                if resource is not None and (asked or not is_scalar(name)):
                    found.append((resource, _NATIVE_SCORED.get(name), asked, weight))
            known = pod.shape.memo[self] = (len(table.resources), found)
        chosen: list[tuple[int, int | None, int, int]] = known[1]
        return chosen

    def score(self, table: NodeTable, pod: PodRecord, rows: Rows) -> Ints:
        """int64[rows] in 0..100. O(rows) per resource."""
        size = len(table.live[rows])
        capacities, used, weights = [], [], []
        for resource, native, asked, weight in self._counted(table, pod):
            capacities.append(table.allocatable[resource, rows])
            used.append((table.requested[resource, rows] if native is None else table.scored[native, rows]) + asked)
            weights.append(weight)
        if not capacities:
            return np.zeros(size, dtype=np.int64)
        capacity = np.array(capacities)
        scores = self._share(np.array(used), capacity)
        counted = capacity > 0
        if self._ratio:  # a resource that scores nothing is left out of the mean
            counted &= scores > 0
        return weighted(scores, counted, np.array(weights, dtype=np.int64), rounded=self._ratio)

    def score_row(self, table: NodeTable, pod: PodRecord, row: int) -> int:
        found: list[tuple[int, int]] = []
        for resource, native, asked, weight in self._counted(table, pod):
            capacity = table.allocatable.item(resource, row)
            if not capacity:
                continue
            used = table.requested.item(resource, row) if native is None else table.scored.item(native, row)
            score = self._share_of(used + asked, capacity)
            if score > 0 or not self._ratio:
                found.append((score, weight))
        return weighted_of(found, rounded=self._ratio)


SPEC = build(NodeResourcesFitArgs())
