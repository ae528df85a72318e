"""Brings a Deployment's pods from one template to the next, through replica sets.

Woken by: deployments; replica sets that one controls, and orphans that it could adopt; for Recreate, pods that end.
Writes: replica sets (create, scale, annotate, delete old ones), the deployment's status and revision annotation.
Races: a replica set's name is made from its template, so a second creation of the same one is refused; a name that
somebody else has is a collision, and the next hash is taken. All arithmetic rests on what is asked of replica sets
(spec) and on availability (status), so a late status only delays.
Source: pkg/controller/deployment/{deployment_controller,sync,rolling,recreate,progress}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import DEPLOYMENT, POD, REPLICASET
from tiphys.api.kinds.apps.deployment import Deployment
from tiphys.api.kinds.apps.replicaset import ReplicaSet
from tiphys.api.kinds.core.pod.facts import is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import LabelSelector
from tiphys.controllers import _rollout as rollout
from tiphys.controllers._actions import (
    Action,
    Event,
    UpdateStatus,
)
from tiphys.controllers._claims import claim
from tiphys.controllers._deployment_draft import Draft
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch, controller_key

FAMILY = Index(
    REPLICASET, "family", lambda each: (f"{each.metadata.namespace}/{each.metadata.name.rpartition('-')[0]}",)
)
"""By namespace and name without its last word: a deployment's set bears the deployment's name and a word of its own."""
ORPHANS = Index(REPLICASET, "orphans", lambda each: () if controller_of(each) else (each.metadata.namespace,))


@dataclass(frozen=True)
class World:
    deployment: Deployment
    replica_sets: tuple[ReplicaSet, ...]
    """Those it controls, and the orphans of its namespace."""
    taken: frozenset[str]
    """Names of replica sets that are not the deployment's, but sound like it."""
    running: frozenset[str]
    """UIDs of its replica sets that have pods which have not ended. Only looked up for Recreate."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    deployment = listers.get(DEPLOYMENT, key.name, key.namespace)
    if deployment is None:
        return None
    owned = tuple(listers.owned(REPLICASET, deployment))
    orphans = tuple(listers.indexed(REPLICASET, ORPHANS.name, key.namespace))
    ours = {each.metadata.uid for each in owned}
    alike = listers.indexed(REPLICASET, FAMILY.name, f"{key.namespace}/{key.name}")
    taken = frozenset(each.metadata.name for each in alike if each.metadata.uid not in ours)
    running: frozenset[str] = frozenset()
    if not rollout.is_rolling(deployment):
        running = frozenset(
            each.metadata.uid for each in owned if any(not is_terminal(pod) for pod in listers.owned(POD, each))
        )
    return World(deployment, (*owned, *orphans), taken, running, now)


def plan(_key: Key, world: World) -> Sequence[Action]:
    deployment = world.deployment
    selector = selector_of(deployment.spec.selector)
    if deployment.spec.selector is None or deployment.spec.selector == LabelSelector():
        return _refuse_all(deployment)
    claimed = claim(REPLICASET, DEPLOYMENT, deployment, selector, world.replica_sets)
    draft = Draft(deployment, claimed.owned, world.taken, world.running, world.now)
    if deployment.metadata.deletion_timestamp is not None:
        draft.note(progress=False)
    else:
        draft.note_pause()
        draft.sync_new_set()
        if deployment.spec.paused or draft.was_scaled():
            draft.scale()
            if deployment.spec.paused:
                draft.clean_up()
            draft.note(progress=False)
        elif rollout.is_rolling(deployment):
            draft.roll()
        else:
            draft.recreate()
    return [*claimed.actions, *draft.actions()]


def _refuse_all(deployment: Deployment) -> Sequence[Action]:
    text = "This deployment is selecting all pods. A non-empty selector is required."
    if deployment.status.observed_generation >= deployment.metadata.generation:
        return ()
    changed = copy_of(deployment)
    changed.status.observed_generation = deployment.metadata.generation
    return [Event(deployment, "Warning", "SelectingAll", text), UpdateStatus(DEPLOYMENT, changed)]


# --- what wakes a deployment


def _keys_of_set(listers: Listers, replica_set: ReplicaSet) -> Iterable[Key]:
    if controller_of(replica_set) is not None:
        yield from controller_key(DEPLOYMENT)(listers, replica_set)
        return
    for deployment in listers.list(DEPLOYMENT, replica_set.metadata.namespace):
        if selector_of(deployment.spec.selector).matches(replica_set.metadata.labels):
            yield Key(deployment.metadata.namespace, deployment.metadata.name)


def _keys_of_pod(listers: Listers, pod: Pod) -> Iterable[Key]:
    owner = controller_of(pod)
    if owner is None or owner.kind != REPLICASET.kind:
        return
    replica_set = listers.get(REPLICASET, owner.name, pod.metadata.namespace)
    if replica_set is not None:
        yield from controller_key(DEPLOYMENT)(listers, replica_set)


def _ended(old: Pod | None, new_: Pod | None) -> bool:
    return new_ is None or (is_terminal(new_) and old is not None and not is_terminal(old))


SPEC = ControllerSpec(
    name="deployment-controller",
    alias="deployment",
    primary=DEPLOYMENT,
    read=read,
    plan=plan,
    watches=(Watch(REPLICASET, _keys_of_set), Watch(POD, _keys_of_pod, when=_ended)),
    indexes=(ORPHANS, FAMILY),
    workers=5,
)
