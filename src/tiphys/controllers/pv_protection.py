"""Lets a volume go only when it is bound to no claim.

Woken by: volumes. Writes: the finalizer `kubernetes.io/pv-protection` of volumes.
Races: none of its own; the write is refused if the volume has changed since.
Source: pkg/controller/volume/pvprotection/pv_protection_controller.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import PERSISTENTVOLUME
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, Update
from tiphys.controllers._spec import ControllerSpec, Key, Listers

FINALIZER = "kubernetes.io/pv-protection"


@dataclass(frozen=True)
class World:
    volume: PersistentVolume


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    volume = listers.get(PERSISTENTVOLUME, key.name)
    if volume is None or (volume.metadata.deletion_timestamp is None) == (FINALIZER in volume.metadata.finalizers):
        return None
    return World(volume)


def plan(_key: Key, world: World) -> Sequence[Action]:
    volume = copy_of(world.volume)
    metadata = volume.metadata
    if metadata.deletion_timestamp is None:
        metadata.finalizers = [*metadata.finalizers, FINALIZER]
    elif volume.status.phase == "Bound":
        return ()
    else:
        metadata.finalizers = [each for each in metadata.finalizers if each != FINALIZER]
    return [Update(PERSISTENTVOLUME, volume)]


SPEC = ControllerSpec(
    name="persistentvolume-protection-controller",
    alias="pv-protection",
    primary=PERSISTENTVOLUME,
    read=read,
    plan=plan,
)
