"""Notices nodes that went silent, says so in their status, and taints nodes by their conditions.

Woken by: nodes, their leases, and time. Writes: node conditions (Unknown), taints, the pods' condition Ready.
Heartbeats are the node's lease and its condition Ready; both are trusted by when *we* saw them change, so a node's
clock may be wrong. NoSchedule taints follow conditions; NoExecute taints not-ready and unreachable start eviction
(taint_eviction.py). If no node of the cluster is ready, the fault is more likely ours: then nobody is evicted.
Eviction begins at one node of a zone after the other, at a rate; which and when is read off the taints that are there,
so it survives a restart. A zone where many nodes are silent is evicted from slowly, a small one not at all
(_eviction_rate.py).
Races: node status is written by the kubelet too, so we patch at the revision that we judged; a plan writes status or
taints, never both, and taints are judged on what the status then says.
Source: pkg/controller/nodelifecycle/node_lifecycle_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiphys.api.kinds import LEASE, NODE, POD
from tiphys.api.kinds.coordination.lease import Lease
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.facts import is_ready
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import ObjectReference, Taint
from tiphys.base.clock import rfc3339
from tiphys.controllers._actions import Action, Event, Patch, Remember, RequeueAfter
from tiphys.controllers._eviction_rate import BLOCKED_LOOK_S, ZONE_READINESS, Rates, is_evicted, wait_s, zone_of
from tiphys.controllers._node_measures import LIFECYCLE_METRICS, measure_lifecycle
from tiphys.controllers._nodes import BY_NODE, condition_of, condition_status
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch

LEASES = "kube-node-lease"
JUDGED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""Conditions that become Unknown when a node is silent."""
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_BY_CONDITION = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_OURS = frozenset(
    {*((key, "NoSchedule") for key in (*_BY_CONDITION.values(), UNSCHEDULABLE))}
    | {(NOT_READY, "NoExecute"), (UNREACHABLE, "NoExecute")}
)
"""Taints that only this controller puts and takes."""


_READINESS = Index(NODE, "readiness", lambda node: (condition_status(node, "Ready"),))


@dataclass(frozen=True)
class World:
    node: Node
    heard: datetime
    """When the node's last heartbeat reached us."""
    grace_s: float
    pods: tuple[Pod, ...]
    """On the node."""
    any_ready: bool
    """Whether some node of the cluster is ready."""
    eviction_wait_s: float | None
    """How long until pods may be evicted from this node, among the others of its zone; None: not as things are."""
    registered: bool
    """Whether we have greeted this node."""
    now: datetime


@dataclass(frozen=True)
class Removed:
    """A node that was greeted, and is gone."""

    name: str
    uid: str


def read(listers: Listers, key: Key, now: datetime) -> World | Removed | None:
    node = listers.get(NODE, key.name)
    if node is None:
        uid = listers.remembered(key)
        return Removed(key.name, uid) if uid else None
    heard = max(listers.heard(NODE, key.name), listers.heard(LEASE, key.name, LEASES))
    settings = listers.settings
    silent_from_start = condition_of(node, "Ready") is None
    return World(
        node=node,
        heard=heard,
        grace_s=settings.node_startup_grace_s if silent_from_start else settings.node_monitor_grace_s,
        pods=tuple(listers.indexed(POD, BY_NODE.name, key.name)),
        any_ready=listers.count(NODE, _READINESS.name, "True") > 0,
        eviction_wait_s=_eviction_wait_s(listers, node, now),
        registered=listers.remembered(key) == node.metadata.uid,
        now=now,
    )


def plan(_key: Key, world: World | Removed) -> Sequence[Action]:
    if isinstance(world, Removed):
        text = f"Node {world.name} event: Removing Node {world.name} from Controller"
        gone = ObjectReference(kind="Node", api_version="v1", name=world.name, uid=world.uid)
        return [Event(gone, "Normal", "RemovingNode", text), Remember(None)]
    actions = _plan_node(world)
    if world.registered:
        return actions
    name = world.node.metadata.name
    greeting = Event(world.node, "Normal", "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
    return [greeting, Remember(world.node.metadata.uid), *actions]


def _plan_node(world: World) -> Sequence[Action]:
    left_s = world.grace_s - (world.now - world.heard).total_seconds()
    if left_s <= 0:
        unknown = _unknown_conditions(world)
        if unknown:
            return _declare_silent(world, unknown)
    actions: list[Action] = []
    wanted = _taints(world)
    if wanted != world.node.spec.taints:
        actions.append(_taint_patch(world.node, wanted))
    if condition_status(world.node, "Ready") in ("False", "Unknown"):
        actions += _pods_not_ready(world)
    if left_s > 0:
        actions.append(RequeueAfter(left_s + 0.01))
    if _waits_for_eviction(world):
        actions.append(RequeueAfter(BLOCKED_LOOK_S if world.eviction_wait_s is None else world.eviction_wait_s))
    return actions


# --- silence


def _declare_silent(world: World, conditions: list[dict[str, Any]]) -> Sequence[Action]:
    metadata = world.node.metadata
    patch = {
        "metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version},
        "status": {"conditions": conditions},
    }
    actions: list[Action] = [Patch(NODE, metadata.name, "", patch, subresource="status")]
    if condition_status(world.node, "Ready") == "True":
        text = f"Node {metadata.name} status is now: NodeNotReady"
        actions.append(Event(world.node, "Normal", "NodeNotReady", text))
    return actions


def _unknown_conditions(world: World) -> list[dict[str, Any]]:
    now = rfc3339(world.now)
    changed: list[dict[str, Any]] = []
    for kind in JUDGED:
        known = condition_of(world.node, kind)
        if known is None:
            created = world.node.metadata.creation_timestamp
            changed.append(
                {
                    "type": kind,
                    "status": "Unknown",
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": created,
                    "lastTransitionTime": now,
                }
            )
        elif known.status != "Unknown":
            changed.append(
                {
                    "type": kind,
                    "status": "Unknown",
                    "reason": "NodeStatusUnknown",
                    "message": "Kubelet stopped posting node status.",
                    "lastTransitionTime": now,
                }
            )
    return changed


def _pods_not_ready(world: World) -> Iterable[Action]:
    """Services must not send to a node that does not answer; its kubelet cannot say so itself."""
    for pod in world.pods:
        if not is_ready(pod) or pod.metadata.deletion_timestamp is not None:
            continue
        metadata = pod.metadata
        condition = {"type": "Ready", "status": "False", "lastTransitionTime": rfc3339(world.now)}
        patch = {"metadata": {"uid": metadata.uid}, "status": {"conditions": [condition]}}
        yield Event(pod, "Warning", "NodeNotReady", "Node is not ready")
        yield Patch(POD, metadata.name, metadata.namespace, patch, subresource="status")


# --- taints


def _taints(world: World) -> list[Taint]:
    """The node's taints as they should be: those of others as they are, ours by its conditions."""
    node = world.node
    wanted = {
        (key, "NoSchedule") for (kind, status), key in _BY_CONDITION.items() if condition_status(node, kind) == status
    }
    if node.spec.unschedulable:
        wanted.add((UNSCHEDULABLE, "NoSchedule"))
    ready = condition_status(node, "Ready")
    if world.any_ready and ready in ("False", "Unknown") and (is_evicted(node) or world.eviction_wait_s == 0):
        wanted.add((_BY_CONDITION["Ready", ready], "NoExecute"))
    kept = [taint for taint in node.spec.taints if (taint.key, taint.effect) not in _OURS - wanted]
    present = {(taint.key, taint.effect) for taint in kept}
    now = rfc3339(world.now)
    added = [Taint(key=key, effect=effect, time_added=now) for key, effect in sorted(wanted - present)]
    return kept + added


def _taint_patch(node: Node, taints: list[Taint]) -> Patch:
    metadata = node.metadata
    listed: list[dict[str, str]] = []
    for taint in taints:
        entry = {"key": taint.key, "effect": taint.effect}
        if taint.value:
            entry["value"] = taint.value
        if taint.time_added:
            entry["timeAdded"] = taint.time_added
        listed.append(entry)
    patch = {
        "metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version},
        "spec": {"taints": listed},
    }
    return Patch(NODE, metadata.name, "", patch, "merge")


def _waits_for_eviction(world: World) -> bool:
    ready = condition_status(world.node, "Ready")
    waits = ready in ("False", "Unknown") and not is_evicted(world.node) and world.eviction_wait_s != 0
    return world.any_ready and waits


def _eviction_wait_s(listers: Listers, node: Node, now: datetime) -> float | None:
    ready = condition_status(node, "Ready")
    if ready not in ("False", "Unknown") or is_evicted(node):
        return 0.0
    zone, settings = zone_of(node), listers.settings
    silent = [
        other
        for status in ("False", "Unknown", "")
        for other in listers.indexed(NODE, ZONE_READINESS.name, f"{zone}|{status}")
    ]
    answering = listers.count(NODE, ZONE_READINESS.name, f"{zone}|True")
    rates = Rates(
        settings.node_eviction_rate, settings.secondary_node_eviction_rate, settings.unhealthy_zone_threshold,
        settings.large_cluster_size_threshold,
    )  # fmt: skip
    return wait_s(node, silent, answering, rates, now)


# --- what wakes a node


def _keys_of_others(listers: Listers, _node: Node) -> Iterable[Key]:
    """The first ready node, or the loss of the last, decides whether the others may be evicted from."""
    if listers.count(NODE, _READINESS.name, "True") > 1:
        return
    for status in ("False", "Unknown"):
        for other in listers.indexed(NODE, _READINESS.name, status):
            yield Key("", other.metadata.name)


def _readiness_changed(old: Node | None, new: Node | None) -> bool:
    before = old is not None and condition_status(old, "Ready") == "True"
    return before != (new is not None and condition_status(new, "Ready") == "True")


def _key_of_lease(_listers: Listers, lease: Lease) -> Iterable[Key]:
    if lease.metadata.namespace == LEASES:
        yield Key("", lease.metadata.name)


def _judged(old: Node | None, new: Node | None) -> bool:
    """Whether conditions (but for their times) or taints differ; heartbeats alone are only remembered."""
    if old is None or new is None:
        return True
    if old.spec != new.spec:
        return True
    before = [(condition.type, condition.status) for condition in old.status.conditions]
    return before != [(condition.type, condition.status) for condition in new.status.conditions]


def _came_back(_old: Lease | None, new: Lease | None) -> bool:
    """A renewal only moves the time of the next look; that look finds it. The first lease is worth a look."""
    return _old is None or new is None


def _heartbeat(node: Node) -> object:
    ready = condition_of(node, "Ready")
    return (ready.last_heartbeat_time, ready.status) if ready is not None else None


def _renewal(lease: Lease) -> object:
    return lease.spec.renew_time


def _pod_became_ready(old: Pod | None, new: Pod | None) -> bool:
    return new is not None and is_ready(new) and (old is None or not is_ready(old))


def _node_of_pod(listers: Listers, pod: Pod) -> Iterable[Key]:
    """Only pods on nodes that are not ready matter."""
    node = listers.get(NODE, pod.spec.node_name) if pod.spec.node_name else None
    if node is not None and condition_status(node, "Ready") in ("False", "Unknown"):
        yield Key("", node.metadata.name)


SPEC: ControllerSpec[World | Removed] = ControllerSpec(
    name="node-lifecycle-controller",
    alias="nodelifecycle",
    component="node-controller",
    primary=NODE,
    read=read,
    plan=plan,
    watches=(
        Watch(NODE, when=_judged, stamp=_heartbeat),
        Watch(NODE, _keys_of_others, when=_readiness_changed),
        Watch(LEASE, _key_of_lease, when=_came_back, stamp=_renewal),
        Watch(POD, _node_of_pod, when=_pod_became_ready),
    ),
    indexes=(BY_NODE, _READINESS, ZONE_READINESS),
    workers=8,
    metrics=LIFECYCLE_METRICS,
    measure=measure_lifecycle,
)
