"""What is to be done for one claim. Source: pkg/controller/volume/persistentvolume/pv_controller.go (syncClaim)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim, PersistentVolumeClaimStatus
from tiphys.api.kinds.storage.storageclass import StorageClass
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, Event, Update, UpdateStatus
from tiphys.controllers._volumes import (
    BETA_PROVISIONER,
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    PROVISIONER,
    SELECTED_NODE,
    STORAGE,
    WAIT,
    best_volume,
    class_of_claim,
    has_class,
    is_bound_to,
    reference_to,
    why_unsuitable,
)

LOST_REFERENCE = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
LOST_VOLUME = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"
NOTHING_THERE = "no persistent volumes available for this claim and no storage class is set"


@dataclass(frozen=True)
class ClaimWorld:
    claim: PersistentVolumeClaim
    named: PersistentVolume | None
    """The volume that the claim names."""
    volumes: tuple[PersistentVolume, ...]
    """Those that could serve, where the claim names none."""
    storage_class: StorageClass | None
    """The claim's."""
    default_class: StorageClass | None
    waiting: tuple[str, ...]
    """Pods that use the claim and have no node."""


def plan_claim(world: ClaimWorld) -> Sequence[Action]:
    if BIND_COMPLETED in world.claim.metadata.annotations:
        return _plan_bound(world)
    if world.claim.spec.volume_name:
        return _plan_named(world)
    return _plan_unbound(world)


def _plan_bound(world: ClaimWorld) -> Sequence[Action]:
    claim, volume = world.claim, world.named
    if not claim.spec.volume_name:
        return _lost(claim, "ClaimLost", LOST_REFERENCE)
    if volume is None:
        return _lost(claim, "ClaimLost", LOST_VOLUME)
    if volume.spec.claim_ref is None or volume.spec.claim_ref.uid == claim.metadata.uid:
        return _bind(claim, volume)
    return _lost(claim, "ClaimMisbound", MISBOUND)


def _plan_named(world: ClaimWorld) -> Sequence[Action]:
    claim, volume = world.claim, world.named
    if volume is None:
        return _pending(claim)
    if volume.spec.claim_ref is None:
        problem = why_unsuitable(volume, claim)
        if problem:
            text = f'Cannot bind to requested volume "{volume.metadata.name}": {problem}'
            return [Event(claim, "Warning", "VolumeMismatch", text), *_pending(claim)]
        return _bind(claim, volume)
    if is_bound_to(volume, claim):
        return _bind(claim, volume)
    text = f'volume "{volume.metadata.name}" already bound to a different claim.'
    return [Event(claim, "Warning", "FailedBinding", text), *_pending(claim)]


def _plan_unbound(world: ClaimWorld) -> Sequence[Action]:
    claim = world.claim
    delayed = world.storage_class is not None and world.storage_class.volume_binding_mode == WAIT
    volume = best_volume(claim, world.volumes, delayed=delayed)
    if volume is not None:
        return _bind(claim, volume)
    if not has_class(claim) and world.default_class is not None:
        changed = copy_of(claim)
        changed.spec.storage_class_name = world.default_class.metadata.name
        return [Update(PERSISTENTVOLUMECLAIM, changed)]
    if delayed and SELECTED_NODE not in claim.metadata.annotations:
        return [_waits(claim, world.waiting), *_pending(claim)]
    if class_of_claim(claim):
        return _provision(world)
    return [Event(claim, "Normal", "FailedBinding", NOTHING_THERE), *_pending(claim)]


def _waits(claim: PersistentVolumeClaim, pods: Sequence[str]) -> Event:
    if not pods:
        text = "waiting for first consumer to be created before binding"
        return Event(claim, "Normal", "WaitForFirstConsumer", text)
    who = f"pods {','.join(pods)}" if len(pods) > 1 else f"pod {pods[0]}"
    return Event(claim, "Normal", "WaitForPodScheduled", f"waiting for {who} to be scheduled")


def _provision(world: ClaimWorld) -> Sequence[Action]:
    """Asks whoever makes volumes of the class; the volume, when it comes, names the claim."""
    claim, found = world.claim, world.storage_class
    if found is None:
        text = f'storageclass.storage.k8s.io "{class_of_claim(claim)}" not found'
        return [Event(claim, "Warning", "ProvisioningFailed", text), *_pending(claim)]
    if found.provisioner.startswith("kubernetes.io/"):
        text = f"no volume plugin matched name: {found.provisioner}"
        return [Event(claim, "Warning", "ProvisioningFailed", text), *_pending(claim)]
    notes = claim.metadata.annotations
    if notes.get(PROVISIONER) == found.provisioner:
        return _pending(claim)
    changed = copy_of(claim)
    changed.metadata.annotations[PROVISIONER] = found.provisioner
    changed.metadata.annotations[BETA_PROVISIONER] = found.provisioner
    text = f"Waiting for a volume to be created either by the external provisioner '{found.provisioner}' "
    text += "or manually by the system administrator. If volume creation is delayed, please verify that "
    text += "the provisioner is running and correctly registered."
    return [Update(PERSISTENTVOLUMECLAIM, changed), Event(claim, "Normal", "ExternalProvisioning", text)]


# --- writes


def _bind(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Sequence[Action]:
    """The volume first: its resource version makes sure that nobody else gets it. Then the claim, then its status."""
    writes: list[Action] = []
    wanted = copy_of(volume)
    reference = volume.spec.claim_ref
    if reference is None or reference.uid != claim.metadata.uid or not is_bound_to(volume, claim):
        wanted.spec.claim_ref = reference_to(claim)
        if not is_bound_to(volume, claim):
            wanted.metadata.annotations.setdefault(BOUND_BY_CONTROLLER, "yes")
        writes.append(Update(PERSISTENTVOLUME, wanted))
    changed = copy_of(claim)
    if changed.spec.volume_name != volume.metadata.name:
        changed.spec.volume_name = volume.metadata.name
        changed.metadata.annotations.setdefault(BOUND_BY_CONTROLLER, "yes")
    changed.metadata.annotations.setdefault(BIND_COMPLETED, "yes")
    if changed != claim:
        return [*writes, Update(PERSISTENTVOLUMECLAIM, changed)]
    return [*writes, *_status(claim, "Bound", volume)]


def _pending(claim: PersistentVolumeClaim) -> list[UpdateStatus]:
    return _status(claim, "Pending", None)


def _lost(claim: PersistentVolumeClaim, reason: str, text: str) -> Sequence[Action]:
    writes = _status(claim, "Lost", None)
    return [*writes, Event(claim, "Warning", reason, text)] if writes else ()


def _status(claim: PersistentVolumeClaim, phase: str, volume: PersistentVolume | None) -> list[UpdateStatus]:
    changed = copy_of(claim)
    status: PersistentVolumeClaimStatus = changed.status
    becoming, status.phase = status.phase != phase, phase
    if volume is None:
        status.access_modes, status.capacity, status.current_volume_attributes_class_name = [], {}, None
    else:
        status.access_modes = list(volume.spec.access_modes)
        # Afterwards whoever grows the volume says how large the file system on it is.
        if becoming and STORAGE in volume.spec.capacity:
            status.capacity = {**status.capacity, STORAGE: volume.spec.capacity[STORAGE]}
        if becoming:
            status.current_volume_attributes_class_name = volume.spec.volume_attributes_class_name or None
    return [UpdateStatus(PERSISTENTVOLUMECLAIM, changed)] if changed != claim else []
