"""What the controllers of storage share: when a volume suits a claim, and what binds them.

Source: component-helpers/storage/volume/pv_helpers.go, pkg/controller/volume/persistentvolume/{index,pv_controller}.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.api.kinds import PERSISTENTVOLUMECLAIM
from tiphys.api.kinds.core.claim_validation import CLASS_ANNOTATION
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolume import class_of as class_of_volume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.kinds.storage.storageclass import StorageClass, is_default
from tiphys.api.labels import NOTHING, selector_of
from tiphys.base import quantity

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
WAIT = "WaitForFirstConsumer"
STORAGE = "storage"


def class_of_claim(claim: PersistentVolumeClaim) -> str:
    """The storage class; empty: none."""
    noted = claim.metadata.annotations.get(CLASS_ANNOTATION)
    return noted if noted is not None else claim.spec.storage_class_name or ""


def has_class(claim: PersistentVolumeClaim) -> bool:
    """Whether the user said which class, be it none."""
    return CLASS_ANNOTATION in claim.metadata.annotations or claim.spec.storage_class_name is not None


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """Of several default classes the youngest counts, and of equally young the first by name."""
    found = sorted((each for each in classes if is_default(each)), key=lambda each: each.metadata.name)
    return max(found, key=lambda each: each.metadata.creation_timestamp or "", default=None)


def is_bound_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume names the claim, perhaps without its UID."""
    reference, metadata = volume.spec.claim_ref, claim.metadata
    if reference is None or (reference.namespace, reference.name) != (metadata.namespace, metadata.name):
        return False
    return reference.uid in ("", metadata.uid)


def reference_to(claim: PersistentVolumeClaim) -> ObjectReference:
    metadata = claim.metadata
    return ObjectReference(
        kind="PersistentVolumeClaim",
        api_version=PERSISTENTVOLUMECLAIM.api_version,
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
    )


def why_unsuitable(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why the volume that a claim names cannot be bound to it, in upstream's words; empty: it can."""
    if volume.metadata.deletion_timestamp is not None:
        return f'the volume is marked for deletion "{volume.metadata.name}"'
    if capacity(volume) < request(claim):
        return "requested PV is too small"
    if class_of_volume(volume) != class_of_claim(claim):
        return "storageClassName does not match"
    if (volume.spec.volume_attributes_class_name or "") != (claim.spec.volume_attributes_class_name or ""):
        return "volumeAttributesClassName does not match"
    if not same_mode(volume, claim):
        return "incompatible volumeMode"
    if not set(claim.spec.access_modes) <= set(volume.spec.access_modes):
        return "incompatible accessMode"
    return ""


def best_volume(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], *, delayed: bool
) -> PersistentVolume | None:
    """The volume that is bound to the claim already, else the one with the fewest access modes, then the smallest.

    Where binding is `delayed`, only the first: the scheduler chooses among the others.
    """
    found: list[PersistentVolume] = []
    selector = None
    if claim.spec.selector is not None:
        try:
            selector = selector_of(claim.spec.selector)
        except ValueError:
            selector = NOTHING
    for volume in volumes:
        if volume.spec.claim_ref is not None and not is_bound_to(volume, claim):
            continue
        attributes = (volume.spec.volume_attributes_class_name or "", claim.spec.volume_attributes_class_name or "")
        if not same_mode(volume, claim) or attributes[0] != attributes[1]:
            continue
        if capacity(volume) < request(claim) or volume.metadata.deletion_timestamp is not None:
            continue
        if not set(claim.spec.access_modes) <= set(volume.spec.access_modes):
            continue
        if is_bound_to(volume, claim):
            return volume
        if delayed or volume.status.phase != "Available" or class_of_volume(volume) != class_of_claim(claim):
            continue
        if selector is None or selector.matches(volume.metadata.labels):
            found.append(volume)
    return min(found, key=lambda each: (len(each.spec.access_modes), capacity(each), each.metadata.name), default=None)


def same_mode(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return (volume.spec.volume_mode or "Filesystem") == (claim.spec.volume_mode or "Filesystem")


def capacity(volume: PersistentVolume) -> int:
    """In bytes."""
    return _bytes(volume.spec.capacity.get(STORAGE))


def request(claim: PersistentVolumeClaim) -> int:
    """In bytes."""
    return _bytes(claim.spec.resources.requests.get(STORAGE))


def _bytes(amount: str | None) -> int:
    return quantity.value(amount) if amount else 0
