"""HorizontalPodAutoscaler between autoscaling/v1 and v2: what v1 has no field for travels in annotations.

Source: pkg/apis/autoscaling/v1/conversion.go, pkg/apis/autoscaling/annotations.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.kinds.autoscaling import horizontalpodautoscaler_schema as v2
from tiphys.api.kinds.autoscaling import horizontalpodautoscaler_v1 as v1
from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_v1 import BEHAVIOR, CONDITIONS, CURRENT_METRICS, METRICS
from tiphys.api.meta.schema import Struct

S = TypeVar("S", bound=Struct)

_OURS = frozenset((METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR))
CPU_UTILIZATION = 80
"""The target where none is given, in percent of the request."""

_Plain = dict[str, Any]


def to_v1(scaler: v2.HorizontalPodAutoscaler) -> v1.HorizontalPodAutoscaler:
    """The same autoscaler in version v1; both share parts."""
    spec, status = scaler.spec, scaler.status
    utilization = next(filter(None, map(_cpu_target, spec.metrics)), None)
    current = [
        metric.resource.current.average_utilization
        for metric in status.current_metrics
        if metric.resource is not None and _is_cpu(metric)
    ]
    return v1.HorizontalPodAutoscaler(
        kind=scaler.kind,
        api_version=v1.HORIZONTALPODAUTOSCALER_V1.api_version,
        metadata=msgspec.structs.replace(scaler.metadata, annotations=_annotations(scaler)),
        spec=v1.HorizontalPodAutoscalerSpec(
            scale_target_ref=_reference(v1.CrossVersionObjectReference, spec.scale_target_ref),
            min_replicas=spec.min_replicas,
            max_replicas=spec.max_replicas,
            target_cpu_utilization_percentage=utilization,
        ),
        status=v1.HorizontalPodAutoscalerStatus(
            observed_generation=status.observed_generation,
            last_scale_time=status.last_scale_time,
            current_replicas=status.current_replicas,
            desired_replicas=status.desired_replicas,
            current_cpu_utilization_percentage=next((each for each in reversed(current) if each is not None), None),
        ),
    )


def to_v2(scaler: v1.HorizontalPodAutoscaler) -> v2.HorizontalPodAutoscaler:
    """The same autoscaler in version v2, in which it is stored; both share parts.

    Annotations that cannot be read are dropped.
    """
    spec, status, notes = scaler.spec, scaler.status, scaler.metadata.annotations
    metrics = [_cpu_metric(spec.target_cpu_utilization_percentage)] if spec.target_cpu_utilization_percentage else []
    others = _noted(notes, METRICS, v2.MetricSpec, lambda metric: _metric_from_v1(metric, "target"))
    current = _noted(notes, CURRENT_METRICS, v2.MetricStatus, lambda metric: _metric_from_v1(metric, "current"))
    if current is None and status.current_cpu_utilization_percentage is not None:
        current = [_cpu_status(status.current_cpu_utilization_percentage)]
    behavior = _noted(notes, BEHAVIOR, v2.HorizontalPodAutoscalerBehavior, _lower_case)
    metadata = scaler.metadata
    if not _OURS.isdisjoint(notes):
        kept = {key: text for key, text in notes.items() if key not in _OURS}
        metadata = msgspec.structs.replace(metadata, annotations=kept)
    return v2.HorizontalPodAutoscaler(
        kind=scaler.kind,
        api_version="autoscaling/v2",
        metadata=metadata,
        spec=v2.HorizontalPodAutoscalerSpec(
            scale_target_ref=_reference(v2.CrossVersionObjectReference, spec.scale_target_ref),
            min_replicas=spec.min_replicas,
            max_replicas=spec.max_replicas,
            metrics=[*(others or ()), *metrics] or [_cpu_metric(CPU_UTILIZATION)],
            behavior=behavior[0] if behavior and behavior[0] != v2.HorizontalPodAutoscalerBehavior() else None,
        ),
        status=v2.HorizontalPodAutoscalerStatus(
            observed_generation=status.observed_generation,
            last_scale_time=status.last_scale_time,
            current_replicas=status.current_replicas,
            desired_replicas=status.desired_replicas,
            current_metrics=current or [],
            conditions=_noted(notes, CONDITIONS, v2.HorizontalPodAutoscalerCondition, lambda plain: plain) or [],
        ),
    )


def _reference(schema: type[S], other: Any) -> S:
    return schema(kind=other.kind, name=other.name, api_version=other.api_version)


def _is_cpu(metric: Any) -> bool:
    return metric.type == "Resource" and metric.resource is not None and metric.resource.name == "cpu"


def _cpu_target(metric: v2.MetricSpec) -> int | None:
    if not _is_cpu(metric) or metric.resource is None:
        return None
    return metric.resource.target.average_utilization


def _cpu_metric(utilization: int) -> v2.MetricSpec:
    target = v2.MetricTarget(type="Utilization", average_utilization=utilization)
    return v2.MetricSpec(type="Resource", resource=v2.ResourceMetricSource(name="cpu", target=target))


def _cpu_status(utilization: int) -> v2.MetricStatus:
    current = v2.MetricValueStatus(average_utilization=utilization)
    return v2.MetricStatus(type="Resource", resource=v2.ResourceMetricStatus(name="cpu", current=current))


def _annotations(scaler: v2.HorizontalPodAutoscaler) -> dict[str, str]:
    spec, status = scaler.spec, scaler.status
    notes = {key: text for key, text in scaler.metadata.annotations.items() if key not in _OURS}
    others = [_metric_to_v1(metric, "target") for metric in spec.metrics if _cpu_target(metric) is None]
    current = [_metric_to_v1(metric, "current") for metric in status.current_metrics]
    for key, value in (
        (METRICS, others),
        (CURRENT_METRICS, current),
        (BEHAVIOR, _go_case(codec.to_json(spec.behavior)) if spec.behavior is not None else None),
        (CONDITIONS, [codec.to_json(condition) for condition in status.conditions]),
    ):
        if value:
            notes[key] = msgspec.json.encode(value).decode()
    return notes


def _noted(notes: dict[str, str], key: str, schema: type[S], convert: Callable[[_Plain], _Plain]) -> list[S] | None:
    """The objects in an annotation; None where there are none, or they cannot be read."""
    if key not in notes:
        return None
    try:
        plain = msgspec.json.decode(notes[key])
        items: Iterable[Any] = plain if isinstance(plain, list) else [plain]
        return [codec.from_json(schema, convert(item)) for item in items]
    except (ApiError, ValueError, TypeError, AttributeError, KeyError):
        return None


def _some(**values: Any) -> _Plain:
    return {key: value for key, value in values.items() if value is not None}


def _metric_to_v1(metric: v2.MetricSpec | v2.MetricStatus, word: str) -> _Plain:
    """`word`: `target` or `current`, which is also how v1's fields begin."""
    plain = codec.to_json(metric)
    return {key: _source_to_v1(key, body, word) if isinstance(body, dict) else body for key, body in plain.items()}


def _source_to_v1(source: str, body: _Plain, word: str) -> _Plain:
    values, named = body.get(word, {}), body.get("metric", {})
    value, average = values.get("value"), values.get("averageValue")
    # A quantity that is no pointer in v1 is written in any case.
    zero_if = {True: "0", False: None}
    if source in ("resource", "containerResource"):
        return _some(
            name=body.get("name"),
            **{
                f"{word}AverageUtilization": values.get("averageUtilization"),
                f"{word}AverageValue": average or zero_if[word == "current"],
            },
            container=body.get("container"),
        )
    if source == "pods":
        return _some(
            metricName=named.get("name"), **{f"{word}AverageValue": average or "0"}, selector=named.get("selector")
        )
    if source == "object":
        return _some(
            target=body.get("describedObject"),
            metricName=named.get("name"),
            **{f"{word}Value": value or "0"},
            selector=named.get("selector"),
            averageValue=average,
        )
    return _some(
        metricName=named.get("name"),
        metricSelector=named.get("selector"),
        **{f"{word}Value": value or zero_if[word == "current"], f"{word}AverageValue": average},
    )


def _metric_from_v1(plain: _Plain, word: str) -> _Plain:
    return {key: _source_from_v1(key, body, word) if isinstance(body, dict) else body for key, body in plain.items()}


def _source_from_v1(source: str, body: _Plain, word: str) -> _Plain:
    value, average = body.get(f"{word}Value"), body.get(f"{word}AverageValue")
    selector = body.get("metricSelector") if source == "external" else body.get("selector")
    metric = _some(name=body.get("metricName"), selector=selector)
    if source in ("resource", "containerResource"):
        utilization = body.get(f"{word}AverageUtilization")
        values = _some(averageValue=average, averageUtilization=utilization)
        kind = "AverageValue" if utilization is None else "Utilization"
        made = _some(name=body.get("name"), container=body.get("container"))
    elif source == "pods":
        values, kind, made = _some(averageValue=average or "0"), "AverageValue", {"metric": metric}
    elif source == "object":
        average = body.get("averageValue")
        kind = "Value" if average is None else "AverageValue"
        kept = value if kind == "Value" or word == "current" or value not in (None, "0") else None
        values = _some(value=kept, averageValue=average)
        made = {"metric": metric, "describedObject": body.get("target", {})}
    else:
        kind = "AverageValue" if value is None else "Value"
        values, made = _some(value=value, averageValue=average), {"metric": metric}
    if word == "target":
        values = {"type": kind, **values}
    return {**made, word: values}


def _go_case(plain: Any) -> Any:
    """Upstream writes the behaviour with Go's field names, and all of its fields."""
    if isinstance(plain, dict):
        return {key[0].upper() + key[1:]: _go_case(value) for key, value in plain.items()}
    return [_go_case(item) for item in plain] if isinstance(plain, list) else plain


def _lower_case(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key[:1].lower() + key[1:]: _lower_case(value) for key, value in plain.items()}
    return [_lower_case(item) for item in plain] if isinstance(plain, list) else plain
