"""Empties namespaces that are being deleted, pods first, and then lets them go.

Woken by: namespaces; the last object of a kind leaving a namespace that ends. Writes: deletions of everything inside,
the namespace's conditions, and its finalizer `kubernetes` at the end.
Races: our copies may lack an object that was created at the last moment, so before the finalizer goes a live look at
every kind must find nothing. Other kinds wait until the pods are gone: a pod may need its secrets and its network
policy to end well (KEP-5080).
Source: pkg/controller/namespace/deletion/namespaced_resources_deleter.go, status_condition_utils.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.kind import Kind
from tiphys.api.kinds import NAMESPACE, POD, STORED_KINDS
from tiphys.api.kinds.core.namespace import Namespace, NamespaceCondition
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import rfc3339
from tiphys.controllers._actions import Action, Delete, DeleteCollection, Empty, RequeueAfter, Update, UpdateStatus
from tiphys.controllers._spec import ControllerSpec, CustomPart, Key, Listers, Watch

FINALIZER = "kubernetes"
RECHECK_S = 5.0
"""How often the counts in the conditions are brought up to date while something remains."""
CONTENT: tuple[Kind[Any], ...] = tuple(kind for kind in STORED_KINDS if kind.namespaced and "delete" in kind.verbs)
"""All that can be in a namespace."""

_FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}
"""The five conditions, with reason and message while nothing is wrong."""


@dataclass(frozen=True)
class World:
    namespace: Namespace
    content: Mapping[Kind[Any], Sequence[Resource]]
    """What is inside, without the kinds that have nothing."""
    now: datetime
    kinds: tuple[Kind[Any], ...] = CONTENT
    """All that could be inside."""


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    namespace = listers.get(NAMESPACE, key.name)
    if namespace is None or namespace.metadata.deletion_timestamp is None:
        return None
    kinds = (*CONTENT, *(kind for kind in listers.custom if kind.namespaced))
    content = {kind: tuple(listers.list(kind, key.name)) for kind in kinds}
    return World(namespace, {kind: objects for kind, objects in content.items() if objects}, now, kinds)


def plan(_key: Key, world: World) -> Sequence[Action]:
    if FINALIZER not in world.namespace.spec.finalizers:
        return ()
    if not world.content:
        return _let_go(world)
    # Of the rest nothing is touched while there are pods.
    turn = [POD] if POD in world.content else list(world.content)
    actions: list[Action] = []
    for kind in turn:
        actions += _deletions(world, kind, world.content[kind])
    conditions = _conditions(world, _remaining(world.content))
    if (update := _status_update(world, conditions)) is not None:
        actions.append(update)
    return [*actions, RequeueAfter(RECHECK_S)]


def _deletions(world: World, kind: Kind[Any], objects: Sequence[Resource]) -> Iterable[Action]:
    left = [obj for obj in objects if obj.metadata.deletion_timestamp is None]
    if not left:
        return
    if "deletecollection" in kind.verbs:
        yield DeleteCollection(kind, world.namespace.metadata.name, on_failure=WhenFailing(world))
        return
    for obj in left:
        metadata = obj.metadata
        yield Delete(kind, metadata.name, metadata.namespace, metadata.uid, on_failure=WhenFailing(world))


def _let_go(world: World) -> Sequence[Action]:
    if any(condition.status == "True" for condition in world.namespace.status.conditions):
        update = _status_update(world, _conditions(world, {}))
        if update is not None:
            return [update]
    changed = copy_of(world.namespace)
    changed.spec.finalizers = [name for name in changed.spec.finalizers if name != FINALIZER]
    return [Update(NAMESPACE, changed, subresource="finalize", guards=(Empty(world.kinds, changed.metadata.name),))]


# --- conditions


def _remaining(content: Mapping[Kind[Any], Sequence[Resource]]) -> dict[str, tuple[str, str]]:
    """Conditions that are True: type -> (reason, message)."""
    counts = sorted(
        f"{kind.plural}.{kind.group} has {len(objects)} resource instances" for kind, objects in content.items()
    )
    found = {
        "NamespaceContentRemaining": ("SomeResourcesRemain", f"Some resources are remaining: {', '.join(counts)}"),
    }
    finalizers = Counter(name for objects in content.values() for obj in objects for name in obj.metadata.finalizers)
    if finalizers:
        texts = sorted(f"{name} in {count} resource instances" for name, count in finalizers.items())
        message = f"Some content in the namespace has finalizers remaining: {', '.join(texts)}"
        found["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", message)
    return found


def _conditions(world: World, wrong: Mapping[str, tuple[str, str]]) -> list[NamespaceCondition]:
    known = {condition.type: condition for condition in world.namespace.status.conditions}
    others = [condition for kind, condition in known.items() if kind not in _FINE]
    conditions = []
    for kind, fine in _FINE.items():
        status = "True" if kind in wrong else "False"
        reason, message = wrong.get(kind, fine)
        before = known.get(kind)
        since = before.last_transition_time if before and before.status == status else rfc3339(world.now)
        conditions.append(
            NamespaceCondition(type=kind, status=status, last_transition_time=since, reason=reason, message=message)
        )
    return [*others, *conditions]


def _status_update(world: World, conditions: list[NamespaceCondition]) -> UpdateStatus | None:
    changed = copy_of(world.namespace)
    changed.status.phase = "Terminating"
    changed.status.conditions = conditions
    return None if changed.status == world.namespace.status else UpdateStatus(NAMESPACE, changed)


@dataclass(frozen=True)
class WhenFailing:
    """Shows in the status that content could not be deleted."""

    world: World

    def __call__(self, error: ApiError) -> Sequence[Action]:
        message = f"Failed to delete all resource types, 1 remaining: {error.message}"
        wrong = _remaining(self.world.content)
        wrong["NamespaceDeletionContentFailure"] = ("ContentDeletionFailed", message)
        update = _status_update(self.world, _conditions(self.world, wrong))
        return () if update is None else (update,)


# --- what wakes a namespace


def _emptied(kind: Kind[Any]) -> Callable[[Listers, Resource], Iterable[Key]]:
    """The namespace of the last object of its kind."""

    def keys(listers: Listers, obj: Resource) -> Iterable[Key]:
        inside = obj.metadata.namespace
        namespace = listers.get(NAMESPACE, inside)
        ends = namespace is not None and namespace.metadata.deletion_timestamp is not None
        if ends and next(iter(listers.list(kind, inside)), None) is None:
            yield Key("", inside)

    return keys


def _left(_old: Resource | None, new: Resource | None) -> bool:
    return new is None


SPEC = ControllerSpec(
    name="namespace-controller",
    alias="namespace",
    primary=NAMESPACE,
    read=read,
    plan=plan,
    watches=tuple(Watch(kind, _emptied(kind), when=_left) for kind in CONTENT),
    custom=lambda kind: CustomPart(Watch(kind, _emptied(kind), when=_left)),
    workers=10,
)
