"""What a HorizontalPodAutoscaler may say. Source: pkg/apis/autoscaling/validation/validation.go."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_schema import (
    CrossVersionObjectReference,
    HorizontalPodAutoscaler,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
)
from tiphys.api.meta.validation import NOT_NEGATIVE, each, non_negative
from tiphys.base import quantity

WINDOW_MAX_S, PERIOD_MAX_S = 3600, 1800
SELECT_POLICIES, POLICY_TYPES = ("Disabled", "Max", "Min"), ("Percent", "Pods")
SOURCES = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "External": "external",
    "ContainerResource": "containerResource",
}
SOURCE_TYPES = tuple(sorted(SOURCES))


def validate(obj: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler | None) -> Iterator[FieldError]:
    spec = obj.spec
    # Scaling to zero is behind a gate that is off; what is stored may keep it.
    lowest = 0 if old is not None and old.spec.min_replicas == 0 else 1
    if spec.min_replicas is not None and spec.min_replicas < lowest:
        yield invalid("spec.minReplicas", spec.min_replicas, f"must be greater than or equal to {lowest}")
    if spec.max_replicas == 0:
        yield required("spec.maxReplicas", "must be set and greater than 0")
    elif spec.max_replicas < 0:
        yield invalid("spec.maxReplicas", spec.max_replicas, "must be greater than or equal to 1")
    if spec.min_replicas is not None and spec.max_replicas < spec.min_replicas:
        yield invalid("spec.maxReplicas", spec.max_replicas, "must be greater than or equal to `minReplicas`")
    target, before = spec.scale_target_ref, old.spec.scale_target_ref if old is not None else None
    same = before is not None and (before.kind, before.api_version) == (target.kind, target.api_version)
    yield from _reference(target, "spec.scaleTargetRef", versioned=not same)
    if not same and target.kind != "ReplicationController" and "/" not in target.api_version:
        why = "apiVersion must specify API group"
        yield invalid("spec.scaleTargetRef.apiVersion", target.api_version, why)
    for index, metric in enumerate(spec.metrics):
        yield from _metric(metric, f"spec.metrics[{index}]")
    if spec.min_replicas == 0 and not {"Object", "External"} & {metric.type for metric in spec.metrics}:
        why = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield forbidden("spec.metrics", why)
    if spec.behavior is not None:
        yield from _rules(spec.behavior.scale_up, "spec.behavior.scaleUp")
        yield from _rules(spec.behavior.scale_down, "spec.behavior.scaleDown")


def validate_status(obj: HorizontalPodAutoscaler, _old: HorizontalPodAutoscaler | None) -> Iterator[FieldError]:
    yield from non_negative("status.currentReplicas", obj.status.current_replicas)
    yield from non_negative("status.desiredReplicas", obj.status.desired_replicas)


def _reference(reference: CrossVersionObjectReference, path: str, *, versioned: bool = True) -> Iterator[FieldError]:
    for name, value in (("kind", reference.kind), ("name", reference.name)):
        if not value:
            yield required(f"{path}.{name}")
        else:
            yield from each(f"{path}.{name}", value, names.path_segment(value))
    version = reference.api_version
    if versioned and version.count("/") > 1:
        yield invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")


# --- behaviour


def _rules(rules: HPAScalingRules | None, path: str) -> Iterator[FieldError]:
    if rules is None:
        return
    window_s = rules.stabilization_window_seconds
    if window_s is not None and window_s < 0:
        yield invalid(f"{path}.stabilizationWindowSeconds", window_s, "must be greater than or equal to zero")
    if window_s is not None and window_s > WINDOW_MAX_S:
        why = f"must be less than or equal to {WINDOW_MAX_S}"
        yield invalid(f"{path}.stabilizationWindowSeconds", window_s, why)
    if rules.select_policy is not None and rules.select_policy not in SELECT_POLICIES:
        yield not_supported(f"{path}.selectPolicy", rules.select_policy, SELECT_POLICIES)
    if not rules.policies:
        yield required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(rules.policies):
        yield from _policy(policy, f"{path}.policies[{index}]")
    if rules.tolerance is not None and quantity.parse(rules.tolerance) < 0:
        yield invalid(f"{path}.tolerance", rules.tolerance, NOT_NEGATIVE)


def _policy(policy: HPAScalingPolicy, path: str) -> Iterator[FieldError]:
    if policy.type not in POLICY_TYPES:
        yield not_supported(f"{path}.type", policy.type, POLICY_TYPES)
    if policy.value <= 0:
        yield invalid(f"{path}.value", policy.value, "must be greater than zero")
    if policy.period_seconds <= 0:
        yield invalid(f"{path}.periodSeconds", policy.period_seconds, "must be greater than zero")
    if policy.period_seconds > PERIOD_MAX_S:
        why = f"must be less than or equal to {PERIOD_MAX_S}"
        yield invalid(f"{path}.periodSeconds", policy.period_seconds, why)


# --- metrics


def _metric(metric: MetricSpec, path: str) -> Iterator[FieldError]:
    if not metric.type:
        yield required(f"{path}.type", "must specify a metric source type")
    if metric.type not in SOURCES:
        yield not_supported(f"{path}.type", metric.type, SOURCE_TYPES)
    present = [
        (name, source)
        for name, source in (
            ("object", metric.object_),
            ("external", metric.external),
            ("pods", metric.pods),
            ("resource", metric.resource),
            ("containerResource", metric.container_resource),
        )
        if source is not None
    ]
    if present:
        yield from _source(metric, present[0][0], f"{path}.{present[0][0]}")
    expected = SOURCES.get(metric.type)
    if expected is not None and expected not in [name for name, _ in present]:
        yield required(f"{path}.{expected}", "must populate information for the given metric source")
    if len(present) != 1:
        for name, _ in present:
            if name != expected:
                yield forbidden(f"{path}.{name}", "must populate the given metric source only")


def _source(metric: MetricSpec, name: str, path: str) -> Iterator[FieldError]:
    if name == "object" and metric.object_ is not None:
        yield from _reference(metric.object_.described_object, f"{path}.describedObject")
        yield from _identifier(metric.object_.metric, f"{path}.metric")
        target = metric.object_.target
        yield from _target(target, f"{path}.target")
        if target.value is None and target.average_value is None:
            yield required(f"{path}.target.averageValue", "must set either a target value or averageValue")
    elif name == "external" and metric.external is not None:
        yield from _identifier(metric.external.metric, f"{path}.metric")
        target = metric.external.target
        yield from _target(target, f"{path}.target")
        if target.value is None and target.average_value is None:
            why = "must set either a target value for metric or a per-pod target"
            yield required(f"{path}.target.averageValue", why)
        if target.value is not None and target.average_value is not None:
            why = "may not set both a target value for metric and a per-pod target"
            yield forbidden(f"{path}.target.value", why)
    elif name == "pods" and metric.pods is not None:
        yield from _identifier(metric.pods.metric, f"{path}.metric")
        yield from _target(metric.pods.target, f"{path}.target")
        if metric.pods.target.average_value is None:
            yield required(f"{path}.target.averageValue", "must specify a positive target averageValue")
    elif name == "resource" and metric.resource is not None:
        if not metric.resource.name:
            yield required(f"{path}.name", "must specify a resource name")
        yield from _resource_target(metric.resource.target, f"{path}.target")
    elif metric.container_resource is not None:
        source = metric.container_resource
        if not source.name:
            yield required(f"{path}.name", "must specify a resource name")
        if not source.container:
            yield required(f"{path}.container", "must specify a container")
        else:
            yield from each(f"{path}.container", source.container, names.dns_label(source.container))
        yield from _resource_target(source.target, f"{path}.target")


def _resource_target(target: MetricTarget, path: str) -> Iterator[FieldError]:
    yield from _target(target, path)
    if target.average_utilization is None and target.average_value is None:
        yield required(f"{path}.averageUtilization", "must set either a target raw value or a target utilization")
    if target.average_utilization is not None and target.average_value is not None:
        yield forbidden(f"{path}.averageValue", "may not set both a target raw value and a target utilization")


def _target(target: MetricTarget, path: str) -> Iterator[FieldError]:
    if not target.type:
        yield required(f"{path}.type", "must specify a metric target type")
    if target.type not in ("Utilization", "Value", "AverageValue"):
        yield invalid(f"{path}.type", target.type, "must be either Utilization, Value, or AverageValue")
    for name, value in (("value", target.value), ("averageValue", target.average_value)):
        if value is not None and quantity.parse(value) <= 0:
            yield invalid(f"{path}.{name}", value, "must be positive")
    if target.average_utilization is not None and target.average_utilization < 1:
        yield invalid(f"{path}.averageUtilization", target.average_utilization, "must be greater than 0")


def _identifier(metric: MetricIdentifier, path: str) -> Iterator[FieldError]:
    if not metric.name:
        yield required(f"{path}.name", "must specify a metric name")
    else:
        yield from each(f"{path}.name", metric.name, names.path_segment(metric.name))
