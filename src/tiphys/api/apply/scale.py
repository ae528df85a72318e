"""Managed fields of an object as its scale shows them, and back.

A Scale has one field that can be owned, `spec.replicas`; in the object it stands where the kind keeps its count.
Source: staging/src/k8s.io/apimachinery/pkg/util/managedfields/scalehandler.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.apply.fieldset import MEMBER, Fields, difference, is_member
from tiphys.api.apply.managers import Identity, Managed, Owner, decode, encode
from tiphys.api.meta.types import ManagedFieldsEntry

SCALE_VERSION = "autoscaling/v1"
_COUNT: Fields = {"f:spec": {"f:replicas": MEMBER}}


def of_scale(entries: list[ManagedFieldsEntry], path: Sequence[str], api_version: str) -> list[ManagedFieldsEntry]:
    """Who owns the count of an object whose managed fields these are, as managed fields of its scale."""
    managed = decode(entries) or {}
    return encode(
        {
            _in_version(key, SCALE_VERSION): Owner.of(_COUNT, SCALE_VERSION, owner.time)
            for key, owner in managed.items()
            if owner.api_version == api_version and _has(owner.fields, path)
        }
    )


def of_object(
    entries: list[ManagedFieldsEntry], scale: list[ManagedFieldsEntry], path: Sequence[str], api_version: str
) -> list[ManagedFieldsEntry]:
    """The object's managed fields after a write of its scale, whose managed fields are `scale` now."""
    count: Fields = MEMBER
    for name in reversed(path):
        count = {"f:" + name: count}
    left = {_in_version(key, api_version): owner for key, owner in (decode(scale) or {}).items()}
    made: Managed = {}
    for key, owner in (decode(entries) or {}).items():
        if not _has(owner.fields, path) or owner.api_version != api_version:
            made[key] = owner
        elif key in left:
            made[key] = Owner.of(owner.fields, owner.api_version, left.pop(key).time)
        elif (rest := difference(owner.fields, count)) is not None:
            made[key] = Owner.of(rest, owner.api_version, owner.time)
    for key, owner in left.items():
        if _has(owner.fields, ("spec", "replicas")):
            made[key] = Owner.of(count, api_version, owner.time)
    return encode(made)


def _in_version(key: Identity, api_version: str) -> Identity:
    return key if key.operation == "Apply" else key._replace(api_version=api_version)


def _has(fields: Fields, path: Sequence[str]) -> bool:
    node = fields
    for name in path:
        found = node.get("f:" + name)
        if found is None:
            return False
        node = found
    return is_member(node)
