"""How many replicas one metric asks for. Pure arithmetic on readings and pods; all amounts are in thousandths.

Pods that are not ready, and pods without a reading, count for what makes the least change: as idle when scaling up, as
busy when scaling down; if that turns the decision round, nothing changes.
Source: pkg/controller/podautoscaler/replica_calculator.go, metrics/utilization.go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.api.kinds.core.pod.facts import is_ready, is_sidecar, ready_condition, requests
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base import quantity
from tiphys.base.clock import parse_rfc3339
from tiphys.controllers._metrics_client import PodReading

CPU_INITIALIZATION_S, READINESS_DELAY_S = 300.0, 30.0
INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far from 1 the ratio of usage to target may be, in each direction, without anything being done."""

    down: float = 0.1
    up: float = 0.1

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Proposal:
    replicas: int
    milli: int
    """The reading, averaged or in all."""
    percent: int | None = None
    """The reading as a share of requests."""


@dataclass(frozen=True, slots=True)
class _Groups:
    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def by_utilization(
    current: int,
    target_percent: int,
    resource: str,
    container: str,
    readings: Mapping[str, PodReading],
    pods: Sequence[Pod],
    tolerance: Tolerance,
    now: datetime,
) -> Proposal:
    """By what pods use of what they request. Raises ValueError with upstream's words."""
    groups, values = _grouped(readings, pods, resource, now)
    wanted = {pod.metadata.name: _request(pod, container, resource) for pod in pods}
    ratio, percent, average = _utilization(values, wanted, target_percent)
    surprises = bool(groups.unready) and ratio > 1.0
    if not surprises and not groups.missing:
        count = current if tolerance.covers(ratio) else math.ceil(ratio * groups.ready)
        return Proposal(count, average, percent)
    if ratio < 1.0:
        fallback = max(100, target_percent)
        values |= {name: wanted[name] * fallback // 100 for name in groups.missing}
    elif ratio > 1.0:
        values |= dict.fromkeys(groups.missing, 0)
    if surprises:
        values |= dict.fromkeys(groups.unready, 0)
    second, _, _ = _utilization(values, wanted, target_percent)
    return Proposal(_cautious(current, ratio, second, len(values), tolerance), average, percent)


def by_average(
    current: int,
    target_milli: int,
    resource: str,
    readings: Mapping[str, PodReading],
    pods: Sequence[Pod],
    tolerance: Tolerance,
    now: datetime,
) -> Proposal:
    """By the average over pods. `resource` is empty for custom metrics. Raises ValueError with upstream's words."""
    groups, values = _grouped(readings, pods, resource, now)
    average = sum(values.values()) // len(values)
    ratio = average / target_milli
    surprises = bool(groups.unready) and ratio > 1.0
    if not surprises and not groups.missing:
        return Proposal(current if tolerance.covers(ratio) else math.ceil(ratio * groups.ready), average)
    if ratio < 1.0:
        values |= dict.fromkeys(groups.missing, target_milli)
    elif ratio > 1.0:
        values |= dict.fromkeys(groups.missing, 0)
    if surprises:
        values |= dict.fromkeys(groups.unready, 0)
    second = sum(values.values()) // len(values) / target_milli
    return Proposal(_cautious(current, ratio, second, len(values), tolerance), average)


def by_value(current: int, target_milli: int, total_milli: int, pods: Sequence[Pod], tolerance: Tolerance) -> Proposal:
    """By one number for all pods together. Raises ValueError with upstream's words."""
    ratio = total_milli / target_milli
    if current == 0:
        return Proposal(min(math.ceil(ratio), INT32_MAX), total_milli)
    if tolerance.covers(ratio):
        return Proposal(current, total_milli)
    if not pods:
        raise ValueError("unable to calculate ready pods: no pods returned by selector while calculating replica count")
    ready = sum(pod.status.phase == "Running" and is_ready(pod) for pod in pods)
    return Proposal(min(math.ceil(ratio * ready), INT32_MAX), total_milli)


def by_value_per_pod(status_replicas: int, target_milli: int, total_milli: int, tolerance: Tolerance) -> Proposal:
    """By one number, divided by the pods that there are."""
    count = status_replicas
    if count == 0 or not tolerance.covers(total_milli / (target_milli * count)):
        count = min(math.ceil(total_milli / target_milli), INT32_MAX)
    average = math.ceil(total_milli / status_replicas) if status_replicas else total_milli
    return Proposal(count, average)


# --- parts


def _grouped(
    readings: Mapping[str, PodReading], pods: Sequence[Pod], resource: str, now: datetime
) -> tuple[_Groups, dict[str, int]]:
    """The pods by what their readings are worth, and the readings that count."""
    if not pods:
        raise ValueError("no pods returned by selector while calculating replica count")
    ready = 0
    unready, missing, ignored = set[str](), set[str](), set[str]()
    for pod in pods:
        name, phase = pod.metadata.name, pod.status.phase
        if pod.metadata.deletion_timestamp is not None or phase == "Failed":
            ignored.add(name)
        elif phase == "Pending":
            unready.add(name)
        elif name not in readings:
            missing.add(name)
        elif resource == "cpu" and _is_starting(pod, readings[name], now):
            unready.add(name)
        else:
            ready += 1
    values = {name: reading.milli for name, reading in readings.items() if name not in unready | ignored}
    if not values:
        raise ValueError("did not receive metrics for targeted pods (pods might be unready)")
    return _Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored)), values


def _is_starting(pod: Pod, reading: PodReading, now: datetime) -> bool:
    """Whether what the pod takes now says little of what it will take."""
    condition, start = ready_condition(pod), pod.status.start_time
    if condition is None or start is None:
        return True
    started = parse_rfc3339(start)
    changed = parse_rfc3339(condition.last_transition_time) if condition.last_transition_time else started
    if started + timedelta(seconds=CPU_INITIALIZATION_S) > now:
        return condition.status == "False" or reading.at < changed + timedelta(seconds=reading.window_s)
    return condition.status == "False" and started + timedelta(seconds=READINESS_DELAY_S) > changed


def _utilization(values: Mapping[str, int], wanted: Mapping[str, int], target_percent: int) -> tuple[float, int, int]:
    """(ratio to the target, percentage of requests, average)"""
    known = [name for name in values if name in wanted]
    requested = sum(wanted[name] for name in known)
    if requested == 0:
        raise ValueError("no metrics returned matched known pods")
    used = sum(values[name] for name in known)
    percent = used * 100 // requested
    return percent / target_percent, percent, used // len(known)


def _cautious(current: int, ratio: float, second: float, pods: int, tolerance: Tolerance) -> int:
    """The count that the second, cautious ratio gives, unless it contradicts the first."""
    if tolerance.covers(second) or (ratio < 1.0 < second) or (ratio > 1.0 > second):
        return current
    count = math.ceil(second * pods)
    if (second < 1.0 and count > current) or (second > 1.0 and count < current):
        return current
    return count


def _request(pod: Pod, container: str, resource: str) -> int:
    """What the pod, or one of its containers, requests, in thousandths. Raises ValueError."""
    if pod.spec.resources is not None and pod.spec.resources.requests and not container:
        total = requests(pod).get(resource)
        if total is None:
            raise ValueError(f"missing pod-level request for {resource} in Pod {pod.metadata.name}")
        return total if resource == "cpu" else total * 1000
    total = 0
    sidecars = [each for each in pod.spec.init_containers if is_sidecar(each)]
    for each in (*pod.spec.containers, *sidecars):
        if container not in ("", each.name):
            continue
        amount = each.resources.requests.get(resource)
        if amount is None:
            raise ValueError(f"missing request for {resource} in container {each.name} of Pod {pod.metadata.name}")
        total += quantity.milli(amount)
        if container:
            return total
    if container:
        raise ValueError(f"container {container} not found in Pod {pod.metadata.name}")
    return total
