"""Lets a volume attributes class go only when no claim and no volume names it.

Woken by: classes; claims and volumes that name one, or no longer do. Writes: the finalizer
`kubernetes.io/vac-protection` of classes.
Races: a claim may name the class that our copy does not show yet, so claims and volumes are looked at live before the
finalizer is taken away.
Source: pkg/controller/volume/vacprotection/vac_protection_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, VOLUMEATTRIBUTESCLASS
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.storage.volumeattributesclass import VolumeAttributesClass
from tiphys.api.meta.schema import copy_of
from tiphys.client.interface import Client
from tiphys.controllers._actions import Action, Update
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch

FINALIZER = "kubernetes.io/vac-protection"


@dataclass(frozen=True)
class World:
    attributes: VolumeAttributesClass
    used: bool


def _of_claim(claim: PersistentVolumeClaim) -> Iterator[str]:
    """The class that the claim wants, the one it has, and the one it is on the way to."""
    status = claim.status
    if claim.spec.volume_attributes_class_name:
        yield claim.spec.volume_attributes_class_name
    if status.current_volume_attributes_class_name:
        yield status.current_volume_attributes_class_name
    if status.modify_volume_status is not None and status.modify_volume_status.target_volume_attributes_class_name:
        yield status.modify_volume_status.target_volume_attributes_class_name


def _of_volume(volume: PersistentVolume) -> Iterator[str]:
    if volume.spec.volume_attributes_class_name:
        yield volume.spec.volume_attributes_class_name


BY_CLAIMED = Index(PERSISTENTVOLUMECLAIM, "attributes-class", lambda claim: {*_of_claim(claim)})
BY_VOLUME = Index(PERSISTENTVOLUME, "attributes-class", _of_volume)


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    found = listers.get(VOLUMEATTRIBUTESCLASS, key.name)
    if found is None or (found.metadata.deletion_timestamp is None) == (FINALIZER in found.metadata.finalizers):
        return None
    claims = listers.count(PERSISTENTVOLUMECLAIM, BY_CLAIMED.name, key.name)
    volumes = listers.count(PERSISTENTVOLUME, BY_VOLUME.name, key.name)
    return World(found, claims + volumes > 0)


async def observe(client: Client, key: Key, world: World) -> World:
    if world.used or world.attributes.metadata.deletion_timestamp is None:
        return world
    claims, volumes = await client.list(PERSISTENTVOLUMECLAIM), await client.list(PERSISTENTVOLUME)
    used = any(key.name in _of_claim(claim) for claim in claims.items)
    return replace(world, used=used or any(key.name in _of_volume(volume) for volume in volumes.items))


def plan(_key: Key, world: World) -> Sequence[Action]:
    changed = copy_of(world.attributes)
    metadata = changed.metadata
    if metadata.deletion_timestamp is None:
        metadata.finalizers = [*metadata.finalizers, FINALIZER]
    elif world.used:
        return ()
    else:
        metadata.finalizers = [each for each in metadata.finalizers if each != FINALIZER]
    return [Update(VOLUMEATTRIBUTESCLASS, changed)]


def _claim_keys(_listers: Listers, claim: PersistentVolumeClaim) -> Iterable[Key]:
    return (Key("", name) for name in _of_claim(claim))


def _volume_keys(_listers: Listers, volume: PersistentVolume) -> Iterable[Key]:
    return (Key("", name) for name in _of_volume(volume))


SPEC = ControllerSpec(
    name="volumeattributesclass-protection-controller",
    primary=VOLUMEATTRIBUTESCLASS,
    read=read,
    observe=observe,
    plan=plan,
    watches=(Watch(PERSISTENTVOLUMECLAIM, _claim_keys), Watch(PERSISTENTVOLUME, _volume_keys)),
    indexes=(BY_CLAIMED, BY_VOLUME),
)
