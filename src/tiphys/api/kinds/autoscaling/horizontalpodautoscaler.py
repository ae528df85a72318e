"""HorizontalPodAutoscaler: defaults, strategy, columns.

Source: pkg/apis/autoscaling/v2/defaults.go, pkg/registry/autoscaling/horizontalpodautoscaler/strategy.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_schema import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerStatus,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricSpec,
    MetricStatus,
    MetricTarget,
    MetricValueStatus,
    ResourceMetricSource,
)
from tiphys.api.kinds.autoscaling.hpa_validation import validate, validate_status
from tiphys.api.kinds.columns import AGE, NAME, NONE, UNKNOWN
from tiphys.api.meta.schema import Quantity, copy_of

DEFAULT_CPU_UTILIZATION = 80
UP_PODS, PERCENT, PERIOD_S = 4, 100, 15


def _default(obj: HorizontalPodAutoscaler) -> None:
    spec = obj.spec
    if spec.min_replicas is None:
        spec.min_replicas = 1
    if not spec.metrics:
        target = MetricTarget(type="Utilization", average_utilization=DEFAULT_CPU_UTILIZATION)
        spec.metrics = [MetricSpec(type="Resource", resource=ResourceMetricSource(name="cpu", target=target))]
    if spec.behavior is not None:
        spec.behavior.scale_up = scale_up_rules(spec.behavior.scale_up)
        spec.behavior.scale_down = scale_down_rules(spec.behavior.scale_down)


def scale_up_rules(stated: HPAScalingRules | None) -> HPAScalingRules:
    """At once, by four pods or to the double within 15 s, whichever is more, where nothing else is said."""
    rules = stated or HPAScalingRules()
    if rules.stabilization_window_seconds is None:
        rules.stabilization_window_seconds = 0
    rules.select_policy = rules.select_policy or "Max"
    rules.policies = rules.policies or [
        HPAScalingPolicy(type="Pods", value=UP_PODS, period_seconds=PERIOD_S),
        HPAScalingPolicy(type="Percent", value=PERCENT, period_seconds=PERIOD_S),
    ]
    return rules


def scale_down_rules(stated: HPAScalingRules | None) -> HPAScalingRules:
    """To nothing at once, after the controller's own time of waiting, where nothing else is said."""
    rules = stated or HPAScalingRules()
    rules.select_policy = rules.select_policy or "Max"
    rules.policies = rules.policies or [HPAScalingPolicy(type="Percent", value=PERCENT, period_seconds=PERIOD_S)]
    return rules


def _prepare(obj: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler | None) -> None:
    obj.status = copy_of(old.status) if old is not None else HorizontalPodAutoscalerStatus()


def _prepare_status(obj: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler) -> None:
    obj.spec = copy_of(old.spec)


# --- columns

_SHOWN = 2


def metrics_text(specs: Sequence[MetricSpec], statuses: Sequence[MetricStatus]) -> str:
    """`cpu: 12%/80%, 30m/1 + 1 more...`: each metric and its target."""
    if not specs:
        return NONE
    texts = [_metric_text(spec, statuses[index] if index < len(statuses) else None) for index, spec in enumerate(specs)]
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" + {more} more..." if more > 0 else "")


def _metric_text(spec: MetricSpec, status: MetricStatus | None) -> str:
    current = status or MetricStatus()
    if spec.external is not None and spec.type == "External":
        return _value_text(spec.external.target, current.external.current if current.external else None)
    if spec.object_ is not None and spec.type == "Object":
        return _value_text(spec.object_.target, current.object_.current if current.object_ else None)
    if spec.pods is not None and spec.type == "Pods":
        seen = current.pods.current if current.pods else MetricValueStatus()
        return f"{_shown(seen.average_value)}/{_shown(spec.pods.target.average_value)}"
    if spec.resource is not None and spec.type == "Resource":
        used = current.resource.current if current.resource else None
        return f"{spec.resource.name}: {_resource_text(spec.resource.target, used)}"
    if spec.container_resource is not None and spec.type == "ContainerResource":
        used = current.container_resource.current if current.container_resource else None
        return f"{spec.container_resource.name}: {_resource_text(spec.container_resource.target, used)}"
    return "<unknown type>"


def _shown(value: Quantity | None) -> str:
    return UNKNOWN if value is None else str(value)


def _value_text(target: MetricTarget, seen: MetricValueStatus | None) -> str:
    current = seen or MetricValueStatus()
    if target.average_value is not None:
        return f"{_shown(current.average_value)}/{target.average_value} (avg)"
    return f"{_shown(current.value)}/{_shown(target.value)}"


def _resource_text(target: MetricTarget, seen: MetricValueStatus | None) -> str:
    current = seen or MetricValueStatus()
    if target.average_value is not None:
        return f"{_shown(current.average_value)}/{target.average_value}"
    used = UNKNOWN if current.average_utilization is None else f"{current.average_utilization}%"
    wanted = "<auto>" if target.average_utilization is None else f"{target.average_utilization}%"
    return f"{used}/{wanted}"


def _reference(obj: HorizontalPodAutoscaler) -> str:
    return f"{obj.spec.scale_target_ref.kind}/{obj.spec.scale_target_ref.name}"


def _minimum(obj: HorizontalPodAutoscaler) -> str:
    return "<unset>" if obj.spec.min_replicas is None else str(obj.spec.min_replicas)


COLUMNS: tuple[Column[HorizontalPodAutoscaler], ...] = (
    NAME,
    Column("Reference", "string", _reference, "What it scales."),
    Column(
        "Targets", "string", lambda obj: metrics_text(obj.spec.metrics, obj.status.current_metrics), "Metrics and aims."
    ),
    Column("MinPods", "string", _minimum, "Never fewer pods than these."),
    Column("MaxPods", "string", lambda obj: obj.spec.max_replicas, "Never more pods than these."),
    Column("Replicas", "string", lambda obj: obj.status.current_replicas, "How many there are."),
    AGE,
)


HORIZONTALPODAUTOSCALER = Kind(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    schema=HorizontalPodAutoscaler,
    short_names=("hpa",),
    categories=("all",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=_default,
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=validate,
    validate_status=validate_status,
    columns=COLUMNS,
)
