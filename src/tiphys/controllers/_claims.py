"""Whose an object is: adopting what matches, releasing what no longer does.

Source: pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tiphys.api.kind import Kind
from tiphys.api.meta.owners import controller_of, owner_reference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.types import ObjectMeta, OwnerReference
from tiphys.base.selectors import LabelSelector
from tiphys.controllers._actions import Alive, Guard, Patch


@dataclass(frozen=True, slots=True)
class Claim:
    """Who belongs to an owner, and what must be written to make that so."""

    owned: tuple[Any, ...]
    """Objects that are, or with `actions` become, the owner's."""
    actions: tuple[Patch, ...]


def claim(
    kind: Kind[Any], owner_kind: Kind[Any], owner: Resource, selector: LabelSelector, candidates: Iterable[Resource]
) -> Claim:
    """Adopts matching orphans and releases what no longer matches.

    Objects that another controller owns are left alone. An owner that is being deleted adopts nothing, and adoption
    looks at the live owner first: one that is gone in truth but not in our cache must not collect dependents.
    """
    mine = owner.metadata
    owned: list[Resource] = []
    actions: list[Patch] = []
    for obj in candidates:
        reference = controller_of(obj)
        matches = selector.matches(obj.metadata.labels)
        if reference is not None:
            if reference.uid != mine.uid:
                continue
            if matches:
                owned.append(obj)
            elif mine.deletion_timestamp is None:
                actions.append(_release(kind, obj, mine.uid))
        elif matches and mine.deletion_timestamp is None and obj.metadata.deletion_timestamp is None:
            actions.append(adoption(kind, obj, owner_kind, owner))
            owned.append(obj)
    return Claim(tuple(owned), tuple(actions))


def adoption(kind: Kind[Any], obj: Resource, owner_kind: Kind[Any], owner: Resource) -> Patch:
    """Makes `owner` the controller of `obj`, if both are still who they were."""
    reference = _as_json(owner_reference(owner_kind, owner))
    metadata = {"uid": obj.metadata.uid, "ownerReferences": [reference]}
    alive = Alive(owner_kind, owner.metadata.name, owner.metadata.namespace, owner.metadata.uid)
    return Patch(kind, obj.metadata.name, obj.metadata.namespace, {"metadata": metadata}, guards=(alive,))


def _release(kind: Kind[Any], obj: Resource, owner_uid: str) -> Patch:
    return without_owners(kind, obj, (owner_uid,))


def without_owners(kind: Kind[Any], obj: Resource, owner_uids: Sequence[str], guards: tuple[Guard, ...] = ()) -> Patch:
    """Takes these owners from `obj`, and from no successor of its name.

    Custom resources know no strategic patches: there the list is replaced, unless the object changed meanwhile.
    """
    meta = obj.metadata
    if kind.custom is None:
        removals = [{"$patch": "delete", "uid": uid} for uid in owner_uids]
        return Patch(kind, meta.name, meta.namespace, _references(meta, removals), guards=guards)
    left = [msgspec.to_builtins(owner) for owner in meta.owner_references if owner.uid not in owner_uids]
    patch = _references(meta, left)
    patch["metadata"]["resourceVersion"] = meta.resource_version
    return Patch(kind, meta.name, meta.namespace, patch, "merge", guards=guards)


def _references(meta: ObjectMeta, references: list[dict[str, Any]]) -> dict[str, Any]:
    return {"metadata": {"uid": meta.uid, "ownerReferences": references}}


def _as_json(reference: OwnerReference) -> dict[str, Any]:
    return {
        "apiVersion": reference.api_version,
        "kind": reference.kind,
        "name": reference.name,
        "uid": reference.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
