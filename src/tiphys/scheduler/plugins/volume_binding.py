"""VolumeBinding: a pod runs where its volumes are, or where volumes for it can be found or made.

Claims that are bound hold the pod to the nodes that their volumes reach. Claims of a class that waits for the first
consumer are matched with volumes that are there, or with a place where one can be made; which, is planned for the node
that was chosen (`plan`) and carried out before the pod is bound (`volumes/binder.py`).

Source: pkg/scheduler/framework/plugins/volumebinding/{volume_binding,binder}.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.scheduler.columns import Bools
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable
from tiphys.scheduler.volumes.index import Plan, is_bound
from tiphys.scheduler.volumes.matching import Candidates, candidates, chosen, provisionable, reachable, size_of

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


def applies(pod: PodRecord) -> bool:
    return bool(pod.claims)


def refuse(table: NodeTable, pod: PodRecord) -> str:
    for name, ephemeral in pod.claims:
        claim = table.volumes.claims.get(f"{pod.namespace}/{name}")
        if claim is None:
            if ephemeral:
                return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            return f'persistentvolumeclaim "{name}" not found'
        if claim.status.phase == "Lost":
            lost = claim.spec.volume_name
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{lost}"'
        if claim.metadata.deletion_timestamp is not None:
            return f'persistentvolumeclaim "{name}" is being deleted'
        owners = claim.metadata.owner_references
        if ephemeral and not any(owner.controller and owner.uid == pod.uid for owner in owners):
            where = pod.namespace
            return f"PVC {where}/{name} was not created for pod {where}/{pod.name} (pod is not owner)"
    for claim in table.volumes.of(pod):
        if not is_bound(claim) and (claim.spec.volume_name or not table.volumes.is_delayed(claim)):
            return UNBOUND
    return ""


@dataclass(slots=True)
class _Claims:
    """A pod's claims, by what has to be looked at."""

    bound: list[PersistentVolumeClaim] = field(default_factory=list)
    to_match: list[tuple[PersistentVolumeClaim, Candidates]] = field(default_factory=list)
    """The smallest first."""
    to_provision: list[PersistentVolumeClaim] = field(default_factory=list)
    nodes: set[str] = field(default_factory=set)
    """Where volumes are being made already."""


def _sorted(table: NodeTable, pod: PodRecord) -> _Claims:
    found, index = _Claims(), table.volumes
    for claim in index.of(pod):
        node = index.selected_node(claim)
        if is_bound(claim):
            found.bound.append(claim)
        elif node:
            found.nodes.add(node)
            found.to_provision.append(claim)
        else:
            found.to_match.append((claim, candidates(index, claim)))
    found.to_match.sort(key=lambda pair: size_of(pair[0]))
    return found


@dataclass(slots=True)
class _Verdict:
    """bool[high] each: where one thing or another stands in the way."""

    apart: Bools
    gone: Bools
    unmatched: Bools
    full: Bools

    @property
    def passed(self) -> Bools:
        return ~(self.apart | self.gone | self.unmatched | self.full)


def _verdict(table: NodeTable, pod: PodRecord) -> _Verdict:
    claims = _sorted(table, pod)
    found = _Verdict(*(np.zeros(table.high, dtype=np.bool_) for _ in range(4)))
    for claim in claims.bound:
        bound = table.volumes.volumes.get(claim.spec.volume_name)
        if bound is None:
            found.gone[:] = True
            break
        found.apart |= ~reachable(table, bound)
    if claims.nodes:
        here = np.zeros(table.high, dtype=np.bool_)
        if len(claims.nodes) == 1:
            row = table.rows.get(next(iter(claims.nodes)))
            if row is not None:
                here[row] = True
        found.unmatched |= ~here
    for claim in claims.to_provision:
        _need_provisioning(table, claim, ~found.unmatched, found)
    _match(table, claims, found)
    return found


def _match(table: NodeTable, claims: _Claims, found: _Verdict) -> None:
    wanted = claims.to_match
    if len(wanted) == 1:
        claim, options = wanted[0]
        volumes = options.volumes if options.prebound is None else (options.prebound,)
        matched = np.zeros(table.high, dtype=np.bool_)
        for volume in volumes:
            matched |= reachable(table, volume)
        _need_provisioning(table, claim, ~matched, found)
        return
    missing = [np.ones(table.high, dtype=np.bool_) for _ in wanted]
    if any(options.volumes or options.prebound for _, options in wanted):
        for row in np.flatnonzero(table.live[: table.high] & found.passed).tolist():
            for lacks, found_one in zip(missing, chosen(table, row, wanted), strict=True):
                lacks[row] = found_one is None
    for (claim, _), lacks in zip(wanted, missing, strict=True):
        _need_provisioning(table, claim, lacks, found)


def _need_provisioning(table: NodeTable, claim: PersistentVolumeClaim, where: Bools, found: _Verdict) -> None:
    possible, enough = provisionable(table, table.volumes, claim)
    found.unmatched |= where & ~possible
    found.full |= where & possible & ~enough


def filter_among(table: NodeTable, pod: PodRecord, _feasible: Bools) -> Bools | None:
    """bool[high]. O(N) per volume that could serve; O(N * volumes) for pods with several open claims."""
    return _verdict(table, pod).passed


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    return bool(_verdict(table, pod).passed[row])


def explain(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Mapping[str, int]:
    """A node may appear under several reasons."""
    found = _verdict(table, pod)
    parts = {NODE_CONFLICT: found.apart, NO_VOLUME: found.gone, BIND_CONFLICT: found.unmatched, NO_SPACE: found.full}
    return {reason: int(np.count_nonzero(mask[rows])) for reason, mask in parts.items()}


def plan(table: NodeTable, pod: PodRecord, node: str) -> Plan:
    """What is to be done for a pod that will run on `node`, which passed the filter."""
    claims = _sorted(table, pod)
    row = table.rows[node]
    found = list(zip(claims.to_match, chosen(table, row, claims.to_match), strict=True))
    bind = tuple((volume, claim) for (claim, _), volume in found if volume is not None)
    provision = [claim for (claim, _), volume in found if volume is None]
    return Plan(node, bind, (*claims.to_provision, *provision))


def own_claim(pod: PodRecord, change: Change) -> bool:
    """The claim that changed is the pod's."""
    return any(change.key == f"{pod.namespace}/{name}" for name, _ in pod.claims)


SPEC = PluginSpec(
    name="VolumeBinding",
    applies=applies,
    refuse=refuse,
    filter_among=filter_among,
    filter_row=filter_row,
    explain=explain,
    wakes={
        Wake.CLAIM: own_claim,
        Wake.VOLUME: None,
        Wake.STORAGE_CLASS: None,
        Wake.STORAGE_CAPACITY: None,
        Wake.CSI_NODE: None,
        Wake.NODE_ADDED: None,
        Wake.NODE_LABELS: None,
    },
)
