"""Keeps one pod of a DaemonSet on each node that it is meant for.

Woken by: daemon sets; nodes that come, go, or change their labels or taints; pods that one controls, and orphans that
it could adopt; their revisions. Writes: pods (create, delete, owner references), revisions, the set's status.
Races: each pod names its node (by affinity) from the start, so that what is pending counts already; a key is planned
again only when its own writes are seen. A pod that fails again and again on a node is replaced after ever longer waits.
Source: pkg/controller/daemon/daemon_controller.go, update.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import CONTROLLERREVISION, DAEMONSET, NODE, POD
from tiphys.api.kinds.apps.daemonset import DaemonSet, DaemonSetStatus
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.facts import is_available, is_ready, is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import LabelSelector
from tiphys.controllers import _history as history
from tiphys.controllers._actions import Action, Event, RequeueAfter, UpdateStatus
from tiphys.controllers._claims import claim
from tiphys.controllers._daemon_pods import Fit, Placement, is_updated, node_of
from tiphys.controllers._daemon_update import Update, by_age
from tiphys.controllers._history import REVISION_LABEL, Revisions
from tiphys.controllers._pods import ORPHANS, by_selector, refusal, selecting, until_available_s
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Tally, Watch, controller_key
from tiphys.controllers._workload_measures import DAEMONSET_SKIPS

Failure = tuple[str, str, str]
"""Where failures are counted: the set's UID, the node, the revision."""


@dataclass(frozen=True)
class World:
    daemon_set: DaemonSet
    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]
    """Those it controls, and the orphans of its namespace."""
    revisions: Revisions
    failures: Mapping[str, Tally]
    """By UID of the failed pod: how often pods of its set, node and revision have failed lately."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    wanted = listers.get(DAEMONSET, key.name, key.namespace)
    if wanted is None:
        return None
    owned = tuple(listers.owned(POD, wanted))
    orphans = tuple(listers.indexed(POD, ORPHANS.name, key.namespace))
    failures = {
        pod.metadata.uid: listers.tally(where)
        for pod in owned
        if pod.status.phase == "Failed" and (where := _failure(pod)) is not None
    }
    revisions = history.revisions_of(listers, wanted, wanted.spec)
    nodes = tuple(sorted(listers.list(NODE), key=lambda node: node.metadata.name))
    return World(wanted, nodes, (*owned, *orphans), revisions, failures, now)


def plan(_key: Key, world: World) -> Sequence[Action]:
    wanted = world.daemon_set
    if wanted.spec.selector is None or wanted.spec.selector == LabelSelector():
        text = "This daemon set is selecting all pods. A non-empty selector is required."
        return [Event(wanted, "Warning", "SelectingAll", text)]
    if wanted.metadata.deletion_timestamp is not None:
        return ()
    if (refused := refusal(wanted)) is not None:
        return [refused]
    adopted = history.adoptions(DAEMONSET, wanted, world.revisions)
    if adopted:
        return adopted
    claimed = claim(POD, DAEMONSET, wanted, selector_of(wanted.spec.selector), world.pods)
    pods: tuple[Pod, ...] = claimed.owned
    collisions = wanted.status.collision_count or 0
    present = history.present(DAEMONSET, wanted, wanted.spec, world.revisions, collisions, label=REVISION_LABEL)
    digests = frozenset(map(history.digest_of, (present.revision, *present.equal)))
    by_node = _by_node(pods)
    placement = Placement(wanted)
    fits = {node.metadata.name: placement.fit(node) for node in world.nodes}
    actions: list[Action] = [*claimed.actions, *present.actions]
    status = _status(world, by_node, fits, digests)
    status.collision_count = present.collisions or wanted.status.collision_count
    if status != wanted.status:
        changed = copy_of(wanted)
        changed.status = status
        actions.append(UpdateStatus(DAEMONSET, changed))
    live = {pod.metadata.labels.get(REVISION_LABEL, "") for pod in pods}
    kept = {each.metadata.name for each in world.revisions.own if history.digest_of(each) in live}
    current = {each.metadata.name for each in (present.revision, *present.equal)}
    actions += history.truncation(wanted.spec, world.revisions, current, kept)
    update = Update(wanted, by_node, fits, digests, history.digest_of(present.revision), world.failures, world.now)
    actions += update.actions()
    waits_s = [update.wait_s, until_available_s(pods, wanted.spec.min_ready_seconds, world.now)]
    actions += [RequeueAfter(wait_s) for wait_s in waits_s if wait_s is not None]
    return actions


def _by_node(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    """Pods by the node that they are meant for, those on their nodes first, the oldest first."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if is_terminal(pod) and pod.metadata.deletion_timestamp is not None:
            continue
        if node := node_of(pod):
            found.setdefault(node, []).append(pod)
    return {node: sorted(found[node], key=by_age) for node in sorted(found)}


def _status(
    world: World, by_node: Mapping[str, list[Pod]], fits: Mapping[str, Fit], digests: frozenset[str]
) -> DaemonSetStatus:
    wanted = world.daemon_set
    run = [node for node, fit in fits.items() if fit is Fit.RUN]
    first = [by_node[node][0] for node in run if node in by_node]
    ready = [pod for pod in first if is_ready(pod)]
    status = copy_of(wanted.status)
    status.observed_generation = wanted.metadata.generation
    status.desired_number_scheduled = len(run)
    status.current_number_scheduled = len(first)
    status.number_misscheduled = sum(node in by_node for node, fit in fits.items() if fit is not Fit.RUN)
    status.number_ready = len(ready)
    status.updated_number_scheduled = sum(is_updated(pod, wanted, digests) for pod in first)
    status.number_available = sum(is_available(pod, wanted.spec.min_ready_seconds, world.now) for pod in ready)
    status.number_unavailable = len(run) - status.number_available
    return status


# --- what wakes a daemon set


def _keys_of_pod(listers: Listers, pod: Pod) -> Iterable[Key]:
    if controller_of(pod) is not None:
        yield from controller_key(DAEMONSET)(listers, pod)
    else:
        yield from selecting(listers, DAEMONSET, pod)


def _everyone(listers: Listers, _node: Node) -> Iterable[Key]:
    for each in listers.list(DAEMONSET):
        yield Key(each.metadata.namespace, each.metadata.name)


def _fits_differently(old: Node | None, new: Node | None) -> bool:
    if old is None or new is None:
        return True
    return (old.metadata.labels, old.spec.taints) != (new.metadata.labels, new.spec.taints)


def _failure(pod: Pod) -> Failure | None:
    owner = controller_of(pod)
    if owner is None or owner.kind != DAEMONSET.kind:
        return None
    return owner.uid, node_of(pod), pod.metadata.labels.get(REVISION_LABEL, "")


def _failed(old: Pod | None, new: Pod | None) -> Failure | None:
    if new is None or new.status.phase != "Failed" or (old is not None and old.status.phase == "Failed"):
        return None
    return _failure(new)


SPEC = ControllerSpec(
    name="daemonset-controller",
    alias="daemonset",
    primary=DAEMONSET,
    read=read,
    plan=plan,
    watches=(
        Watch(POD, _keys_of_pod, tally=_failed),
        Watch(NODE, _everyone, when=_fits_differently),
        Watch(CONTROLLERREVISION, lambda listers, each: history.keys_of_revision(DAEMONSET, listers, each)),
    ),
    indexes=(ORPHANS, by_selector(DAEMONSET), history.FAMILY, history.ORPHAN_REVISIONS),
    workers=2,
    stale_skips=DAEMONSET_SKIPS,
)
