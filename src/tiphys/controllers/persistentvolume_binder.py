"""Binds claims to volumes, asks for volumes where there are none, and sees to what is left of claims that went.

Woken by: claims; volumes, and through them the claims that they name or could serve; storage classes. A key with a
namespace is a claim, one without is a volume. Writes: `spec.claimRef` and the phase of volumes; `spec.volumeName`,
class, annotations and the status of claims. It deletes no volume and no data: whoever made a volume does.
Races: two claims never get one volume, because the volume is written first and refused if it has changed. That a claim
or a volume is gone is looked up live before a volume is released or a claim is lost.
Source: pkg/controller/volume/persistentvolume/pv_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tiphys.api.errors import NotFound
from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, STORAGECLASS
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolume import class_of as class_of_volume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.storage.storageclass import StorageClass
from tiphys.api.meta.schema import copy_of
from tiphys.client.interface import Client
from tiphys.controllers._actions import Action, Event, Update, UpdateStatus
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch
from tiphys.controllers._storage_measures import VOLUME_METRICS
from tiphys.controllers._volume_claims import ClaimWorld, plan_claim
from tiphys.controllers._volumes import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    PROVISIONED_BY,
    class_of_claim,
    default_class,
    has_class,
    same_mode,
)
from tiphys.controllers.pvc_protection import BY_CLAIM as PODS_BY_CLAIM

RECYCLE = "No recycler plugin found for the volume!"
LEFT_ALONE = ("Released", "Failed")
_UNCLASSED = "\0"


@dataclass(frozen=True)
class VolumeWorld:
    volume: PersistentVolume
    claim: PersistentVolumeClaim | None
    """The one that the volume names, by name and UID."""


World = ClaimWorld | VolumeWorld


def _claim_of(volume: PersistentVolume) -> Iterator[str]:
    reference = volume.spec.claim_ref
    if reference is not None:
        yield f"{reference.namespace}/{reference.name}"


def _open_class(claim: PersistentVolumeClaim) -> Iterator[str]:
    """The class of a claim that waits for any volume; `_UNCLASSED` where the default class may become its."""
    if not claim.spec.volume_name and BIND_COMPLETED not in claim.metadata.annotations:
        yield class_of_claim(claim) if has_class(claim) else _UNCLASSED


BY_CLASS = Index(
    PERSISTENTVOLUME, "class", lambda volume: (class_of_volume(volume),) if not volume.spec.claim_ref else ()
)
"""Volumes that name no claim."""
BY_CLAIM = Index(PERSISTENTVOLUME, "claim", _claim_of)
OPEN = Index(PERSISTENTVOLUMECLAIM, "open-class", _open_class)
BY_VOLUME = Index(
    PERSISTENTVOLUMECLAIM, "volume", lambda claim: (claim.spec.volume_name,) if claim.spec.volume_name else ()
)


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    if key.namespace:
        claim = listers.get(PERSISTENTVOLUMECLAIM, key.name, key.namespace)
        return None if claim is None else _read_claim(listers, key, claim)
    volume = listers.get(PERSISTENTVOLUME, key.name)
    if volume is None:
        return None
    reference, found = volume.spec.claim_ref, None
    if reference is not None:
        found = listers.get(PERSISTENTVOLUMECLAIM, reference.name, reference.namespace)
        if found is not None and found.metadata.uid != reference.uid:
            found = None
    return VolumeWorld(volume, found)


def _read_claim(listers: Listers, key: Key, claim: PersistentVolumeClaim) -> ClaimWorld:
    name = class_of_claim(claim)
    volumes: tuple[PersistentVolume, ...] = ()
    waiting: tuple[str, ...] = ()
    bound = BIND_COMPLETED in claim.metadata.annotations
    if not claim.spec.volume_name and not bound:
        volumes = (
            *listers.indexed(PERSISTENTVOLUME, BY_CLAIM.name, str(key)),
            *listers.indexed(PERSISTENTVOLUME, BY_CLASS.name, name),
        )
        waiting = tuple(
            sorted(
                pod.metadata.name
                for pod in listers.indexed(POD, PODS_BY_CLAIM.name, str(key))
                if not pod.spec.node_name and pod.metadata.deletion_timestamp is None
            )
        )
    named = listers.get(PERSISTENTVOLUME, claim.spec.volume_name) if claim.spec.volume_name else None
    found = listers.get(STORAGECLASS, name) if name and not bound else None
    fallback = None if bound or has_class(claim) else default_class(listers.list(STORAGECLASS))
    return ClaimWorld(claim, named, volumes, found, fallback, waiting)


async def observe(client: Client, key: Key, world: World) -> World:
    """Makes sure of what would be irrevocable: a claim that is lost, a volume that is released."""
    if isinstance(world, ClaimWorld):
        claim = world.claim
        if world.named is None and claim.spec.volume_name and BIND_COMPLETED in claim.metadata.annotations:
            try:
                return replace(world, named=await client.get(PERSISTENTVOLUME, claim.spec.volume_name))
            except NotFound:
                return world
        return world
    reference = world.volume.spec.claim_ref
    if reference is None or not reference.uid or world.claim is not None or world.volume.status.phase in LEFT_ALONE:
        return world
    try:
        claim = await client.get(PERSISTENTVOLUMECLAIM, reference.name, reference.namespace)
    except NotFound:
        return world
    return replace(world, claim=claim) if claim.metadata.uid == reference.uid else world


def plan(_key: Key, world: World) -> Sequence[Action]:
    return plan_claim(world) if isinstance(world, ClaimWorld) else _plan_volume(world)


# --- volumes


def _plan_volume(world: VolumeWorld) -> Sequence[Action]:
    volume, claim = world.volume, world.claim
    reference = volume.spec.claim_ref
    if reference is None or not reference.uid:
        return _phase(volume, "Available")
    if claim is None:
        return _released(volume)
    if not claim.spec.volume_name:
        return () if same_mode(volume, claim) else _mismatch(volume, claim)
    if claim.spec.volume_name == volume.metadata.name:
        return _phase(volume, "Bound")
    made = PROVISIONED_BY in volume.metadata.annotations
    if made and volume.spec.persistent_volume_reclaim_policy == "Delete":
        return _released(volume)
    return [_unbound(volume)]


def _released(volume: PersistentVolume) -> Sequence[Action]:
    """The claim is gone. What becomes of the data is the reclaim policy's; deleting is for whoever made the volume."""
    policy = volume.spec.persistent_volume_reclaim_policy
    if volume.status.phase not in LEFT_ALONE:
        return _phase(volume, "Released")
    if volume.status.phase == "Failed" or policy == "Retain":
        return ()
    if policy == "Recycle":
        return _failed(volume, "VolumeFailedRecycle", RECYCLE)
    if policy == "Delete" and PROVISIONED_BY not in volume.metadata.annotations and volume.spec.csi is None:
        text = f'error getting deleter volume plugin for volume "{volume.metadata.name}": no volume plugin matched'
        return _failed(volume, "VolumeFailedDelete", text)
    return ()


def _mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Sequence[Action]:
    theirs, ours = claim.metadata.name, volume.metadata.name
    rest = "due to incompatible volumeMode."
    text = f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{theirs}" {rest}'
    other = f'Cannot bind PersistentVolume "{ours}" to requested PersistentVolumeClaim {rest}'
    return [Event(volume, "Warning", "VolumeMismatch", text), Event(claim, "Warning", "VolumeMismatch", other)]


def _unbound(volume: PersistentVolume) -> Update:
    """The claim went to another volume: forget it, or what we added to what the user wrote."""
    changed = copy_of(volume)
    if BOUND_BY_CONTROLLER in changed.metadata.annotations:
        changed.spec.claim_ref = None
        del changed.metadata.annotations[BOUND_BY_CONTROLLER]
    elif changed.spec.claim_ref is not None:
        changed.spec.claim_ref.uid = ""
    return Update(PERSISTENTVOLUME, changed)


def _phase(volume: PersistentVolume, phase: str) -> Sequence[Action]:
    if volume.status.phase == phase:
        return ()
    changed = copy_of(volume)
    changed.status.phase, changed.status.message = phase, ""
    return [UpdateStatus(PERSISTENTVOLUME, changed)]


def _failed(volume: PersistentVolume, reason: str, text: str) -> Sequence[Action]:
    changed = copy_of(volume)
    changed.status.phase, changed.status.message = "Failed", text
    return [UpdateStatus(PERSISTENTVOLUME, changed), Event(volume, "Warning", reason, text)]


# --- what wakes whom


def _of_claim(_listers: Listers, claim: PersistentVolumeClaim) -> Iterable[Key]:
    yield Key(claim.metadata.namespace, claim.metadata.name)
    if claim.spec.volume_name:
        yield Key("", claim.spec.volume_name)


def _volumes_of_claim(listers: Listers, claim: PersistentVolumeClaim) -> Iterable[Key]:
    yield from _of_claim(listers, claim)
    where = f"{claim.metadata.namespace}/{claim.metadata.name}"
    for volume in listers.indexed(PERSISTENTVOLUME, BY_CLAIM.name, where):
        yield Key("", volume.metadata.name)


def _of_volume(listers: Listers, volume: PersistentVolume) -> Iterable[Key]:
    yield Key("", volume.metadata.name)
    reference = volume.spec.claim_ref
    if reference is not None:
        yield Key(reference.namespace, reference.name)
    for claim in listers.indexed(PERSISTENTVOLUMECLAIM, BY_VOLUME.name, volume.metadata.name):
        yield Key(claim.metadata.namespace, claim.metadata.name)
    if reference is None and volume.status.phase == "Available":
        for name in {class_of_volume(volume), _UNCLASSED}:
            yield from _open_claims(listers, name)


def _of_class(listers: Listers, storage_class: StorageClass) -> Iterable[Key]:
    yield from _open_claims(listers, storage_class.metadata.name)
    yield from _open_claims(listers, _UNCLASSED)


def _open_claims(listers: Listers, name: str) -> Iterable[Key]:
    for claim in listers.indexed(PERSISTENTVOLUMECLAIM, OPEN.name, name):
        yield Key(claim.metadata.namespace, claim.metadata.name)


SPEC = ControllerSpec(
    name="persistentvolume-binder-controller",
    alias="persistentvolume-binder",
    component="persistentvolume-controller",
    primary=None,
    read=read,
    observe=observe,
    plan=plan,
    watches=(
        Watch(PERSISTENTVOLUMECLAIM, _volumes_of_claim),
        Watch(PERSISTENTVOLUME, _of_volume),
        Watch(STORAGECLASS, _of_class),
    ),
    reads=(POD,),
    indexes=(BY_CLASS, BY_CLAIM, OPEN, BY_VOLUME, PODS_BY_CLAIM),
    metrics=VOLUME_METRICS,
)
