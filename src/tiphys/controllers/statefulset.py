"""Keeps the pods of a StatefulSet: one per ordinal, each with its name and its claims, of the revision it should have.

Woken by: stateful sets; pods that one controls, and orphans that it could adopt; their revisions; claims that go.
Writes: claims (create, owners), pods (create, delete, identity, owner references), revisions, the set's status.
Races: names are fixed, so that a second pod or claim of the same ordinal is refused; a pod is made anew only when its
predecessor is gone from the API, not only from our copy; claims of a pod that was scaled away wait until they are gone.
With OrderedReady, one pod moves at a time: what is not available holds all after it.
Source: pkg/controller/statefulset/{stateful_set,stateful_set_control,stateful_pod_control}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import CONTROLLERREVISION, PERSISTENTVOLUMECLAIM, POD, STATEFULSET
from tiphys.api.kinds.apps.statefulset import StatefulSet, StatefulSetStatus
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.facts import is_available
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.schema import copy_of
from tiphys.controllers import _history as history
from tiphys.controllers import _stateful_pods as stateful
from tiphys.controllers._actions import Action, RequeueAfter, UpdateStatus
from tiphys.controllers._claims import claim
from tiphys.controllers._history import Revisions
from tiphys.controllers._pods import ORPHANS, by_selector, refusal, selecting, until_available_s
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch, controller_key
from tiphys.controllers._stateful_pods import revision_of
from tiphys.controllers._stateful_update import Update
from tiphys.controllers._workload_measures import STATEFULSET_SKIPS


@dataclass(frozen=True)
class World:
    stateful_set: StatefulSet
    pods: tuple[Pod, ...]
    """Those it controls, and the orphans of its namespace that bear its name."""
    claims: Mapping[str, PersistentVolumeClaim]
    """By name: those that its pods have or will have."""
    revisions: Revisions
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    wanted = listers.get(STATEFULSET, key.name, key.namespace)
    if wanted is None:
        return None
    owned = listers.owned(POD, wanted)
    orphans = listers.indexed(POD, ORPHANS.name, key.namespace)
    pods = tuple(pod for pod in (*owned, *orphans) if stateful.is_member(wanted, pod))
    claims = {}
    if wanted.spec.volume_claim_templates:
        for ordinal in {*stateful.ordinals(wanted), *map(stateful.ordinal_of, pods)}:
            for name in stateful.claim_names(wanted, ordinal):
                found = listers.get(PERSISTENTVOLUMECLAIM, name, key.namespace)
                if found is not None:
                    claims[name] = found
    return World(wanted, pods, claims, history.revisions_of(listers, wanted, wanted.spec), now)


def plan(_key: Key, world: World) -> Sequence[Action]:
    wanted = world.stateful_set
    if (refused := refusal(wanted)) is not None:
        return [refused]
    adopted = history.adoptions(STATEFULSET, wanted, world.revisions)
    if adopted:
        return adopted
    claimed = claim(POD, STATEFULSET, wanted, selector_of(wanted.spec.selector), world.pods)
    if claimed.actions:
        # What is corrected in adopted pods is planned on what adoption made of them.
        return claimed.actions
    pods: tuple[Pod, ...] = tuple(sorted(claimed.owned, key=stateful.ordinal_of))
    before = wanted.status
    present = history.present(STATEFULSET, wanted, wanted.spec, world.revisions, before.collision_count or 0)
    newest = present.revision
    named = (each for each in world.revisions.own if each.metadata.name == before.current_revision)
    current = next(named, newest)
    status = _status(world, pods, current.metadata.name, newest.metadata.name)
    status.collision_count = present.collisions
    actions: list[Action] = [*present.actions]
    if status != before:
        changed = copy_of(wanted)
        changed.status = status
        actions.append(UpdateStatus(STATEFULSET, changed))
    live = {current.metadata.name, newest.metadata.name, *map(revision_of, pods)}
    actions += history.truncation(wanted.spec, world.revisions, live, live)
    if wanted.metadata.deletion_timestamp is None:
        actions += Update(wanted, pods, world.claims, current, newest, world.now).actions()
    if (wait_s := until_available_s(pods, wanted.spec.min_ready_seconds, world.now)) is not None:
        actions.append(RequeueAfter(wait_s))
    return actions


def _status(world: World, pods: Sequence[Pod], current: str, newest: str) -> StatefulSetStatus:
    wanted, now = world.stateful_set, world.now
    ready = [pod for pod in pods if stateful.is_running_and_ready(pod)]
    staying = [revision_of(pod) for pod in pods if not stateful.is_terminating(pod)]
    status = StatefulSetStatus(
        observed_generation=wanted.metadata.generation,
        replicas=len(pods),
        ready_replicas=len(ready),
        available_replicas=sum(is_available(pod, wanted.spec.min_ready_seconds, now) for pod in ready),
        current_replicas=staying.count(current),
        updated_replicas=staying.count(newest),
        current_revision=current,
        update_revision=newest,
        conditions=wanted.status.conditions,
    )
    replicas = stateful.replicas_of(wanted)
    if (
        wanted.spec.update_strategy.type == "RollingUpdate"
        and status.updated_replicas == status.ready_replicas == status.replicas == replicas
    ):
        status.current_replicas, status.current_revision = status.updated_replicas, newest
    return status


# --- what wakes a stateful set


def _keys_of_pod(listers: Listers, pod: Pod) -> Iterable[Key]:
    if controller_of(pod) is not None:
        yield from controller_key(STATEFULSET)(listers, pod)
    else:
        yield from selecting(listers, STATEFULSET, pod)


def _keys_of_claim(listers: Listers, gone: PersistentVolumeClaim) -> Iterable[Key]:
    """A claim that is gone may hold up the pod that wants a new one."""
    namespace, name = gone.metadata.namespace, gone.metadata.name
    ordinal = stateful.parent_and_ordinal(name)[1]
    for each in listers.list(STATEFULSET, namespace):
        if name in stateful.claim_names(each, ordinal):
            yield Key(namespace, each.metadata.name)


def _gone(_old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> bool:
    return new is None


SPEC = ControllerSpec(
    name="statefulset-controller",
    alias="statefulset",
    primary=STATEFULSET,
    read=read,
    plan=plan,
    watches=(
        Watch(POD, _keys_of_pod),
        Watch(CONTROLLERREVISION, lambda listers, each: history.keys_of_revision(STATEFULSET, listers, each)),
        Watch(PERSISTENTVOLUMECLAIM, _keys_of_claim, when=_gone),
    ),
    indexes=(ORPHANS, by_selector(STATEFULSET), history.FAMILY, history.ORPHAN_REVISIONS),
    workers=5,
    stale_skips=STATEFULSET_SKIPS,
)
