"""DynamicResources: a pod with ResourceClaims runs where its claims were, or can be, given devices.

Claims that have devices hold the pod to where those can be used. For the others devices are looked for node by node
(`devices/allocator.py`); what was found for the node that is taken is written before the pod is bound
(`devices/reserving.py`).

Source: pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tiphys.api.kinds.core.pod.facts import claim_names
from tiphys.api.kinds.resource.resourceclaim import AllocationResult, ResourceClaim
from tiphys.scheduler.columns import Bools
from tiphys.scheduler.devices.allocator import Allocator, NotPossible, selects
from tiphys.scheduler.devices.index import keys_of
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.nodematch import terms_mask
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable

ELSEWHERE = "resourceclaim not available on the node"
CANNOT = "cannot allocate all claims"
IN_USE = "resourceclaim in use"
RESERVED_MAX = 256
"""Pods that may share a claim (ResourceClaimReservedForMaxSize)."""


def applies(pod: PodRecord) -> bool:
    return pod.devices


def refuse(table: NodeTable, pod: PodRecord) -> str:
    index = table.devices
    for name, claim_name in claim_names(pod.pod):
        if claim_name is None:
            return f'pod "{pod.namespace}/{pod.name}": ResourceClaim not created yet ({name})'
        claim = index.claims.get(f"{pod.namespace}/{claim_name}")
        if claim is None:
            return f'resourceclaim.resource.k8s.io "{claim_name}" not found'
        if claim.metadata.deletion_timestamp is not None:
            return f'resourceclaim "{claim_name}" is being deleted'
        users = claim.status.reserved_for
        if len(users) >= RESERVED_MAX and all(user.uid != pod.uid for user in users):
            return IN_USE
        if any(_key(claim) in given for given in index.under_way.values()):
            return f"resource claim {pod.namespace}/{claim_name} is in the process of being allocated"
    open_claims = _open(table, pod)
    if open_claims:
        try:
            Allocator(index, open_claims).on("", {})
        except NotPossible as error:
            return str(error)
    return ""


def _key(claim: ResourceClaim) -> str:
    return f"{claim.metadata.namespace}/{claim.metadata.name}"


def _open(table: NodeTable, pod: PodRecord) -> list[ResourceClaim]:
    """The claims without devices."""
    index = table.devices
    return [index.claims[key] for key in keys_of(pod) if index.allocation_of(key) is None and key in index.claims]


def _given(table: NodeTable, pod: PodRecord) -> list[AllocationResult]:
    found = (table.devices.allocation_of(key) for key in keys_of(pod))
    return [allocation for allocation in found if allocation is not None]


def _within_reach(table: NodeTable, pod: PodRecord) -> Bools:
    """bool[high]: nodes where the devices that claims have can be used."""
    every = slice(0, table.high)
    passed: Bools = table.live[every].copy()
    for allocation in _given(table, pod):
        if allocation.node_selector is not None:
            passed &= terms_mask(table, allocation.node_selector.node_selector_terms, every)
    return passed


def filter_among(table: NodeTable, pod: PodRecord, feasible: Bools) -> Bools | None:
    """bool[high]; devices are looked for on the rows of `feasible`, one by one."""
    passed = _within_reach(table, pod)
    claims = _open(table, pod)
    if claims:
        allocator = Allocator(table.devices, claims)
        for row in np.flatnonzero(passed & feasible).tolist():
            passed[row] = allocator.on(table.names[row], table.labels_of(row)) is not None
    return passed


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    name, labels = table.names[row], table.labels_of(row)
    for allocation in _given(table, pod):
        if allocation.node_selector is not None and not selects(allocation.node_selector, name, labels):
            return False
    claims = _open(table, pod)
    return not claims or Allocator(table.devices, claims).on(name, labels) is not None


def explain(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Mapping[str, int]:
    here = int(np.count_nonzero(_within_reach(table, pod)[rows]))
    return {ELSEWHERE: len(rows) - here, CANNOT: here}


def allocations(table: NodeTable, pod: PodRecord, node: str) -> dict[str, AllocationResult]:
    """By claim, what a pod that will run on `node`, which passed the filter, is to be given."""
    claims = _open(table, pod)
    if not claims:
        return {}
    found = Allocator(table.devices, claims).on(node, table.labels_of(table.rows[node])) or []
    return dict(zip(map(_key, claims), found, strict=True))


def _may_help(pod: PodRecord, change: Change) -> bool:
    """Another pod's claim may have given devices back; slices and classes may help anyone."""
    return change.pod is None or change.pod.devices


SPEC = PluginSpec(
    name="DynamicResources",
    applies=applies,
    refuse=refuse,
    filter_among=filter_among,
    filter_row=filter_row,
    explain=explain,
    wakes={Wake.DEVICES: None, Wake.NODE_ADDED: None, Wake.NODE_LABELS: None, Wake.POD_REMOVED: _may_help},
)
