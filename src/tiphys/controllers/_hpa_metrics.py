"""From one metric of an autoscaler to a proposal, its status, and the words for what went wrong.

Source: pkg/controller/podautoscaler/horizontal.go (computeReplicasForMetric and what it calls).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_schema import (
    ContainerResourceMetricStatus,
    ExternalMetricStatus,
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus,
    MetricIdentifier,
    MetricSpec,
    MetricStatus,
    MetricTarget,
    MetricValueStatus,
    ObjectMetricStatus,
    PodsMetricStatus,
    ResourceMetricStatus,
)
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import text_of
from tiphys.api.meta.schema import Quantity
from tiphys.base import quantity
from tiphys.base.clock import rfc3339
from tiphys.controllers._hpa_replicas import Proposal, Tolerance, by_average, by_utilization, by_value, by_value_per_pod
from tiphys.controllers._metrics_client import Readings, Scale


class MetricError(Exception):
    """A metric that tells nothing. `reason` is that of the condition, `detail` its words; the text is the whole."""

    def __init__(self, reason: str, detail: str, text: str = "") -> None:
        super().__init__(text or detail)
        self.reason, self.detail = reason, detail


def tolerance_of(behavior: HorizontalPodAutoscalerBehavior | None) -> Tolerance:
    known = Tolerance()
    if behavior is None:
        return known
    down = behavior.scale_down.tolerance if behavior.scale_down is not None else None
    up = behavior.scale_up.tolerance if behavior.scale_up is not None else None
    return Tolerance(
        known.down if down is None else float(quantity.parse(down)),
        known.up if up is None else float(quantity.parse(up)),
    )


Look = tuple[Readings, Scale, Sequence[Pod], Tolerance, datetime]


def propose(
    spec: MetricSpec,
    readings: Readings,
    scale: Scale,
    pods: Sequence[Pod],
    tolerance: Tolerance,
    now: datetime,
    status: MetricStatus,
) -> tuple[int, str]:
    """(count, what it is from). Fills `status`. Raises MetricError."""
    status.type = spec.type
    look = (readings, scale, pods, tolerance, now)
    source = _SOURCES.get(spec.type)
    if source is None:
        raise MetricError("InvalidMetricSourceType", f'unknown metric source type "{spec.type}"')
    return source(spec, look, status)


def _wrapped(reason: str, prefix: str, detail: str) -> MetricError:
    return MetricError(reason, detail, f"{prefix}: {detail}")


def _resource(spec: MetricSpec, look: Look, status: MetricStatus) -> tuple[int, str]:
    source = spec.resource
    if source is None:
        raise MetricError("FailedGetResourceMetric", "no resource metric source")
    try:
        found, kind = _of_resource(source.name, "", source.target, look)
    except ValueError as error:
        prefix = f"failed to get {source.name} resource metric value"
        raise _wrapped("FailedGetResourceMetric", prefix, str(error)) from None
    status.resource = ResourceMetricStatus(name=source.name, current=_used(found, source.name))
    return found.replicas, f"{source.name} resource{kind and f' {kind}'}"


def _container(spec: MetricSpec, look: Look, status: MetricStatus) -> tuple[int, str]:
    source = spec.container_resource
    if source is None:
        raise MetricError("FailedGetContainerResourceMetric", "no container resource metric source")
    try:
        found, kind = _of_resource(source.name, source.container, source.target, look)
    except ValueError as error:
        prefix = f"failed to get {source.container} container metric value"
        raise _wrapped("FailedGetContainerResourceMetric", prefix, str(error)) from None
    status.container_resource = ContainerResourceMetricStatus(
        name=source.name, container=source.container, current=_used(found, source.name)
    )
    return found.replicas, f"{source.name} container resource {kind}" if kind else f"{source.name} resource"


def _of_resource(name: str, container: str, target: MetricTarget, look: Look) -> tuple[Proposal, str]:
    """The proposal, and how the metric is called beyond the resource. Raises ValueError."""
    readings, scale, pods, tolerance, now = look
    what = "usage" if target.average_value is not None else "utilization"
    if target.average_value is None and target.average_utilization is None:
        raise ValueError(
            "invalid resource metric source: neither an average utilization target nor an average value (usage) "
            "target was set"
        )
    try:
        if readings.by_pod is None:
            raise ValueError(f"unable to get metrics for resource {name}: {readings.error}")
        if target.average_value is not None:
            wanted = quantity.milli(target.average_value)
            return by_average(scale.replicas, wanted, name, readings.by_pod, pods, tolerance, now), ""
        percent = target.average_utilization or 1
        found = by_utilization(scale.replicas, percent, name, container, readings.by_pod, pods, tolerance, now)
    except ValueError as error:
        raise ValueError(f"failed to get {name} {what}: {error}") from None
    return found, "utilization (percentage of request)"


def _pods(spec: MetricSpec, look: Look, status: MetricStatus) -> tuple[int, str]:
    source = spec.pods
    readings, scale, pods, tolerance, now = look
    if source is None or source.target.average_value is None:
        raise MetricError("FailedGetPodsMetric", "no pods metric source")
    name = source.metric.name
    try:
        if readings.by_pod is None:
            raise ValueError(f"unable to get metric {name}: {readings.error}")
        wanted = quantity.milli(source.target.average_value)
        found = by_average(scale.replicas, wanted, "", readings.by_pod, pods, tolerance, now)
    except ValueError as error:
        raise _wrapped("FailedGetPodsMetric", "failed to get pods metric value", str(error)) from None
    current = MetricValueStatus(average_value=_amount(found.milli))
    status.pods = PodsMetricStatus(metric=source.metric, current=current)
    return found.replicas, f"pods metric {name}"


def _object(spec: MetricSpec, look: Look, status: MetricStatus) -> tuple[int, str]:
    source = spec.object_
    readings, scale, pods, tolerance, _ = look
    if source is None:
        raise MetricError("FailedGetObjectMetric", "no object metric source")
    about, metric = source.described_object, source.metric
    current = MetricValueStatus()
    try:
        if readings.error:
            raise ValueError(f"unable to get metric {metric.name}: {about.kind} on  {about.name}/{readings.error}")
        found = _by_target(source.target, sum(readings.values_milli), scale, pods, tolerance, current, "object")
    except ValueError as error:
        raise _wrapped("FailedGetObjectMetric", "failed to get object metric value", str(error)) from None
    status.object_ = ObjectMetricStatus(metric=metric, described_object=about, current=current)
    if current.value is not None:
        return found.replicas, f"{about.kind} metric {metric.name}"
    return found.replicas, f"external metric {metric.name}({_selector_text(metric)})"


def _external(spec: MetricSpec, look: Look, status: MetricStatus) -> tuple[int, str]:
    source = spec.external
    readings, scale, pods, tolerance, _ = look
    if source is None:
        raise MetricError("FailedGetExternalMetric", "no external metric source")
    metric = source.metric
    current = MetricValueStatus()
    try:
        if readings.error:
            raise ValueError(f"unable to get external metric {metric.name}/{_selector_text(metric)}: {readings.error}")
        found = _by_target(source.target, sum(readings.values_milli), scale, pods, tolerance, current, "external")
    except ValueError as error:
        prefix = f"failed to get {metric.name} external metric value"
        raise _wrapped("FailedGetExternalMetric", prefix, str(error)) from None
    status.external = ExternalMetricStatus(metric=metric, current=current)
    return found.replicas, f"external metric {metric.name}({_selector_text(metric)})"


def _by_target(
    target: MetricTarget,
    total_milli: int,
    scale: Scale,
    pods: Sequence[Pod],
    tolerance: Tolerance,
    current: MetricValueStatus,
    source: str,
) -> Proposal:
    """One number for all pods, or divided by them. Fills `current`. Raises ValueError."""
    if target.average_value is not None:
        wanted = quantity.milli(target.average_value)
        found = by_value_per_pod(scale.status_replicas, wanted, total_milli, tolerance)
        current.average_value = _amount(found.milli)
        return found
    if target.value is None:
        raise ValueError(f"invalid {source} metric source: neither a value target nor an average value target was set")
    found = by_value(scale.replicas, quantity.milli(target.value), total_milli, pods, tolerance)
    current.value = _amount(found.milli)
    return found


_SOURCES: dict[str, Callable[[MetricSpec, Look, MetricStatus], tuple[int, str]]] = {
    "Resource": _resource,
    "ContainerResource": _container,
    "Pods": _pods,
    "Object": _object,
    "External": _external,
}


def _used(found: Proposal, resource: str) -> MetricValueStatus:
    return MetricValueStatus(
        average_value=_amount(found.milli, binary=resource == "memory"), average_utilization=found.percent
    )


def _amount(milli: int, *, binary: bool = False) -> Quantity:
    if binary and milli % 1000 == 0:
        return Quantity(quantity.from_value(milli // 1000, binary=True))
    return Quantity(quantity.from_milli(milli))


def _selector_text(metric: MetricIdentifier) -> str:
    return "nil" if metric.selector is None else f"&LabelSelector{{{text_of(metric.selector)}}}"


# --- conditions


def set_condition(
    status: HorizontalPodAutoscalerStatus, kind: str, true: bool, reason: str, message: str, now: datetime
) -> None:
    """Mutates `status`. The time is that of the last change between true and false."""
    known = next((each for each in status.conditions if each.type == kind), None)
    if known is None:
        known = HorizontalPodAutoscalerCondition(type=kind)
        status.conditions.append(known)
    wanted = "True" if true else "False"
    if known.status != wanted:
        known.last_transition_time = rfc3339(now)
    known.status, known.reason, known.message = wanted, reason, message


def remove_condition(status: HorizontalPodAutoscalerStatus, kind: str) -> None:
    status.conditions = [each for each in status.conditions if each.type != kind]
