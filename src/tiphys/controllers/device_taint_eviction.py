"""Deletes pods that use devices with a NoExecute taint that their claims do not tolerate, or no longer tolerate.

Woken by: pods with claims; claims that are allocated or reserved; slices whose taints change. Writes: the pod's
condition DisruptionTarget and its deletion. Taints are those that drivers publish; DeviceTaintRules are not looked at,
as upstream unless the gate DRADeviceTaintRules is on.
Races: as the taint eviction of nodes: a taint that goes in time wakes the pods, whose new plan is to do nothing.
Source: pkg/controller/devicetainteviction/device_taint_eviction.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.api.kinds import POD, RESOURCECLAIM, RESOURCESLICE
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.resource.resourceclaim import ResourceClaim
from tiphys.api.kinds.resource.resourceslice import ResourceSlice
from tiphys.api.kinds.resource.types import DeviceTaint, DeviceToleration
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.controllers._actions import Action, Delete, Event, Patch, Remember, RequeueAfter
from tiphys.controllers._measures import CounterOf, HistogramOf, Measured, Turn
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch
from tiphys.controllers.resourceclaim import claim_names

NO_EXECUTE = "NoExecute"


def _pools_of_claim(claim: ResourceClaim) -> Iterator[str]:
    allocation = claim.status.allocation
    if allocation is not None:
        yield from {f"{each.driver}/{each.pool}" for each in allocation.devices.results}


def _pool(each: ResourceSlice) -> str:
    return f"{each.spec.driver}/{each.spec.pool.name}"


BY_POOL = Index(RESOURCESLICE, "pool", lambda each: (_pool(each),))
CLAIMS_BY_POOL = Index(RESOURCECLAIM, "allocated-pool", _pools_of_claim)


@dataclass(frozen=True)
class World:
    pod: Pod
    taints: tuple[tuple[DeviceTaint, tuple[DeviceToleration, ...]], ...]
    """NoExecute taints of the devices that the pod has, each with what the device's request tolerates."""
    planned: bool
    """The pod was to be evicted later, when it was looked at last."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    pod = listers.get(POD, key.name, key.namespace)
    if pod is None or not pod.spec.node_name or pod.metadata.deletion_timestamp is not None:
        return None
    taints = tuple(found for claim in _claims(listers, pod) for found in _taints(listers, claim))
    planned = bool(listers.remembered(key))
    return World(pod, taints, planned, now) if taints or planned else None


def _claims(listers: Listers, pod: Pod) -> Iterator[ResourceClaim]:
    """Allocated claims that are reserved for the pod."""
    for where in claim_names(pod):
        claim = listers.get(RESOURCECLAIM, where.partition("/")[2], pod.metadata.namespace)
        if claim is not None and any(each.uid == pod.metadata.uid for each in claim.status.reserved_for):
            yield claim


def _taints(listers: Listers, claim: ResourceClaim) -> Iterator[tuple[DeviceTaint, tuple[DeviceToleration, ...]]]:
    allocation = claim.status.allocation
    for result in allocation.devices.results if allocation is not None else ():
        slices = list(listers.indexed(RESOURCESLICE, BY_POOL.name, f"{result.driver}/{result.pool}"))
        newest = max((each.spec.pool.generation for each in slices), default=0)
        for each in slices:
            for device in each.spec.devices if each.spec.pool.generation == newest else ():
                if device.name == result.device:
                    yield from (
                        (taint, tuple(result.tolerations)) for taint in device.taints if taint.effect == NO_EXECUTE
                    )


def due(world: World) -> datetime | None:
    """When the pod must go; None: it may stay as long as these taints are all."""
    times = (_evicted_at(taint, tolerations) for taint, tolerations in world.taints)
    return min((time for time in times if time is not None), default=None)


def _evicted_at(taint: DeviceTaint, tolerations: Iterable[DeviceToleration]) -> datetime | None:
    if not taint.time_added:
        return None  # the API server has not seen it
    tolerated = [each for each in tolerations if each.effect == NO_EXECUTE and _tolerates(each, taint)]
    if any(each.toleration_seconds is None for each in tolerated):
        return None
    least_s = min((max(0, each.toleration_seconds or 0) for each in tolerated), default=0)
    return parse_rfc3339(taint.time_added) + timedelta(seconds=least_s)


def _tolerates(toleration: DeviceToleration, taint: DeviceTaint) -> bool:
    if toleration.key not in ("", taint.key):
        return False
    return toleration.operator == "Exists" or toleration.value == taint.value


def plan(_key: Key, world: World) -> Sequence[Action]:
    end = due(world)
    if end is None:
        if not world.planned:
            return ()
        return [Event(world.pod, "Normal", "DeviceTaintManagerEviction", "Cancelling deletion"), Remember(None)]
    if end > world.now:
        return [Remember(True), RequeueAfter((end - world.now).total_seconds())]
    metadata = world.pod.metadata
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByDeviceTaintManager",
        "message": "Device Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": rfc3339(world.now),
    }
    mark = {"metadata": {"uid": metadata.uid}, "status": {"conditions": [condition]}}
    return [
        Event(world.pod, "Normal", "DeviceTaintManagerEviction", "Marking for deletion"),
        Patch(POD, metadata.name, metadata.namespace, mark, subresource="status"),
        Delete(POD, metadata.name, metadata.namespace, metadata.uid),
    ]


# --- metrics

_PREFIX = "device_taint_eviction_controller"
EVICTED = CounterOf(
    f"{_PREFIX}_pod_deletions_total", "Total number of Pods deleted by DeviceTaintEvictionController since its start."
)
EVICTED_S = HistogramOf(
    f"{_PREFIX}_pod_deletion_duration_seconds",
    "Latency, in seconds, between the time when a device taint effect has been activated and a Pod's deletion via "
    "DeviceTaintEvictionController.",
    (0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240),
)


def measure(turn: Turn[World]) -> Iterator[Measured]:
    end = due(turn.world)
    if turn.error is None and end is not None and any(turn.deleted(POD)):
        yield Measured(EVICTED)
        yield Measured(EVICTED_S, (), (turn.world.now - end).total_seconds() + turn.seconds)


# --- what wakes a pod


def _own(_listers: Listers, pod: Pod) -> Iterable[Key]:
    if pod.spec.node_name and pod.spec.resource_claims:
        yield Key(pod.metadata.namespace, pod.metadata.name)


def _bound(old: Pod | None, new: Pod | None) -> bool:
    return new is not None and (old is None or old.spec.node_name != new.spec.node_name)


def _pods_of_claim(_listers: Listers, claim: ResourceClaim) -> Iterable[Key]:
    for each in claim.status.reserved_for:
        if each.resource == "pods":
            yield Key(claim.metadata.namespace, each.name)


def _pods_of_slice(listers: Listers, each: ResourceSlice) -> Iterable[Key]:
    for claim in listers.indexed(RESOURCECLAIM, CLAIMS_BY_POOL.name, _pool(each)):
        yield from _pods_of_claim(listers, claim)


def _taints_changed(old: ResourceSlice | None, new: ResourceSlice | None) -> bool:
    return _tainted(old) != _tainted(new)


def _tainted(each: ResourceSlice | None) -> object:
    devices = each.spec.devices if each is not None else ()
    return [
        (device.name, taint.key, taint.value, taint.time_added)
        for device in devices
        for taint in device.taints
        if taint.effect == NO_EXECUTE
    ]


SPEC = ControllerSpec(
    name="device-taint-eviction-controller",
    primary=None,
    read=read,
    plan=plan,
    watches=(
        Watch(POD, _own, when=_bound),
        Watch(RESOURCECLAIM, _pods_of_claim),
        Watch(RESOURCESLICE, _pods_of_slice, when=_taints_changed),
    ),
    indexes=(BY_POOL, CLAIMS_BY_POOL),
    workers=10,
    metrics=(EVICTED, EVICTED_S),
    measure=measure,
)
