"""NodeResourcesFit: what a pod requests must be free; the emptier the node, the better (LeastAllocated).

Cpu and memory count half each in the score, with `UNSTATED` filled in for containers that state nothing.
Source: pkg/scheduler/framework/plugins/noderesources/{fit,least_allocated,resource_allocation}.go.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tiphys.api.kinds.core.node import Node
from tiphys.scheduler.columns import Bools, Ints, Rows
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import SCORE_MAX, PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.requests import PODS, amounts
from tiphys.scheduler.table import NodeTable

TOO_MANY_PODS = "Too many pods"
INSUFFICIENT = "Insufficient {}"


def filter(table: NodeTable, pod: PodRecord, rows: Rows) -> Bools:  # noqa: A001 - the extension point's name
    """bool[rows]: one more pod is allowed and every requested resource is free. O(rows) per resource."""
    fits: Bools = table.pod_count[rows] < table.pods_allowed[rows]
    for name, quantity in pod.shape.requests.items():
        fits &= _free(table, name, rows) >= quantity
    return fits


def _free(table: NodeTable, name: str, rows: Rows) -> Ints:
    resource = table.resources.get(name)
    if resource is None:
        return np.zeros(len(table.live[rows]), dtype=np.int64)
    free: Ints = table.allocatable[resource, rows] - table.requested[resource, rows]
    return free


def explain(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Mapping[str, int]:
    """Each lacking resource counts, so one node may appear under several reasons."""
    reasons = {TOO_MANY_PODS: int(np.count_nonzero(table.pod_count[rows] >= table.pods_allowed[rows]))}
    for name, quantity in pod.shape.requests.items():
        reasons[INSUFFICIENT.format(name)] = int(np.count_nonzero(_free(table, name, rows) < quantity))
    return reasons


def resolvable(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Bools:
    """Removing pods helps only where the node, empty, would be large enough."""
    large = np.ones(len(rows), dtype=np.bool_)
    for name, quantity in pod.shape.requests.items():
        resource = table.resources.get(name)
        large &= False if resource is None else table.allocatable[resource, rows] >= quantity
    return large


def score(table: NodeTable, pod: PodRecord, rows: Rows) -> Ints:
    """int64[rows] in 0..100: mean share of cpu and memory that stays free; a resource the node lacks is left out."""
    asked = np.array([[pod.shape.cpu_scored], [pod.shape.memory_scored]], dtype=np.int64)
    capacity = table.allocatable[:2, rows]
    free = np.maximum(capacity - table.scored[:, rows] - asked, 0)
    shares: Ints = free * SCORE_MAX // np.maximum(capacity, 1)
    present = np.count_nonzero(capacity, axis=0)
    mean: Ints = shares.sum(axis=0) // np.maximum(present, 1)
    return mean


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    if table.pod_count[row] >= table.pods_allowed[row]:
        return False
    for name, quantity in pod.shape.requests.items():
        resource = table.resources.get(name)
        if resource is None or table.allocatable[resource, row] - table.requested[resource, row] < quantity:
            return False
    return True


def score_row(table: NodeTable, pod: PodRecord, row: int) -> int:
    shares = 0
    present = 0
    for resource, asked in enumerate((pod.shape.cpu_scored, pod.shape.memory_scored)):
        capacity = int(table.allocatable[resource, row])
        if capacity:
            present += 1
            shares += max(capacity - int(table.scored[resource, row]) - asked, 0) * SCORE_MAX // capacity
    return shares // present if present else 0


def _large_enough(pod: PodRecord, change: Change) -> bool:
    """The node would hold the pod if it were empty, and grew in something that the pod wants."""
    if change.node is None:
        return False
    capacity = amounts(change.node.status.allocatable)
    if not capacity.get(PODS) or any(capacity.get(n, 0) < q for n, q in pod.shape.requests.items()):
        return False
    return change.old_node is None or _grew(change.old_node, capacity, pod)


def _grew(old: Node, capacity: Mapping[str, int], pod: PodRecord) -> bool:
    before = amounts(old.status.allocatable)
    return any(capacity.get(n, 0) > before.get(n, 0) for n in (PODS, *pod.shape.requests))


SPEC = PluginSpec(
    name="NodeResourcesFit",
    filter=filter,
    filter_row=filter_row,
    explain=explain,
    resolvable=resolvable,
    score=score,
    score_row=score_row,
    weight=1,
    wakes={
        Wake.NODE_ADDED: _large_enough,
        Wake.NODE_ALLOCATABLE: _large_enough,
        Wake.POD_REMOVED: None,
        Wake.POD_CHANGED: None,
    },
)
