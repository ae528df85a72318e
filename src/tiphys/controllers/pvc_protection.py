"""Lets a claim go only when no pod on a node uses it.

Woken by: claims; pods that go. Writes: the finalizer `kubernetes.io/pvc-protection` of claims.
Races: a pod may be bound that our copy does not show yet, so the pods of the namespace are looked at live before the
finalizer is taken away. A pod that is bound later is harmless: kubelets start nothing whose claim is being deleted.
Source: pkg/controller/volume/pvcprotection/pvc_protection_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tiphys.api.kinds import PERSISTENTVOLUMECLAIM, POD
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.schema import copy_of
from tiphys.client.interface import Client
from tiphys.controllers._actions import Action, Update
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch

FINALIZER = "kubernetes.io/pvc-protection"


@dataclass(frozen=True)
class World:
    claim: PersistentVolumeClaim
    used: bool


def _claims(pod: Pod) -> Iterator[str]:
    """Names of the claims that the pod's volumes are, or would be made as."""
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield volume.persistent_volume_claim.claim_name
        elif volume.ephemeral is not None:
            yield f"{pod.metadata.name}-{volume.name}"


def _uses(pod: Pod, claim: PersistentVolumeClaim) -> bool:
    if not pod.spec.node_name:
        return False
    name, metadata = claim.metadata.name, pod.metadata
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None and volume.persistent_volume_claim.claim_name == name:
            return True
        if volume.ephemeral is not None and name == f"{metadata.name}-{volume.name}":
            owner = controller_of(claim)
            shut_down = metadata.deletion_timestamp is not None and metadata.deletion_grace_period_seconds == 0
            if owner is not None and owner.uid == metadata.uid and not shut_down:
                return True
    return False


def _ends(old: Pod | None, new: Pod | None) -> bool:
    return (
        new is None
        or new.metadata.deletion_timestamp is not None
        or (old is not None and old.metadata.uid != new.metadata.uid)
    )


def _claim_keys(_listers: Listers, pod: Pod) -> Iterable[Key]:
    return (Key(pod.metadata.namespace, name) for name in _claims(pod))


BY_CLAIM = Index(POD, "claim", lambda pod: (f"{pod.metadata.namespace}/{name}" for name in _claims(pod)))


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    claim = listers.get(PERSISTENTVOLUMECLAIM, key.name, key.namespace)
    if claim is None or (claim.metadata.deletion_timestamp is None) == (FINALIZER in claim.metadata.finalizers):
        return None
    return World(claim, any(_uses(pod, claim) for pod in listers.indexed(POD, BY_CLAIM.name, str(key))))


async def observe(client: Client, key: Key, world: World) -> World:
    if world.used or world.claim.metadata.deletion_timestamp is None:
        return world
    pods = await client.list(POD, key.namespace)
    return replace(world, used=any(_uses(pod, world.claim) for pod in pods.items))


def plan(_key: Key, world: World) -> Sequence[Action]:
    claim = copy_of(world.claim)
    metadata = claim.metadata
    if metadata.deletion_timestamp is None:
        metadata.finalizers = [*metadata.finalizers, FINALIZER]
    elif world.used:
        return ()
    else:
        metadata.finalizers = [each for each in metadata.finalizers if each != FINALIZER]
    return [Update(PERSISTENTVOLUMECLAIM, claim)]


SPEC = ControllerSpec(
    name="persistentvolumeclaim-protection-controller",
    alias="pvc-protection",
    primary=PERSISTENTVOLUMECLAIM,
    read=read,
    observe=observe,
    plan=plan,
    watches=(Watch(POD, _claim_keys, _ends),),
    indexes=(BY_CLAIM,),
)
