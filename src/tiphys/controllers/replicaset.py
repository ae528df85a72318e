"""Keeps as many pods alive as a ReplicaSet asks for.

Woken by: replica sets; pods that one controls, and orphans that one could adopt. Writes: pods (create, delete, owner
references), the replica set's status.
Races: a second pod for the same gap is prevented by the runtime, which plans a key again only when the cache shows its
last writes; adoption looks at the live replica set; deletion names the UID. Pods are created in growing batches, so
that a full quota costs one refusal. What fails is shown in the condition ReplicaFailure.
Source: pkg/controller/replicaset/replica_set.go, replica_set_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.errors import ApiError
from tiphys.api.kinds import POD, REPLICASET
from tiphys.api.kinds.apps.replicaset import ReplicaSet, ReplicaSetCondition, ReplicaSetStatus
from tiphys.api.kinds.core.pod.facts import is_available, is_ready, is_terminal, ready_condition
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.controllers._actions import Action, Create, Delete, Report, RequeueAfter, UpdateStatus
from tiphys.controllers._claims import claim
from tiphys.controllers._pods import ORPHANS, first_to_delete, is_active, label_pairs
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch, controller_key
from tiphys.controllers._template import pod_from_template

BURST = 500
"""Pods made or deleted in one plan, at most."""
FAILURE = "ReplicaFailure"


@dataclass(frozen=True)
class World:
    replica_set: ReplicaSet
    pods: tuple[Pod, ...]
    """Those it controls, and the orphans of its namespace."""
    related: tuple[Pod, ...]
    """Pods of all replica sets of the same controller: scaling down evens them out over nodes."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    replica_set = listers.get(REPLICASET, key.name, key.namespace)
    if replica_set is None:
        return None
    owned = tuple(listers.owned(POD, replica_set))
    orphans = tuple(listers.indexed(POD, ORPHANS.name, key.namespace))
    owner = controller_of(replica_set)
    related = owned
    if owner is not None:
        siblings = listers.indexed(REPLICASET, "owner", owner.uid)
        related = tuple(pod for sibling in siblings for pod in listers.owned(POD, sibling))
    return World(replica_set, (*owned, *orphans), related, now)


def plan(_key: Key, world: World) -> Sequence[Action]:
    replica_set, wanted = world.replica_set, world.replica_set.spec.replicas
    selector = selector_of(replica_set.spec.selector)
    claimed = claim(POD, REPLICASET, replica_set, selector, [pod for pod in world.pods if is_active(pod)])
    active: tuple[Pod, ...] = claimed.owned
    actions: list[Action] = [*claimed.actions]
    wanted = 1 if wanted is None else wanted
    missing = wanted - len(active)
    if replica_set.metadata.deletion_timestamp is None and missing:
        failed = WhenFailing(world, active, "FailedCreate" if missing > 0 else "FailedDelete")
        if missing > 0:
            actions += [_creation(replica_set, failed) for _ in range(min(missing, BURST))]
        else:
            victims = first_to_delete(active, world.related, world.now)[: min(-missing, BURST)]
            actions += [_deletion(replica_set, pod, failed) for pod in victims]
    status = _status(world, active)
    if status != replica_set.status:
        actions.append(_status_update(replica_set, status))
    if (wait_s := _until_available_s(replica_set, active, world.now)) is not None:
        actions.append(RequeueAfter(wait_s))
    return actions


def _creation(replica_set: ReplicaSet, failed: WhenFailing) -> Create:
    report = Report(replica_set, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}")
    pod = pod_from_template(replica_set.spec.template, REPLICASET, replica_set)
    return Create(POD, pod, report, on_failure=failed)


def _deletion(replica_set: ReplicaSet, pod: Pod, failed: WhenFailing) -> Delete:
    report = Report(replica_set, "SuccessfulDelete", "Deleted pod: {name}", "FailedDelete", "Error deleting: {error}")
    metadata = pod.metadata
    return Delete(POD, metadata.name, metadata.namespace, metadata.uid, report=report, on_failure=failed)


# --- status


def _status(world: World, active: Sequence[Pod], failure: ReplicaSetCondition | None = None) -> ReplicaSetStatus:
    replica_set = world.replica_set
    uid = replica_set.metadata.uid
    template_labels = replica_set.spec.template.metadata.labels.items()
    ready = [pod for pod in active if is_ready(pod)]
    minimum_s = replica_set.spec.min_ready_seconds
    terminating = [pod for pod in world.pods if _is_terminating(pod) and _is_controlled_by(pod, uid)]
    conditions = [condition for condition in replica_set.status.conditions if condition.type != FAILURE]
    if failure is not None:
        known = [condition for condition in replica_set.status.conditions if condition.type == FAILURE]
        conditions.append(known[0] if known else failure)
    return ReplicaSetStatus(
        replicas=len(active),
        fully_labeled_replicas=sum(template_labels <= pod.metadata.labels.items() for pod in active),
        ready_replicas=len(ready),
        available_replicas=sum(is_available(pod, minimum_s, world.now) for pod in ready),
        terminating_replicas=len(terminating),
        observed_generation=replica_set.metadata.generation,
        conditions=conditions,
    )


def _status_update(replica_set: ReplicaSet, status: ReplicaSetStatus) -> UpdateStatus:
    changed = copy_of(replica_set)
    changed.status = status
    return UpdateStatus(REPLICASET, changed)


@dataclass(frozen=True)
class WhenFailing:
    """Shows in the status that pods could not be made or deleted."""

    world: World
    active: tuple[Pod, ...]
    reason: str

    def __call__(self, error: ApiError) -> Sequence[Action]:
        condition = ReplicaSetCondition(
            type=FAILURE,
            status="True",
            last_transition_time=rfc3339(self.world.now),
            reason=self.reason,
            message=error.message,
        )
        status = _status(self.world, self.active, condition)
        if status == self.world.replica_set.status:
            return ()
        return (_status_update(self.world.replica_set, status),)


def _is_terminating(pod: Pod) -> bool:
    return not is_terminal(pod) and pod.metadata.deletion_timestamp is not None


def _is_controlled_by(pod: Pod, uid: str) -> bool:
    owner = controller_of(pod)
    return owner is not None and owner.uid == uid


def _until_available_s(replica_set: ReplicaSet, active: Iterable[Pod], now: datetime) -> float | None:
    """When the next ready pod has been ready for long enough; None when none is on its way."""
    minimum_s = replica_set.spec.min_ready_seconds
    if minimum_s <= 0:
        return None
    waits_s = []
    for pod in active:
        condition = ready_condition(pod)
        if is_ready(pod) and not is_available(pod, minimum_s, now) and condition and condition.last_transition_time:
            waits_s.append(minimum_s - (now - parse_rfc3339(condition.last_transition_time)).total_seconds())
    return max(0.0, min(waits_s)) + 0.001 if waits_s else None


# --- what wakes a replica set


def _keys_of_pod(listers: Listers, pod: Pod) -> Iterable[Key]:
    if controller_of(pod) is not None:
        yield from controller_key(REPLICASET)(listers, pod)
        return
    namespace, labels = pod.metadata.namespace, pod.metadata.labels
    for pair in (*label_pairs(namespace, labels), namespace):
        if listers.count(REPLICASET, _BY_SELECTOR.name, pair):
            for replica_set in listers.indexed(REPLICASET, _BY_SELECTOR.name, pair):
                if selector_of(replica_set.spec.selector).matches(labels):
                    yield Key(namespace, replica_set.metadata.name)


def _selector_pair(replica_set: ReplicaSet) -> Iterable[str]:
    """One label that all pods of the set bear; a selector of expressions alone is filed under its namespace."""
    namespace, selector = replica_set.metadata.namespace, replica_set.spec.selector
    return label_pairs(namespace, selector.match_labels if selector is not None else {})[:1] or (namespace,)


_BY_SELECTOR = Index(REPLICASET, "selector", _selector_pair)


SPEC = ControllerSpec(
    name="replicaset-controller",
    alias="replicaset",
    primary=REPLICASET,
    read=read,
    plan=plan,
    watches=(Watch(POD, _keys_of_pod),),
    indexes=(ORPHANS, _BY_SELECTOR),
    workers=5,
)
