"""What a PersistentVolumeClaim may say, also as a template in pods and StatefulSets.

Source: pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.kinds.core.checks import difference, quantity_value
from tiphys.api.kinds.core.pod.volumes import PersistentVolumeClaimSpec, PersistentVolumeClaimTemplate
from tiphys.api.kinds.core.references import TypedLocalObjectReference, TypedObjectReference
from tiphys.api.meta.schema import Quantity, copy_of
from tiphys.api.meta.validation import (
    each,
    immutable,
    validate_annotations,
    validate_labels,
    validate_selector,
)
from tiphys.base import quantity

if TYPE_CHECKING:
    from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
STORAGE = "storage"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_SIZE = "resources[storage]"
_POSITIVE = "must be greater than zero"
_IMMUTABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
)
_RESIZE_STATUSES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible",
    "NodeResizePending",
)  # fmt: skip


def validate_access_modes(path: str, modes: list[str], why: str = "") -> Iterator[FieldError]:
    if not modes:
        yield required(path, why)
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield not_supported(path, mode, ACCESS_MODES)
    others = set(modes) & set(ACCESS_MODES) - {"ReadWriteOncePod"}
    if "ReadWriteOncePod" in modes and others:
        yield forbidden(path, "may not use ReadWriteOncePod with other access modes")


def positive(path: str, amount: Quantity) -> Iterator[FieldError]:
    if quantity.parse(amount) <= 0:
        yield invalid(path, amount, _POSITIVE)


def validate_class(path: str, name: str | None) -> Iterator[FieldError]:
    """The name of a storage class or the like, where there is one."""
    if name:
        yield from each(path, name, names.dns_subdomain(name))


def validate_claim_spec(
    spec: PersistentVolumeClaimSpec, path: str, old: PersistentVolumeClaimSpec | None = None
) -> Iterator[FieldError]:
    """`old`: a spec that was accepted before, whose invalid groups of data sources stay acceptable."""
    yield from validate_access_modes(f"{path}.accessModes", spec.access_modes, "at least 1 access mode is required")
    if spec.selector is not None:
        yield from validate_selector(spec.selector, f"{path}.selector")
    size = spec.resources.requests.get(STORAGE)
    if size is None:
        yield required(f"{path}.{_SIZE}")
    else:
        yield from positive(f"{path}.{_SIZE}", size)
    yield from validate_class(f"{path}.storageClassName", spec.storage_class_name)
    if spec.volume_mode is not None and spec.volume_mode not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", spec.volume_mode, VOLUME_MODES)
    yield from _data_sources(spec, path, old)
    yield from validate_class(f"{path}.volumeAttributesClassName", spec.volume_attributes_class_name)


def validate_claim_template(template: PersistentVolumeClaimTemplate, path: str) -> Iterator[FieldError]:
    """The claim of an ephemeral volume: its metadata may have labels and annotations alone."""
    meta = template.metadata
    yield from validate_annotations(meta.annotations, f"{path}.metadata.annotations")
    yield from validate_labels(meta.labels, f"{path}.metadata.labels")
    for name in ("name", "generate_name", "namespace", "uid", "finalizers", "owner_references"):
        if getattr(meta, name):
            yield forbidden(f"{path}.metadata.{name.title().replace('_', '')}", "cannot be set")
    yield from validate_claim_spec(template.spec, f"{path}.spec")


def _data_sources(
    spec: PersistentVolumeClaimSpec, path: str, old: PersistentVolumeClaimSpec | None
) -> Iterator[FieldError]:
    known = old is not None and any(
        source is not None and source.api_group is not None for source in (old.data_source, old.data_source_ref)
    )
    source, reference = spec.data_source, spec.data_source_ref
    if source is not None:
        yield from _data_source(source, f"{path}.dataSource", known)
    if reference is not None:
        yield from _data_source(reference, f"{path}.dataSourceRef", known)
        if reference.namespace:
            yield from each(
                f"{path}.dataSourceRef.namespace", reference.namespace, names.dns_label(reference.namespace)
            )
    if source is None or reference is None:
        return
    if reference.namespace:
        yield invalid(path, f"{path}.dataSource", "may not be specified when dataSourceRef.namespace is specified")
    elif (source.api_group, source.kind, source.name) != (reference.api_group, reference.kind, reference.name):
        yield invalid(path, f"{path}.dataSource", "must match dataSourceRef")


def _data_source(
    source: TypedLocalObjectReference | TypedObjectReference, path: str, known: bool
) -> Iterator[FieldError]:
    for name in ("name", "kind"):
        if not getattr(source, name):
            yield required(f"{path}.{name}")
    if not source.api_group:
        if source.kind != "PersistentVolumeClaim":
            why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            yield invalid(path, source.kind, why)
    elif not known:
        yield from each(f"{path}.apiGroup", source.api_group, names.dns_subdomain(source.api_group))


def validate_claim(claim: PersistentVolumeClaim, old: PersistentVolumeClaim | None) -> Iterator[FieldError]:
    yield from validate_claim_spec(claim.spec, "spec", old.spec if old is not None else None)
    if old is not None:
        yield from _validate_update(claim, old)


def _validate_update(claim: PersistentVolumeClaim, old: PersistentVolumeClaim) -> Iterator[FieldError]:
    new, before = copy_of(claim.spec), copy_of(old.spec)
    if not before.volume_name:
        before.volume_name = new.volume_name
    class_before = old.metadata.annotations.get(CLASS_ANNOTATION)
    class_now = claim.metadata.annotations.get(CLASS_ANNOTATION)
    moved = before.storage_class_name is None and class_before is not None
    if moved and new.storage_class_name == class_before and class_now in (None, class_before):
        new.storage_class_name = None
    else:
        yield from immutable(f"metadata.annotations[{CLASS_ANNOTATION}]", class_now or "", class_before or "")
        if before.storage_class_name is None and class_before in (None, new.storage_class_name):
            new.storage_class_name = None
    if claim.status.phase == "Bound":
        new.volume_attributes_class_name = before.volume_attributes_class_name
        if new.resources.requests:
            new.resources.requests[STORAGE] = before.resources.requests.get(STORAGE, Quantity("0"))
    if new != before:
        yield forbidden("spec", _IMMUTABLE + difference(before, new))
    size, size_before = _storage(claim.spec.resources.requests), _storage(old.spec.resources.requests)
    if size < size_before and size <= _storage(old.status.capacity):
        yield forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    yield from immutable("volumeMode", claim.spec.volume_mode, old.spec.volume_mode)
    wanted = claim.spec.volume_attributes_class_name
    if wanted != old.spec.volume_attributes_class_name and old.status.current_volume_attributes_class_name is not None:
        at, when = "spec.volumeAttributesClassName", "when status.currentVolumeAttributesClassName is not nil"
        if wanted is None:
            yield forbidden(at, f"update to nil is forbidden {when}")
        elif not wanted:
            yield forbidden(at, f"update to empty string is forbidden {when}")


def _storage(amounts: dict[str, Quantity]) -> Fraction:
    return quantity.parse(amounts.get(STORAGE, Quantity("0")))


def validate_claim_status(claim: PersistentVolumeClaim, _old: PersistentVolumeClaim | None) -> Iterator[FieldError]:
    status = claim.status
    if not claim.spec.access_modes:
        yield required("Spec.accessModes")
    for resource, amount in status.capacity.items():
        yield from quantity_value(f"status.capacity[{resource}]", resource, amount)
    for resource, state in status.allocated_resource_statuses.items():
        yield from _resource_key("status.allocatedResourceStatuses", resource)
        if state not in _RESIZE_STATUSES:
            yield not_supported("status.allocatedResourceStatuses", resource, set(_RESIZE_STATUSES))
    for resource, amount in status.allocated_resources.items():
        yield from _resource_key("status.allocatedResources", resource)
        yield from quantity_value(f"status.allocatedResources[{resource}]", resource, amount)


def _resource_key(path: str, resource: str) -> Iterator[FieldError]:
    """Storage, or something with a domain of its own."""
    problems = names.qualified_name(resource)
    yield from each(path, resource, problems)
    domain = resource.partition("/")[0] if "/" in resource else ""
    if not problems and resource != STORAGE and (not domain or domain.endswith("kubernetes.io")):
        yield not_supported(path, resource, (STORAGE,))
