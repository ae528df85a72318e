"""Deletes what has lost all its owners, and carries out foreground and orphaning deletion.

Woken by: an object of any kind that has owners or is being deleted; the dependents and the owners of one that goes, and
the owners that one no longer has.
Writes: deletions, owner references, the finalizers `foregroundDeletion` and `orphan`.

An owner is *solid* (it exists), *absent*, or *waiting* (in foreground deletion, until its dependents are gone). With a
solid owner an object stays and loses its other references; without one it is deleted, in the foreground itself when a
waiting owner must not go before the object's own dependents.
Races: our copy may not know a new owner yet, so that an owner is absent is made sure by a live look before anything is
deleted for it. Owners are looked for only in the dependent's own namespace (or among cluster-wide kinds): a reference
across namespaces counts as absent and is reported (OwnerRefInvalidNamespace). Cycles in foreground deletion are broken
by making the references non-blocking.
Source: pkg/controller/garbagecollector/{garbagecollector,graph_builder}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from tiphys.api.kind import Kind
from tiphys.api.kinds import STORED_KINDS
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.types import OwnerReference
from tiphys.client.interface import Propagation
from tiphys.controllers._actions import Action, Delete, Event, Gone, Patch
from tiphys.controllers._claims import without_owners
from tiphys.controllers._spec import ControllerSpec, CustomPart, Index, Listers, Watch

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
COLLECTED: tuple[Kind[Any], ...] = tuple(
    kind for kind in STORED_KINDS if {"delete", "list", "watch"} <= set(kind.verbs) and kind.kind != "Event"
)
"""Events have no owners and are many."""

_KIND_OF = {(kind.api_version, kind.kind): kind for kind in COLLECTED}
_OWNERS = "owner-uids"

State = Literal["solid", "absent", "waiting", "unknown"]


class Item(NamedTuple):
    """One object of any kind: the key of this controller."""

    kind: Kind[Any]
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        path = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind.kind} {path}"


@dataclass(frozen=True)
class Owner:
    reference: OwnerReference
    kind: Kind[Any] | None
    state: State
    misplaced: bool = False
    """It exists, but where this object cannot refer to."""


@dataclass(frozen=True)
class World:
    obj: Resource
    owners: tuple[Owner, ...]
    dependents: tuple[tuple[Kind[Any], Resource], ...]
    """Of an object that is being deleted, or one of whose owners waits to be."""


def read(listers: Listers, key: Item, _now: datetime) -> World | None:
    obj = listers.get(key.kind, key.name, key.namespace)
    if obj is None or obj.metadata.uid != key.uid:
        return None
    owners = tuple(_owner(listers, obj, reference) for reference in obj.metadata.owner_references)
    # Only for what goes, or may have to, does it matter what hangs on it: all kinds would have to be asked.
    matter = obj.metadata.deletion_timestamp is not None or any(owner.state == "waiting" for owner in owners)
    return World(obj, owners, tuple(listers.everywhere(_OWNERS, key.uid)) if matter else ())


def _owner(listers: Listers, obj: Resource, reference: OwnerReference) -> Owner:
    kind = _kind_of(listers, reference)
    if kind is None:
        # A kind that we do not know may well exist: nothing is decided on it.
        return Owner(reference, None, "unknown")
    if kind.namespaced and not obj.metadata.namespace:
        return Owner(reference, kind, "unknown", misplaced=True)
    owner = listers.get(kind, reference.name, obj.metadata.namespace if kind.namespaced else "")
    if owner is None or owner.metadata.uid != reference.uid:
        elsewhere = kind.namespaced and any(other.metadata.uid == reference.uid for other in listers.list(kind))
        return Owner(reference, kind, "absent", misplaced=elsewhere)
    going = owner.metadata.deletion_timestamp is not None and FOREGROUND in owner.metadata.finalizers
    return Owner(reference, kind, "waiting" if going else "solid")


def _kind_of(listers: Listers, reference: OwnerReference) -> Kind[Any] | None:
    """A built-in kind, or a custom one in whatever version it is referred to."""
    kind = _KIND_OF.get((reference.api_version, reference.kind))
    if kind is not None:
        return kind
    group = reference.api_version.rpartition("/")[0]
    return next((kind for kind in listers.custom if (kind.group, kind.kind) == (group, reference.kind)), None)


def plan(key: Item, world: World) -> Sequence[Action]:
    metadata = world.obj.metadata
    if metadata.deletion_timestamp is not None:
        if ORPHAN in metadata.finalizers:
            return _orphan(key, world)
        if FOREGROUND in metadata.finalizers:
            return _finish_foreground(key, world)
        return ()
    complaints = [_complaint(key, world.obj, owner) for owner in world.owners if owner.misplaced]
    states = {owner.state for owner in world.owners}
    if "unknown" in states or not states & {"absent", "waiting"}:
        return complaints
    lost = [owner for owner in world.owners if owner.state != "solid"]
    gone = tuple(_gone(key, owner) for owner in lost if owner.state == "absent")
    if "solid" in states:
        return [*complaints, without_owners(key.kind, world.obj, [owner.reference.uid for owner in lost], gone)]
    if "waiting" in states and world.dependents:
        unblock = [_unblock(key, world.obj)] if _in_cycle(world) else []
        # After a patch the revision is another; the UID alone then has to say which object is meant.
        revision = "" if unblock else metadata.resource_version
        return [*complaints, *unblock, _deletion(key, revision, "Foreground", gone)]
    return [*complaints, _deletion(key, metadata.resource_version, _policy(world.obj), gone)]


def _deletion(key: Item, revision: str, policy: Propagation, gone: tuple[Gone, ...]) -> Delete:
    return Delete(
        key.kind, key.name, key.namespace, key.uid, resource_version=revision, propagation=policy, guards=gone
    )


def _policy(obj: Resource) -> Propagation:
    """What the object's own finalizers ask for."""
    if ORPHAN in obj.metadata.finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in obj.metadata.finalizers else "Background"


def _gone(key: Item, owner: Owner) -> Gone:
    kind = owner.kind
    if kind is None:
        raise ValueError(f"{key}: an owner of an unknown kind is not absent")
    reference = owner.reference
    return Gone(kind, reference.name, key.namespace if kind.namespaced else "", reference.uid)


def _orphan(key: Item, world: World) -> Sequence[Action]:
    """The owner goes when none of its dependents is seen to name it any more: one that could not be freed would be
    collected. The last one that is freed wakes us again.
    """
    freed = [without_owners(kind, dependent, (key.uid,)) for kind, dependent in world.dependents]
    return freed or [_without_finalizer(key, world.obj, ORPHAN)]


def _finish_foreground(key: Item, world: World) -> Sequence[Action]:
    blocking = any(
        reference.uid == key.uid and reference.block_owner_deletion
        for _, dependent in world.dependents
        for reference in dependent.metadata.owner_references
    )
    return () if blocking else [_without_finalizer(key, world.obj, FOREGROUND)]


def _without_finalizer(key: Item, obj: Resource, finalizer: str) -> Patch:
    left = [name for name in obj.metadata.finalizers if name != finalizer]
    metadata = {"uid": key.uid, "resourceVersion": obj.metadata.resource_version, "finalizers": left}
    return Patch(key.kind, key.name, key.namespace, {"metadata": metadata}, "merge")


def _in_cycle(world: World) -> bool:
    """Whether a dependent, too, waits for its own dependents: then each could wait for the other."""
    return any(
        dependent.metadata.deletion_timestamp is not None and FOREGROUND in dependent.metadata.finalizers
        for _, dependent in world.dependents
    )


def _unblock(key: Item, obj: Resource) -> Patch:
    references = [{"uid": reference.uid, "blockOwnerDeletion": False} for reference in obj.metadata.owner_references]
    return Patch(key.kind, key.name, key.namespace, {"metadata": {"uid": key.uid, "ownerReferences": references}})


def _complaint(key: Item, obj: Resource, owner: Owner) -> Event:
    reference = owner.reference
    who = (
        f"[{reference.api_version}/{reference.kind}, namespace: {key.namespace}, name: {reference.name}, "
        f"uid: {reference.uid}]"
    )
    text = f'ownerRef {who} does not exist in namespace "{key.namespace}"'
    return Event(obj, "Warning", "OwnerRefInvalidNamespace", text)


# --- what wakes an item


def _keys(kind: Kind[Any]) -> Callable[[Listers, Resource], Iterable[Item]]:
    def keys(listers: Listers, obj: Resource) -> Iterable[Item]:
        metadata = obj.metadata
        if not _is_safe(listers, obj):
            yield Item(kind, metadata.namespace, metadata.name, metadata.uid)
        present = listers.get(kind, metadata.name, metadata.namespace)
        references: Iterable[OwnerReference] = metadata.owner_references
        if metadata.deletion_timestamp is None and present is not None and present.metadata.uid == metadata.uid:
            # Owners that it has no more, or does not block any more: one of them may have waited for just that.
            references = [each for each in references if each not in present.metadata.owner_references]
        else:
            for other, dependent in listers.everywhere(_OWNERS, metadata.uid):
                yield Item(other, dependent.metadata.namespace, dependent.metadata.name, dependent.metadata.uid)
        for reference in references:
            owner = _kind_of(listers, reference)
            if owner is not None:
                yield Item(owner, metadata.namespace if owner.namespaced else "", reference.name, reference.uid)

    return keys


def _is_safe(listers: Listers, obj: Resource) -> bool:
    """Nobody deletes it and its owners are there, as with most objects: only what happens to these can change that."""
    if obj.metadata.deletion_timestamp is not None:
        return False
    owners = (_owner(listers, obj, reference) for reference in obj.metadata.owner_references)
    return all(owner.state == "solid" and not owner.misplaced for owner in owners)


def _matters(old: Resource | None, new: Resource | None) -> bool:
    """Most changes (heartbeats, status) have nothing to do with ownership."""
    if old is None or new is None:
        obj = new or old
        return old is not None or (obj is not None and bool(obj.metadata.owner_references or obj.metadata.finalizers))
    before, after = old.metadata, new.metadata
    return (
        before.owner_references != after.owner_references
        or before.finalizers != after.finalizers
        or before.deletion_timestamp != after.deletion_timestamp
        or before.uid != after.uid
    )


def _owner_uids(obj: Resource) -> Iterable[str]:
    return {reference.uid for reference in obj.metadata.owner_references}


SPEC = ControllerSpec(
    name="garbage-collector-controller",
    alias="garbagecollector",
    primary=None,
    read=read,
    plan=plan,
    watches=tuple(Watch(kind, _keys(kind), when=_matters) for kind in COLLECTED),
    indexes=tuple(Index(kind, _OWNERS, _owner_uids) for kind in COLLECTED),
    custom=lambda kind: CustomPart(Watch(kind, _keys(kind), when=_matters), (Index(kind, _OWNERS, _owner_uids),)),
    workers=20,
)
