"""Makes the claims of pods' ephemeral volumes.

Woken by: pods with such volumes; their claims (one that is deleted is made again). Writes: PersistentVolumeClaims,
which the pod owns, so that they go with it.
Races: a claim of that name may be somebody else's; then the pod waits, and an event says so.
Source: pkg/controller/volume/ephemeral/controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kind import new
from tiphys.api.kinds import PERSISTENTVOLUMECLAIM, POD
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import Volume
from tiphys.api.meta.owners import controller_of, owner_reference
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, Create, Event, Report
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch, controller_key
from tiphys.controllers._storage_measures import CREATED, NOT_CREATED, measure_ephemeral


@dataclass(frozen=True)
class World:
    pod: Pod
    claims: dict[str, PersistentVolumeClaim]
    """Those that are there, by name."""


def claim_name(pod: Pod, volume: Volume) -> str:
    return f"{pod.metadata.name}-{volume.name}"


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    pod = listers.get(POD, key.name, key.namespace)
    if pod is None or pod.metadata.deletion_timestamp is not None:
        return None
    names = [claim_name(pod, volume) for volume in pod.spec.volumes if volume.ephemeral is not None]
    if not names:
        return None
    found = (listers.get(PERSISTENTVOLUMECLAIM, name, key.namespace) for name in names)
    return World(pod, {claim.metadata.name: claim for claim in found if claim is not None})


def plan(_key: Key, world: World) -> Sequence[Action]:
    actions: list[Action] = []
    for volume in world.pod.spec.volumes:
        if volume.ephemeral is None:
            continue
        known = world.claims.get(claim_name(world.pod, volume))
        if known is None:
            actions.append(_creation(world.pod, volume))
        else:
            owner, where = controller_of(known), world.pod.metadata
            if owner is None or owner.uid != where.uid:
                text = (
                    f"ephemeral volume {volume.name}: PVC {where.namespace}/{known.metadata.name} was not created for "
                )
                text += f"pod {where.namespace}/{where.name} (pod is not owner)"
                actions.append(Event(world.pod, "Warning", "FailedBinding", text))
    return actions


def _creation(pod: Pod, volume: Volume) -> Create:
    claim: PersistentVolumeClaim = new(PERSISTENTVOLUMECLAIM, claim_name(pod, volume), pod.metadata.namespace)
    template = volume.ephemeral.volume_claim_template if volume.ephemeral is not None else None
    if template is not None:
        claim.metadata.labels = dict(template.metadata.labels)
        claim.metadata.annotations = dict(template.metadata.annotations)
        claim.spec = copy_of(template.spec)
    claim.metadata.owner_references = [owner_reference(POD, pod)]
    failed = f"ephemeral volume {volume.name}: create PVC {claim.metadata.name}: {{error}}"
    return Create(PERSISTENTVOLUMECLAIM, claim, Report(pod, failed_reason="FailedBinding", failed=failed))


def _has_ephemeral(_old: Pod | None, new_: Pod | None) -> bool:
    return new_ is not None and any(volume.ephemeral is not None for volume in new_.spec.volumes)


def _is_gone(_old: PersistentVolumeClaim | None, new_: PersistentVolumeClaim | None) -> bool:
    return new_ is None


def _users(listers: Listers, claim: PersistentVolumeClaim) -> Iterable[Key]:
    return controller_key(POD)(listers, claim)


SPEC = ControllerSpec(
    name="ephemeral-volume-controller",
    alias="ephemeral-volume",
    component="ephemeral_volume",
    primary=POD,
    read=read,
    plan=plan,
    watches=(Watch(POD, when=_has_ephemeral), Watch(PERSISTENTVOLUMECLAIM, _users, when=_is_gone)),
    metrics=(CREATED, NOT_CREATED),
    measure=measure_ephemeral,
)
