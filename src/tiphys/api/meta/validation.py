"""What object metadata may say, for every kind; the registry calls it beside the kind's own validation.

Source: staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go,
staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required, too_long
from tiphys.api.kind import Kind
from tiphys.api.meta.types import Condition, LabelSelector, ManagedFieldsEntry, ObjectMeta, OwnerReference

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
MAX_ANNOTATIONS_BYTES = 256 * 1024
_MAX_FIELD_MANAGER = 128
_MAX_SUBRESOURCE = 256
_MAX_REASON, _MAX_MESSAGE = 1024, 32 * 1024
_FIXED = ("name", "namespace", "uid", "creation_timestamp", "deletion_timestamp", "deletion_grace_period_seconds")
_FIXED_WIRE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def each(path: str, value: object, messages: Iterable[str]) -> Iterator[FieldError]:
    """One `Invalid value` per message of a check in `tiphys.api.names`."""
    for message in messages:
        yield invalid(path, value, message)


def non_negative(path: str, value: int) -> Iterator[FieldError]:
    if value < 0:
        yield invalid(path, value, NOT_NEGATIVE)


def immutable(path: str, new: object, old: object) -> Iterator[FieldError]:
    """`field is immutable`, unless both are equal."""
    if new != old:
        yield invalid(path, new, IMMUTABLE)


_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
"""The only finalizers whose names have no domain."""
_ANY_FINALIZER = frozenset({
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "coordination.k8s.io",
    "node.k8s.io", "policy",
})  # fmt: skip
"""Groups whose finalizers need no domain; neither do those of custom objects."""


def validate_meta(kind: Kind[Any], meta: ObjectMeta, old_meta: ObjectMeta | None) -> Iterator[FieldError]:
    """All errors of an object's metadata; with `old_meta`, also of what an update may not change.

    Names must have been generated before. The caller decides whether an update needs a resource version. What stays as
    it was is not looked at again.
    """
    if old_meta is None:
        yield from _name(kind, meta)
        yield from _namespace(kind, meta)
        yield from non_negative("metadata.generation", meta.generation)
    else:
        yield from _unchanged(meta, old_meta)
    if old_meta is None or meta.labels != old_meta.labels:
        yield from validate_labels(meta.labels, "metadata.labels")
    if old_meta is None or meta.annotations != old_meta.annotations:
        yield from validate_annotations(meta.annotations, "metadata.annotations")
    if old_meta is None or meta.owner_references != old_meta.owner_references:
        yield from _owners(meta.owner_references)
    yield from _finalizers(meta.finalizers, qualified=kind.group not in _ANY_FINALIZER and kind.custom is None)
    yield from _managed_fields(meta.managed_fields)


def _name(kind: Kind[Any], meta: ObjectMeta) -> Iterator[FieldError]:
    if meta.generate_name:
        yield from each("metadata.generateName", meta.generate_name, kind.name_rule(meta.generate_name, True))
    if not meta.name:
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from each("metadata.name", meta.name, kind.name_rule(meta.name, False))


def _namespace(kind: Kind[Any], meta: ObjectMeta) -> Iterator[FieldError]:
    if not kind.namespaced:
        if meta.namespace:
            yield forbidden("metadata.namespace", "not allowed on this type")
    elif not meta.namespace:
        yield required("metadata.namespace")
    else:
        yield from each("metadata.namespace", meta.namespace, names.dns_label(meta.namespace))


def _unchanged(meta: ObjectMeta, old: ObjectMeta) -> Iterator[FieldError]:
    if old.deletion_timestamp:
        extra = sorted(set(meta.finalizers) - set(old.finalizers))
        if extra:
            listed = ", ".join(f'"{name}"' for name in extra)
            yield forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}",
            )
    if meta.generation < old.generation:
        yield invalid("metadata.generation", meta.generation, "must not be decremented")
    for attribute, wire in zip(_FIXED, _FIXED_WIRE, strict=True):
        yield from immutable(f"metadata.{wire}", getattr(meta, attribute), getattr(old, attribute))


def validate_labels(labels: dict[str, str], path: str) -> Iterator[FieldError]:
    for key, value in labels.items():
        yield from each(path, key, names.qualified_name(key))
        yield from each(path, value, names.label_value(value))


def validate_annotations(annotations: dict[str, str], path: str) -> Iterator[FieldError]:
    total = 0
    for key, value in annotations.items():
        yield from each(path, key, names.annotation_key(key))
        total += len(key.encode()) + len(value.encode())
    if total > MAX_ANNOTATIONS_BYTES:
        yield too_long(path, MAX_ANNOTATIONS_BYTES)


def _owners(owners: list[OwnerReference]) -> Iterator[FieldError]:
    path = "metadata.ownerReferences"
    first_controller = ""
    for owner in owners:
        yield from _owner(owner, path)
        if owner.controller:
            current = f"{owner.kind}/{owner.name}"
            if first_controller:
                yield invalid(
                    path,
                    owners,
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{first_controller} and {current}",
                )
            else:
                first_controller = current


def _owner(owner: OwnerReference, path: str) -> Iterator[FieldError]:
    version = owner.api_version.rpartition("/")[2]
    if not version:
        yield invalid(f"{path}.apiVersion", owner.api_version, "version must not be empty")
    for attribute in ("kind", "name", "uid"):
        if not getattr(owner, attribute):
            yield invalid(f"{path}.{attribute}", "", "must not be empty")
    if owner.api_version == "v1" and owner.kind == "Event":
        yield invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner")


def _finalizers(finalizers: list[str], *, qualified: bool) -> Iterator[FieldError]:
    path = "metadata.finalizers"
    for index, finalizer in enumerate(finalizers):
        yield from each(path, finalizer, names.qualified_name(finalizer))
        if qualified and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid(f"{path}[{index}]", finalizer, why)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        yield invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set")


def _managed_fields(entries: list[ManagedFieldsEntry]) -> Iterator[FieldError]:
    for index, entry in enumerate(entries):
        path = f"metadata.managedFields[{index}]"
        if entry.operation not in ("Apply", "Update"):
            yield invalid(f"{path}.operation", entry.operation, "must be `Apply` or `Update`")
        if entry.fields_type not in ("", "FieldsV1"):
            yield invalid(f"{path}.fieldsType", entry.fields_type, "must be `FieldsV1`")
        yield from validate_field_manager(entry.manager, f"{path}.manager")
        if len(entry.subresource) > _MAX_SUBRESOURCE:
            yield too_long(f"{path}.subresource", _MAX_SUBRESOURCE)


def validate_field_manager(manager: str, path: str = "fieldManager") -> Iterator[FieldError]:
    """At most 128 bytes, all printable."""
    if len(manager.encode()) > _MAX_FIELD_MANAGER:
        yield too_long(path, _MAX_FIELD_MANAGER)
    if manager.isprintable():
        return
    for position, char in enumerate(manager):
        if not char.isprintable():
            yield invalid(path, manager, f"invalid character U+{ord(char):04X} (at position {position})")


def validate_selector(selector: LabelSelector | None, path: str) -> Iterator[FieldError]:
    """A label selector inside an object; None has no errors."""
    if selector is None:
        return
    yield from validate_labels(selector.match_labels, f"{path}.matchLabels")
    for index, requirement in enumerate(selector.match_expressions):
        at = f"{path}.matchExpressions[{index}]"
        if requirement.operator in ("In", "NotIn"):
            if not requirement.values:
                yield required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif requirement.operator in ("Exists", "DoesNotExist"):
            if requirement.values:
                yield forbidden(f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            yield invalid(f"{at}.operator", requirement.operator, "not a valid selector operator")
        yield from each(f"{at}.key", requirement.key, names.qualified_name(requirement.key))
        for position, value in enumerate(requirement.values):
            yield from each(f"{at}.values[{position}]", value, names.label_value(value))


def validate_conditions(conditions: list[Condition], path: str) -> Iterator[FieldError]:
    """Conditions of the common shape (metav1.Condition)."""
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at = f"{path}[{index}]"
        if condition.type in seen:
            yield duplicate(f"{at}.type", condition.type)
        seen.add(condition.type)
        yield from each(f"{at}.type", condition.type, names.qualified_name(condition.type))
        if condition.status not in ("True", "False", "Unknown"):
            yield not_supported(f"{at}.status", condition.status, ("True", "False", "Unknown"))
        if condition.observed_generation < 0:
            yield invalid(
                f"{at}.observedGeneration", condition.observed_generation, "must be greater than or equal to zero"
            )
        if not condition.last_transition_time:
            yield required(f"{at}.lastTransitionTime")
        if not condition.reason:
            yield required(f"{at}.reason")
        elif len(condition.reason) > _MAX_REASON:
            yield too_long(f"{at}.reason", _MAX_REASON)
        if len(condition.message.encode()) > _MAX_MESSAGE:
            yield too_long(f"{at}.message", _MAX_MESSAGE)
