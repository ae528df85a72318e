"""Says who is to enlarge a volume whose claim asks for more than it has.

Woken by: claims whose request grows. Writes: events. Enlarging is for the driver's own controller.
Races: none; it writes nothing.
Source: pkg/controller/volume/expand/expand_controller.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.base import quantity
from tiphys.controllers._actions import Action, Event
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch
from tiphys.controllers._volumes import STORAGE, request

EXTERNAL = "waiting for an external controller to expand this PVC"


@dataclass(frozen=True)
class World:
    claim: PersistentVolumeClaim


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    claim = listers.get(PERSISTENTVOLUMECLAIM, key.name, key.namespace)
    if claim is None or claim.status.phase != "Bound" or not _wants_more(claim):
        return None
    volume = listers.get(PERSISTENTVOLUME, claim.spec.volume_name)
    reference = volume.spec.claim_ref if volume is not None else None
    if volume is None or reference is None or reference.uid != claim.metadata.uid:
        return None
    return World(claim)


def plan(_key: Key, world: World) -> Sequence[Action]:
    return [Event(world.claim, "Normal", "ExternalExpanding", EXTERNAL)]


def _wants_more(claim: PersistentVolumeClaim) -> bool:
    has = claim.status.capacity.get(STORAGE)
    return has is not None and request(claim) > quantity.value(has)


def _grows(old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> bool:
    if new is None or not _wants_more(new):
        return False
    return old is None or request(old) != request(new) or old.status.phase != new.status.phase


SPEC = ControllerSpec(
    name="persistentvolume-expander-controller",
    alias="persistentvolume-expander",
    component="volume_expand",
    primary=PERSISTENTVOLUMECLAIM,
    read=read,
    plan=plan,
    watches=(Watch(PERSISTENTVOLUMECLAIM, when=_grows),),
    reads=(PERSISTENTVOLUME,),
)
