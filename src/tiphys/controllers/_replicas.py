"""Keeps as many pods alive as somebody asks for: what ReplicaSet and ReplicationController share.

Source: pkg/controller/replicaset/replica_set.go, replica_set_utils.go; pkg/controller/replication/conversion.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.kind import Kind
from tiphys.api.kinds import POD
from tiphys.api.kinds.apps.replicaset import ReplicaSetCondition
from tiphys.api.kinds.core.pod.facts import is_available, is_ready, is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.replicationcontroller import ReplicationControllerCondition
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import rfc3339
from tiphys.controllers._actions import Action, Create, Delete, Report, RequeueAfter, UpdateStatus
from tiphys.controllers._claims import claim
from tiphys.controllers._pods import (
    ORPHANS,
    first_to_delete,
    is_active,
    refusal,
    selecting,
    selector_in,
    until_available_s,
)
from tiphys.controllers._spec import Key, Listers, controller_key
from tiphys.controllers._template import pod_from_template

BURST = 500
"""Pods made or deleted in one plan, at most."""
FAILURE = "ReplicaFailure"


@dataclass(frozen=True)
class World:
    kind: Kind[Any]
    owner: Any
    """A ReplicaSet or ReplicationController."""
    pods: tuple[Pod, ...]
    """Those it controls, and the orphans of its namespace."""
    related: tuple[Pod, ...]
    """Pods of all replica sets of the same controller: scaling down evens them out over nodes."""
    now: datetime


def reader(kind: Kind[Any]) -> Callable[[Listers, Key, datetime], World | None]:
    """The `read` of the controller of `kind`."""

    def read(listers: Listers, key: Key, now: datetime) -> World | None:
        obj = listers.get(kind, key.name, key.namespace)
        if obj is None:
            return None
        owned = tuple(listers.owned(POD, obj))
        orphans = tuple(listers.indexed(POD, ORPHANS.name, key.namespace))
        owner = controller_of(obj)
        related = owned
        if owner is not None:
            siblings = listers.indexed(kind, "owner", owner.uid)
            related = tuple(pod for sibling in siblings for pod in listers.owned(POD, sibling))
        return World(kind, obj, (*owned, *orphans), related, now)

    return read


def plan(_key: Key, world: World) -> Sequence[Action]:
    owner, wanted = world.owner, world.owner.spec.replicas
    if (refused := refusal(owner)) is not None:
        return [refused]
    alive = [pod for pod in world.pods if is_active(pod)]
    claimed = claim(POD, world.kind, owner, selector_in(owner), alive)
    active: tuple[Pod, ...] = claimed.owned
    actions: list[Action] = [*claimed.actions]
    wanted = 1 if wanted is None else wanted
    missing = wanted - len(active)
    if owner.metadata.deletion_timestamp is None and missing:
        failed = WhenFailing(world, active, "FailedCreate" if missing > 0 else "FailedDelete")
        if missing > 0:
            actions += [_creation(world, failed) for _ in range(min(missing, BURST))]
        else:
            victims = first_to_delete(active, world.related, world.now)[: min(-missing, BURST)]
            actions += [_deletion(owner, pod, failed) for pod in victims]
    status = _status(world, active)
    if status != owner.status:
        actions.append(_status_update(world, status))
    if (wait_s := until_available_s(active, owner.spec.min_ready_seconds, world.now)) is not None:
        actions.append(RequeueAfter(wait_s))
    return actions


def _creation(world: World, failed: WhenFailing) -> Create:
    owner = world.owner
    report = Report(owner, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}")
    return Create(POD, pod_from_template(owner.spec.template, world.kind, owner), report, on_failure=failed)


def _deletion(owner: Any, pod: Pod, failed: WhenFailing) -> Delete:
    report = Report(owner, "SuccessfulDelete", "Deleted pod: {name}", "FailedDelete", "Error deleting: {error}")
    metadata = pod.metadata
    return Delete(POD, metadata.name, metadata.namespace, metadata.uid, report=report, on_failure=failed)


# --- status


def _status(world: World, active: Sequence[Pod], failure: tuple[str, str] | None = None) -> Any:
    """`failure`: reason and message of the condition ReplicaFailure, if pods could not be made or deleted."""
    owner = world.owner
    template = owner.spec.template
    labels = template.metadata.labels.items() if template is not None else {}.items()
    ready = [pod for pod in active if is_ready(pod)]
    status = copy_of(owner.status)
    status.replicas = len(active)
    status.fully_labeled_replicas = sum(labels <= pod.metadata.labels.items() for pod in active)
    status.ready_replicas = len(ready)
    minimum_s = owner.spec.min_ready_seconds
    status.available_replicas = (
        sum(is_available(pod, minimum_s, world.now) for pod in ready) if minimum_s else len(ready)
    )
    status.observed_generation = owner.metadata.generation
    if hasattr(status, "terminating_replicas"):
        ending = [pod for pod in world.pods if _is_terminating(pod) and _is_controlled_by(pod, owner.metadata.uid)]
        status.terminating_replicas = len(ending)
    known = [condition for condition in status.conditions if condition.type == FAILURE]
    status.conditions = [condition for condition in status.conditions if condition.type != FAILURE]
    if failure is not None:
        status.conditions.append(known[0] if known else _condition(world, *failure))
    return status


def _condition(world: World, reason: str, message: str) -> Any:
    kind = ReplicaSetCondition if world.kind.group else ReplicationControllerCondition
    return kind(type=FAILURE, status="True", last_transition_time=rfc3339(world.now), reason=reason, message=message)


def _status_update(world: World, status: Any) -> UpdateStatus:
    changed = copy_of(world.owner)
    changed.status = status
    return UpdateStatus(world.kind, changed)


@dataclass(frozen=True)
class WhenFailing:
    """Shows in the status that pods could not be made or deleted."""

    world: World
    active: tuple[Pod, ...]
    reason: str

    def __call__(self, error: ApiError) -> Sequence[Action]:
        status = _status(self.world, self.active, (self.reason, error.message))
        return () if status == self.world.owner.status else (_status_update(self.world, status),)


def _is_terminating(pod: Pod) -> bool:
    return not is_terminal(pod) and pod.metadata.deletion_timestamp is not None


def _is_controlled_by(pod: Pod, uid: str) -> bool:
    owner = controller_of(pod)
    return owner is not None and owner.uid == uid


# --- what wakes one


def keys_of_pod(kind: Kind[Any]) -> Callable[[Listers, Pod], Iterable[Key]]:
    """The owner of `kind` that controls the pod, or those that could adopt it."""
    controlling = controller_key(kind)

    def keys(listers: Listers, pod: Pod) -> Iterable[Key]:
        return controlling(listers, pod) if controller_of(pod) is not None else selecting(listers, kind, pod)

    return keys
