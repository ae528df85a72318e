"""NodeResourcesBalancedAllocation: prefer nodes whose resources, cpu and memory by default, would be used evenly.

The score is how much the pod improves the balance: 75 for no change, towards 100 for better, towards 50 for worse.
Pods that request none of the resources are not scored, or they would gather on one node.
Source: pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go.
"""

from __future__ import annotations

import numpy as np

from tiphys.scheduler.capacity import evenness, evenness_of
from tiphys.scheduler.columns import Ints, Rows
from tiphys.scheduler.config.args import NodeResourcesBalancedAllocationArgs
from tiphys.scheduler.plugin import SCORE_MAX, PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.resources import is_scalar
from tiphys.scheduler.table import NodeTable

_HALF = SCORE_MAX // 2


def build(args: NodeResourcesBalancedAllocationArgs) -> PluginSpec:
    names = [resource.name for resource in args.resources]

    def scores(pod: PodRecord) -> bool:
        return any(pod.shape.requests.get(name) for name in names)

    memo = object()  # of this plugin with these arguments

    def counted(table: NodeTable, pod: PodRecord) -> list[tuple[int, int]]:
        """Resource and what the pod asks of it; extended ones only when it asks."""
        known = pod.shape.memo.get(memo)
        if known is None or known[0] != len(table.resources):
            requests = pod.shape.requests
            found = [
                (table.resources[name], requests.get(name, 0))
                for name in names
                if name in table.resources and (requests.get(name) or not is_scalar(name))
            ]
            known = pod.shape.memo[memo] = (len(table.resources), found)
        chosen: list[tuple[int, int]] = known[1]
        return chosen

    def score(table: NodeTable, pod: PodRecord, rows: Rows) -> Ints:
        """int64[rows] in 50..100. O(rows) per resource."""
        chosen = counted(table, pod)
        if not chosen:  # no node has any of them: nothing changes the balance
            return np.full(len(table.live[rows]), _HALF + _HALF // 2, dtype=np.int64)
        resources = [resource for resource, _ in chosen]
        capacity = np.array([table.allocatable[resource, rows] for resource in resources])
        used = np.array([table.requested[resource, rows] for resource in resources])
        asked = np.array([[quantity] for _, quantity in chosen], dtype=np.int64)
        result: Ints = _HALF + (_HALF + evenness(used + asked, capacity) - evenness(used, capacity)) // 2
        return result

    def score_row(table: NodeTable, pod: PodRecord, row: int) -> int:
        before, after = [], []
        allocatable, requested = table.allocatable, table.requested
        for resource, asked in counted(table, pod):
            capacity = allocatable.item(resource, row)
            if capacity:
                used = requested.item(resource, row)
                before.append(min(used / capacity, 1.0))
                after.append(min((used + asked) / capacity, 1.0))
        return _HALF + (_HALF + evenness_of(after) - evenness_of(before)) // 2

    return PluginSpec(name="NodeResourcesBalancedAllocation", scores=scores, score=score, score_row=score_row, weight=1)


SPEC = build(NodeResourcesBalancedAllocationArgs())
