"""Who owns an object: reading and writing `metadata.ownerReferences`.

Source: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/controller_ref.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.types import OwnerReference


def controller_of(obj: Resource) -> OwnerReference | None:
    """The one owner that manages `obj`, if any."""
    for owner in obj.metadata.owner_references:
        if owner.controller:
            return owner
    return None


def owner_reference(kind: Kind[Any], obj: Resource, controller: bool = True) -> OwnerReference:
    """A reference to `obj` for its dependents. As a controller it also blocks foreground deletion of the owner."""
    return OwnerReference(
        api_version=kind.api_version,
        kind=kind.kind,
        name=obj.metadata.name,
        uid=obj.metadata.uid,
        controller=True if controller else None,
        block_owner_deletion=True if controller else None,
    )
