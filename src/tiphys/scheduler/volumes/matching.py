"""Which volumes could serve a claim, and on which nodes.

Source: component-helpers/storage/volume/pv_helpers.go (FindMatchingVolume), volumebinding/binder.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.facts import amount
from tiphys.api.labels import NOTHING, selector_of
from tiphys.api.meta import types
from tiphys.base.selectors import LabelSelector
from tiphys.scheduler.columns import Bools
from tiphys.scheduler.nodematch import term_matches, terms_mask
from tiphys.scheduler.table import NodeTable
from tiphys.scheduler.volumes.index import VolumeIndex, class_of, key_of

NO_PROVISIONER = "kubernetes.io/no-provisioner"
STORAGE = "storage"


@dataclass(frozen=True, slots=True)
class Candidates:
    """The volumes that could serve a claim, by anything but the node; the smallest first."""

    volumes: tuple[PersistentVolume, ...] = ()
    prebound: PersistentVolume | None = None
    """Someone bound this one to the claim already: it, or none."""


def size_of(claim: PersistentVolumeClaim) -> int:
    text = claim.spec.resources.requests.get(STORAGE)
    return amount(STORAGE, text) if text else 0


def _capacity(volume: PersistentVolume) -> int:
    text = volume.spec.capacity.get(STORAGE)
    return amount(STORAGE, text) if text else 0


def candidates(index: VolumeIndex, claim: PersistentVolumeClaim) -> Candidates:
    """Cost O(volumes)."""
    found: list[PersistentVolume] = []
    wanted = size_of(claim)
    selector = None if claim.spec.selector is None else _selector(claim.spec.selector)
    for volume in index.volumes.values():
        if _capacity(volume) < wanted or not _alike(claim, volume) or volume.metadata.deletion_timestamp is not None:
            continue
        taken = index.taken.get(volume.metadata.name)
        if taken is not None and taken != key_of(claim):
            continue
        reference = volume.spec.claim_ref
        if reference is not None:
            if _bound_to(reference, claim):
                return Candidates(prebound=volume)
            continue
        if volume.status.phase != "Available" or volume.spec.storage_class_name != class_of(claim):
            continue
        if selector is not None and not selector.matches(volume.metadata.labels):
            continue
        if set(claim.spec.access_modes) <= set(volume.spec.access_modes):
            found.append(volume)
    return Candidates(tuple(sorted(found, key=lambda v: (_capacity(v), v.metadata.name))))


def _alike(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    """Mode and attributes agree."""
    modes = (claim.spec.volume_mode or "Filesystem", volume.spec.volume_mode or "Filesystem")
    attributes = (claim.spec.volume_attributes_class_name or "", volume.spec.volume_attributes_class_name or "")
    return modes[0] == modes[1] and attributes[0] == attributes[1]


def _bound_to(reference: object, claim: PersistentVolumeClaim) -> bool:
    name = getattr(reference, "name", "")
    namespace = getattr(reference, "namespace", "")
    uid = getattr(reference, "uid", "")
    meta = claim.metadata
    return (name, namespace) == (meta.name, meta.namespace) and uid in ("", meta.uid)


def _selector(stated: types.LabelSelector) -> LabelSelector:
    try:
        return selector_of(stated)
    except ValueError:
        return NOTHING


def reachable(table: NodeTable, volume: PersistentVolume) -> Bools:
    """bool[high]: nodes that the volume's affinity allows."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return np.ones(table.high, dtype=np.bool_)
    return terms_mask(table, affinity.required.node_selector_terms, slice(0, table.high))


def reaches(table: NodeTable, volume: PersistentVolume, row: int) -> bool:
    """`reachable` for one row."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return True
    name, labels = table.names[row], table.labels_of(row)
    return any(term_matches(term, name, labels) for term in affinity.required.node_selector_terms)


def chosen(
    table: NodeTable, row: int, wanted: Sequence[tuple[PersistentVolumeClaim, Candidates]]
) -> list[PersistentVolume | None]:
    """For each claim, in order, the smallest volume that is left and reaches the node; None where there is none."""
    used: set[str] = set()
    found: list[PersistentVolume | None] = []
    for _claim, options in wanted:
        volume = _first(table, row, options, used)
        if volume is not None:
            used.add(volume.metadata.name)
        found.append(volume)
    return found


def _first(table: NodeTable, row: int, options: Candidates, used: Collection[str]) -> PersistentVolume | None:
    volumes: Iterable[PersistentVolume] = options.volumes if options.prebound is None else (options.prebound,)
    for volume in volumes:
        if volume.metadata.name not in used and reaches(table, volume, row):
            return volume
    return None


def provisionable(table: NodeTable, index: VolumeIndex, claim: PersistentVolumeClaim) -> tuple[Bools, Bools]:
    """(bool[high]: a volume can be made for the node, bool[high]: and there is enough storage for it)."""
    nowhere = np.zeros(table.high, dtype=np.bool_)
    found = index.classes.get(class_of(claim))
    if found is None or found.provisioner in ("", NO_PROVISIONER):
        return nowhere, ~nowhere
    allowed = ~nowhere
    if found.allowed_topologies:
        allowed = nowhere.copy()
        for term in found.allowed_topologies:
            here = np.ones(table.high, dtype=np.bool_)
            for expression in term.match_label_expressions:
                column = table.label(expression.key)
                here &= np.isin(column.ids[: table.high], [column.id_of(value) for value in expression.values])
            allowed |= here
    return allowed, _enough(table, index, claim, found.provisioner)


def _enough(table: NodeTable, index: VolumeIndex, claim: PersistentVolumeClaim, provisioner: str) -> Bools:
    """bool[high]: the driver has room for the claim, or does not tell how much it has."""
    driver = index.drivers.get(provisioner)
    wanted = size_of(claim)
    if driver is None or not driver.spec.storage_capacity or not wanted:
        return np.ones(table.high, dtype=np.bool_)
    enough = np.zeros(table.high, dtype=np.bool_)
    for capacity in index.capacities.values():
        limit = capacity.maximum_volume_size or capacity.capacity
        topology = capacity.node_topology
        if capacity.storage_class_name != class_of(claim) or limit is None or topology is None:
            continue
        if amount(STORAGE, limit) >= wanted:
            selector = _selector(topology)
            rows = [row for row in range(table.high) if table.live[row] and selector.matches(table.labels_of(row))]
            enough[rows] = True
    return enough
