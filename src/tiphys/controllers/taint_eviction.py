"""Deletes pods from nodes with a NoExecute taint that they do not tolerate, or no longer tolerate.

Woken by: pods; for all pods of a node, changes of its NoExecute taints. Writes: the pod's condition DisruptionTarget
and its deletion.
Races: a taint that goes again in time wakes the pods, whose new plan is to do nothing, and to say so. The time of a
toleration runs from the taint's `timeAdded`, or from when we saw the taint.
Source: pkg/controller/tainteviction/taint_eviction.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.api.kinds import NODE, POD
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import Taint
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.controllers._actions import Action, Delete, Event, Patch, Remember, RequeueAfter
from tiphys.controllers._node_measures import EVICTED, EVICTED_S, measure_eviction
from tiphys.controllers._nodes import BY_NODE
from tiphys.controllers._placement import tolerates
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch


@dataclass(frozen=True)
class World:
    pod: Pod
    taints: tuple[Taint, ...]
    """Of effect NoExecute, on the pod's node."""
    tainted: datetime
    """When we saw these taints first."""
    planned: bool
    """The pod was to be evicted later, when it was looked at last."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    pod = listers.get(POD, key.name, key.namespace)
    node = listers.get(NODE, pod.spec.node_name) if pod is not None and pod.spec.node_name else None
    if pod is None or node is None:
        return None
    taints, planned = _no_execute(node), bool(listers.remembered(key))
    return World(pod, taints, listers.heard(NODE, node.metadata.name), planned, now) if taints or planned else None


def plan(_key: Key, world: World) -> Sequence[Action]:
    if world.pod.metadata.deletion_timestamp is not None:
        return ()
    due, metadata = _evicted_at(world), world.pod.metadata
    if due is None:
        if not world.planned:
            return ()
        text = f"Cancelling deletion of Pod {metadata.namespace}/{metadata.name}"
        return [Event(world.pod, "Normal", "TaintManagerEviction", text), Remember(None)]
    if due > world.now:
        return [Remember(True), RequeueAfter((due - world.now).total_seconds())]
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": rfc3339(world.now),
    }
    mark = {"metadata": {"uid": metadata.uid}, "status": {"conditions": [condition]}}
    text = f"Marking for deletion Pod {metadata.namespace}/{metadata.name}"
    return [
        Event(world.pod, "Normal", "TaintManagerEviction", text),
        Patch(POD, metadata.name, metadata.namespace, mark, subresource="status"),
        Delete(POD, metadata.name, metadata.namespace, metadata.uid),
    ]


def _evicted_at(world: World) -> datetime | None:
    """When the pod must go; None: it may stay as long as these taints are all."""
    due: datetime | None = None
    for taint in world.taints:
        since = parse_rfc3339(taint.time_added) if taint.time_added else world.tainted
        toleration = next((each for each in world.pod.spec.tolerations if tolerates(each, taint)), None)
        if toleration is None:
            return world.now
        if toleration.toleration_seconds is not None:
            end = since + timedelta(seconds=max(0, toleration.toleration_seconds))
            due = end if due is None else min(due, end)
    return due


def active_since(world: World) -> datetime:
    """When the first of the taints was put on the node."""
    since = (parse_rfc3339(taint.time_added) if taint.time_added else world.tainted for taint in world.taints)
    return min(since, default=world.tainted)


def _no_execute(node: Node) -> tuple[Taint, ...]:
    return tuple(taint for taint in node.spec.taints if taint.effect == "NoExecute")


def _pods_of_node(listers: Listers, node: Node) -> Iterable[Key]:
    for pod in listers.indexed(POD, BY_NODE.name, node.metadata.name):
        yield Key(pod.metadata.namespace, pod.metadata.name)


def _taints_changed(old: Node | None, new: Node | None) -> bool:
    return (_no_execute(old) if old is not None else ()) != (_no_execute(new) if new is not None else ())


def _where_tainted(listers: Listers, pod: Pod) -> Iterable[Key]:
    """On other nodes there is nothing to look at, until their taints change."""
    key = Key(pod.metadata.namespace, pod.metadata.name)
    node = listers.get(NODE, pod.spec.node_name) if pod.spec.node_name else None
    if (node is not None and _no_execute(node)) or listers.remembered(key):
        yield key


def _bound_or_tolerating(old: Pod | None, new: Pod | None) -> bool:
    """What makes a pod's eviction different: where it is, and what it tolerates."""
    if old is None or new is None:
        return new is not None and bool(new.spec.node_name)
    return old.spec.node_name != new.spec.node_name or old.spec.tolerations != new.spec.tolerations


SPEC = ControllerSpec(
    name="taint-eviction-controller",
    primary=POD,
    read=read,
    plan=plan,
    watches=(
        Watch(POD, _where_tainted, when=_bound_or_tolerating),
        Watch(NODE, _pods_of_node, when=_taints_changed, stamp=_no_execute),
    ),
    indexes=(BY_NODE,),
    workers=8,
    metrics=(EVICTED, EVICTED_S),
    measure=measure_eviction,
)
