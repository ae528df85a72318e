"""Makes volumes that are directories of one node, for classes whose provisioner is `tiphys.io/local-path`.

Woken by: claims that were sent to this provisioner; its volumes; nodes. A key with a namespace is a claim, one without
a node. Writes: volumes (made, and deleted when they are released and the node has removed the directory); the
annotation of nodes that lists directories to remove; `selected-node` of claims whose node is gone.
The kubelet makes the directory when the first pod mounts it. A node removes directories that its Node object lists and
says so there, so that nodes need no rights on volumes.
Races: a claim may go while its volume is made; the volume names the claim's UID, so the binder releases it.
Source: sigs.k8s.io/sig-storage-lib-external-provisioner (protocol and events); not part of upstream's components.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kind import new
from tiphys.api.kinds import NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.persistentvolume import PersistentVolume, VolumeNodeAffinity
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.volumes import HostPathVolumeSource
from tiphys.api.kinds.core.references import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from tiphys.api.kinds.storage.storageclass import StorageClass
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, Create, Delete, Event, Gone, Patch, Report, Update
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch
from tiphys.controllers._volumes import (
    PROVISIONED_BY,
    PROVISIONER,
    SELECTED_NODE,
    STORAGE,
    class_of_claim,
    reference_to,
)

PROVISIONER_NAME = "tiphys.io/local-path"
NODE_NOTE = "tiphys.io/local-path-node"
"""On volumes: the node."""
REMOVE_NOTE = "tiphys.io/local-path-remove"
"""On nodes: volumes whose directories are to go, separated by spaces."""
REMOVED_NOTE = "tiphys.io/local-path-removed"
"""On nodes: those of them whose directories are gone."""
AT_ONCE_MAX = 100
"""Directories that one node is told to remove at a time."""
HOSTNAME = "kubernetes.io/hostname"
_MODES = frozenset(("ReadWriteOnce", "ReadWriteOncePod"))

BY_NODE = Index(
    PERSISTENTVOLUME,
    "local-path-node",
    lambda volume: (
        (volume.metadata.annotations.get(NODE_NOTE, ""),)
        if volume.metadata.annotations.get(PROVISIONED_BY) == PROVISIONER_NAME
        else ()
    ),
)


@dataclass(frozen=True)
class ClaimWorld:
    claim: PersistentVolumeClaim
    storage_class: StorageClass | None
    node_name: str
    """Where the scheduler wants the volume; empty: it did not say."""
    node: Node | None
    made: bool
    """The volume exists."""
    directory: str


@dataclass(frozen=True)
class NodeWorld:
    name: str
    node: Node | None
    volumes: tuple[PersistentVolume, ...]
    """Released volumes of that node whose data is to go."""


World = ClaimWorld | NodeWorld


def volume_name(claim: PersistentVolumeClaim) -> str:
    return f"pvc-{claim.metadata.uid}"


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    directory = listers.settings.local_path_dir
    if not directory:
        return None
    if not key.namespace:
        volumes = (each for each in listers.indexed(PERSISTENTVOLUME, BY_NODE.name, key.name) if _is_over(each))
        return NodeWorld(key.name, listers.get(NODE, key.name), tuple(volumes))
    claim = listers.get(PERSISTENTVOLUMECLAIM, key.name, key.namespace)
    if claim is None or claim.spec.volume_name or claim.metadata.deletion_timestamp is not None:
        return None
    if claim.metadata.annotations.get(PROVISIONER) != PROVISIONER_NAME:
        return None
    node_name = claim.metadata.annotations.get(SELECTED_NODE, "")
    return ClaimWorld(
        claim,
        listers.get(STORAGECLASS, class_of_claim(claim)),
        node_name,
        listers.get(NODE, node_name) if node_name else None,
        listers.get(PERSISTENTVOLUME, volume_name(claim)) is not None,
        directory,
    )


def plan(_key: Key, world: World) -> Sequence[Action]:
    return _provision(world) if isinstance(world, ClaimWorld) else _remove(world)


# --- making


def _provision(world: ClaimWorld) -> Sequence[Action]:
    claim, found = world.claim, world.storage_class
    if world.made or found is None:
        return ()
    problem = _problem(claim, world.node_name, found)
    if problem:
        text = f'failed to provision volume with StorageClass "{found.metadata.name}": {problem}'
        return [Event(claim, "Warning", "ProvisioningFailed", text)]
    if world.node is None:
        # The scheduler chooses again once nothing is chosen.
        changed = copy_of(claim)
        del changed.metadata.annotations[SELECTED_NODE]
        text = f'failed to get target node: node "{world.node_name}" not found'
        return [Event(claim, "Warning", "ProvisioningFailed", text), Update(PERSISTENTVOLUMECLAIM, changed)]
    volume = _volume(world, found, world.node)
    report = Report(
        claim,
        done_reason="ProvisioningSucceeded",
        done=f"Successfully provisioned volume {volume.metadata.name}",
        failed_reason="ProvisioningFailed",
        failed=f"Error creating provisioned PV object for claim {_where(claim)}: {{error}}",
    )
    return [Create(PERSISTENTVOLUME, volume, report, exists_ok=True)]


def _problem(claim: PersistentVolumeClaim, node_name: str, storage_class: StorageClass) -> str:
    if not set(claim.spec.access_modes) <= _MODES:
        return "a directory of one node serves ReadWriteOnce and ReadWriteOncePod only"
    if claim.spec.volume_mode == "Block":
        return "a directory is no block device"
    if claim.spec.data_source is not None or claim.spec.data_source_ref is not None:
        return "volumes are made empty: there are no snapshots and no clones"
    if storage_class.parameters:
        return f"unknown parameters: {', '.join(sorted(storage_class.parameters))}"
    if not node_name:
        return "no node was chosen: the class must have volumeBindingMode WaitForFirstConsumer"
    return ""


def _volume(world: ClaimWorld, storage_class: StorageClass, node: Node) -> PersistentVolume:
    claim, name = world.claim, volume_name(world.claim)
    made: PersistentVolume = new(PERSISTENTVOLUME, name)
    made.metadata.annotations = {PROVISIONED_BY: PROVISIONER_NAME, NODE_NOTE: node.metadata.name}
    spec = made.spec
    spec.capacity = {STORAGE: claim.spec.resources.requests[STORAGE]}
    spec.access_modes = list(claim.spec.access_modes)
    spec.claim_ref = reference_to(claim)
    spec.persistent_volume_reclaim_policy = storage_class.reclaim_policy or "Delete"
    spec.storage_class_name = storage_class.metadata.name
    spec.mount_options = list(storage_class.mount_options)
    spec.volume_mode = "Filesystem"
    spec.host_path = HostPathVolumeSource(path=f"{world.directory.rstrip('/')}/{name}", type="DirectoryOrCreate")
    host = node.metadata.labels.get(HOSTNAME, node.metadata.name)
    here = NodeSelectorTerm(match_expressions=[NodeSelectorRequirement(key=HOSTNAME, operator="In", values=[host])])
    spec.node_affinity = VolumeNodeAffinity(required=NodeSelector(node_selector_terms=[here]))
    return made


# --- removing


def _is_over(volume: PersistentVolume) -> bool:
    """Nobody will use it any more, and its data is to go."""
    released = volume.status.phase == "Released" and volume.metadata.deletion_timestamp is None
    return released and volume.spec.persistent_volume_reclaim_policy == "Delete"


def _remove(world: NodeWorld) -> Sequence[Action]:
    node = world.node
    if node is None:
        # Its disks went with it.
        return [_deletion(each, (Gone(NODE, world.name, "", ""),)) for each in world.volumes]
    notes = node.metadata.annotations
    asked, done = set(notes.get(REMOVE_NOTE, "").split()), set(notes.get(REMOVED_NOTE, "").split())
    gone = [each for each in world.volumes if each.metadata.name in asked & done]
    left = sorted(each.metadata.name for each in world.volumes if each not in gone)[:AT_ONCE_MAX]
    actions: list[Action] = [_deletion(each) for each in gone]
    wanted = " ".join(left) or None
    if wanted != notes.get(REMOVE_NOTE):
        patch = {"metadata": {"uid": node.metadata.uid, "annotations": {REMOVE_NOTE: wanted}}}
        actions.append(Patch(NODE, world.name, "", patch, "merge"))
    return actions


def _deletion(volume: PersistentVolume, guards: tuple[Gone, ...] = ()) -> Delete:
    metadata = volume.metadata
    return Delete(PERSISTENTVOLUME, metadata.name, "", metadata.uid, guards=guards)


def _where(claim: PersistentVolumeClaim) -> str:
    return f"{claim.metadata.namespace}/{claim.metadata.name}"


# --- what wakes whom


def _of_volume(_listers: Listers, volume: PersistentVolume) -> Iterable[Key]:
    notes = volume.metadata.annotations
    if notes.get(PROVISIONED_BY) == PROVISIONER_NAME and NODE_NOTE in notes:
        yield Key("", notes[NODE_NOTE])


def _sent_here(_listers: Listers, claim: PersistentVolumeClaim) -> Iterable[Key]:
    if claim.metadata.annotations.get(PROVISIONER) == PROVISIONER_NAME and not claim.spec.volume_name:
        yield Key(claim.metadata.namespace, claim.metadata.name)


def _notes_changed(old: Node | None, new_: Node | None) -> bool:
    if old is None or new_ is None:
        return True
    return any(
        old.metadata.annotations.get(note) != new_.metadata.annotations.get(note)
        for note in (REMOVE_NOTE, REMOVED_NOTE)
    )


SPEC: ControllerSpec[World] = ControllerSpec(
    name="local-path-provisioner-controller",
    alias="local-path-provisioner",
    component=PROVISIONER_NAME,
    primary=None,
    read=read,
    plan=plan,
    watches=(
        Watch(PERSISTENTVOLUMECLAIM, _sent_here),
        Watch(PERSISTENTVOLUME, _of_volume),
        Watch(NODE, when=_notes_changed),
    ),
    reads=(STORAGECLASS,),
    indexes=(BY_NODE,),
)
