"""Deletes pods that nobody else will: of nodes gone or declared out of service, never bound, or too many.

Woken by: nodes that come and go; pods that are bound to no known node, or end, or are deleted before they were bound.
Writes: the pod's status (phase Failed, condition DisruptionTarget) and its deletion without grace.
Races: a node object may be replaced within seconds, so its pods wait for a quarantine, and the node's absence is made
sure by a live look. The key is a node's name; the empty name stands for pods without a node.
Source: pkg/controller/podgc/gc_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import NODE, POD
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.facts import is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import rfc3339
from tiphys.controllers._actions import Action, Delete, Gone, Guard, Patch, RequeueAfter
from tiphys.controllers._node_measures import COLLECTED, NOT_COLLECTED, measure_collection
from tiphys.controllers._nodes import BY_NODE, condition_status
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
TERMINAL = Index(POD, "terminal", lambda pod: ("yes",) if is_terminal(pod) else ())


@dataclass(frozen=True)
class World:
    node_name: str
    """Empty: pods that have no node."""
    node: Node | None
    pods: tuple[Pod, ...]
    """Of that node."""
    finished: tuple[Pod, ...]
    """All finished pods of the cluster, where there are more than the threshold; looked up for the empty name only."""
    threshold: int
    heard: datetime
    """When the node was last there."""
    quarantine_s: float
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    settings = listers.settings
    threshold = settings.terminated_pod_threshold
    finished: tuple[Pod, ...] = ()
    if not key.name and threshold > 0:
        finished = tuple(listers.indexed(POD, TERMINAL.name, "yes"))
    return World(
        node_name=key.name,
        node=listers.get(NODE, key.name) if key.name else None,
        pods=tuple(listers.indexed(POD, BY_NODE.name, key.name)),
        finished=finished if len(finished) > threshold else (),
        threshold=threshold,
        heard=listers.heard(NODE, key.name),
        quarantine_s=settings.pod_gc_quarantine_s,
        now=now,
    )


def plan(_key: Key, world: World) -> Sequence[Action]:
    if not world.node_name:
        unbound = [pod for pod in world.pods if pod.metadata.deletion_timestamp is not None]
        excess = len(world.finished) - world.threshold
        oldest = sorted(world.finished, key=lambda pod: (pod.metadata.creation_timestamp or "", pod.metadata.name))
        chosen = oldest[: max(0, excess)]
        return _removals([*unbound, *(pod for pod in chosen if pod not in unbound)], world)
    if world.node is not None:
        if not _is_out_of_service(world.node):
            return ()
        return _removals([pod for pod in world.pods if pod.metadata.deletion_timestamp is not None], world)
    if not world.pods:
        return ()
    left_s = world.quarantine_s - (world.now - world.heard).total_seconds()
    if left_s > 0:
        return [RequeueAfter(left_s)]
    return _removals(world.pods, world, "PodGC: node no longer exists", (Gone(NODE, world.node_name, "", ""),))


def _removals(pods: Sequence[Pod], world: World, why: str = "", guards: tuple[Guard, ...] = ()) -> Sequence[Action]:
    """First all are marked, then all are deleted: who watches sees pods fail before they vanish. A pod that was deleted
    without grace before and is still there waits for its finalizers only."""
    pods = [pod for pod in pods if not _waits_for_finalizers(pod)]
    marks = [_mark(pod, why, world.now, guards) for pod in pods if not is_terminal(pod)]
    return [
        *marks,
        *(
            Delete(POD, pod.metadata.name, pod.metadata.namespace, pod.metadata.uid, grace_period_s=0, guards=guards)
            for pod in pods
        ),
    ]


def _mark(pod: Pod, why: str, now: datetime, guards: tuple[Guard, ...]) -> Patch:
    status: dict[str, object] = {"phase": "Failed"}
    if why:
        status["conditions"] = [
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": why,
                "lastTransitionTime": rfc3339(now),
            }
        ]
    patch = {"metadata": {"uid": pod.metadata.uid}, "status": status}
    return Patch(POD, pod.metadata.name, pod.metadata.namespace, patch, subresource="status", guards=guards)


def _waits_for_finalizers(pod: Pod) -> bool:
    metadata = pod.metadata
    return metadata.deletion_timestamp is not None and metadata.deletion_grace_period_seconds == 0


def _is_out_of_service(node: Node) -> bool:
    tainted = any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)
    return tainted and condition_status(node, "Ready") != "True"


# --- what wakes a key


def _keys_of_pod(listers: Listers, pod: Pod) -> Iterable[Key]:
    name = pod.spec.node_name
    if not name:
        if pod.metadata.deletion_timestamp is not None:
            yield Key("", "")
    elif pod.metadata.deletion_timestamp is not None or listers.get(NODE, name) is None:
        yield Key("", name)
    if is_terminal(pod):
        yield Key("", "")


SPEC = ControllerSpec(
    name="pod-garbage-collector-controller",
    alias="podgc",
    primary=NODE,
    read=read,
    plan=plan,
    watches=(Watch(NODE, stamp=lambda node: node.metadata.uid), Watch(POD, _keys_of_pod)),
    indexes=(BY_NODE, TERMINAL),
    workers=2,
    metrics=(COLLECTED, NOT_COLLECTED),
    measure=measure_collection,
)
