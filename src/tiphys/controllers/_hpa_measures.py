"""What the autoscaler shows at /metrics. Source: pkg/controller/podautoscaler/monitor/metrics.go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tiphys.api.kinds import HORIZONTALPODAUTOSCALER
from tiphys.controllers._actions import Event, SetScale
from tiphys.controllers._measures import CounterOf, GaugeOf, HistogramOf, Labels, Measured, Turn, exponential

if TYPE_CHECKING:
    from tiphys.controllers._spec import Listers
    from tiphys.controllers.horizontalpodautoscaler import World

_PREFIX = "horizontal_pod_autoscaler_controller"
_LABELS = ("action", "error")
RECONCILIATIONS = CounterOf(
    f"{_PREFIX}_reconciliations_total",
    "Number of reconciliations of HPA controller, by what was done and which error came first.",
    _LABELS,
)
RECONCILIATION_S = HistogramOf(
    f"{_PREFIX}_reconciliation_duration_seconds",
    "The time(seconds) that the HPA controller takes to reconcile once.",
    exponential(0.001, 2, 15),
    _LABELS,
)
COMPUTATIONS = CounterOf(
    f"{_PREFIX}_metric_computation_total",
    "Number of metric computations, by the type of the metric.",
    (*_LABELS, "metric_type"),
)
_SPEC_REASONS = frozenset(("InvalidSelector", "AmbiguousSelector", "InvalidMetricSourceType", "FailedGetScale"))


def _count(listers: Listers) -> Mapping[Labels, float]:
    return {(): float(sum(1 for _ in listers.list(HORIZONTALPODAUTOSCALER)))}


def _desired(listers: Listers) -> Mapping[Labels, float]:
    return {
        (each.metadata.namespace, each.metadata.name): float(each.status.desired_replicas)
        for each in listers.list(HORIZONTALPODAUTOSCALER)
    }


METRICS = (
    RECONCILIATIONS,
    RECONCILIATION_S,
    COMPUTATIONS,
    GaugeOf(f"{_PREFIX}_num_horizontal_pod_autoscalers", "Current number of controlled HPA objects.", (), _count),
    GaugeOf(
        f"{_PREFIX}_desired_replicas",
        "Current desired replica count for HPA objects.",
        ("namespace", "hpa_name"),
        _desired,
    ),
)


def measure(turn: Turn[World]) -> Iterator[Measured]:
    labels = (_action(turn), _error(turn))
    yield Measured(RECONCILIATIONS, labels)
    yield Measured(RECONCILIATION_S, labels, turn.seconds)
    for metric in turn.world.autoscaler.spec.metrics if turn.world.readings else ():
        yield Measured(COMPUTATIONS, (*labels, metric.type))


def _action(turn: Turn[World]) -> str:
    scale = turn.world.scale
    for each in turn.actions:
        if isinstance(each, SetScale) and not isinstance(scale, str) and turn.error is None:
            return "scale_up" if each.scale["spec"]["replicas"] > scale.replicas else "scale_down"
    return "none"


def _error(turn: Turn[World]) -> str:
    if turn.error is not None:
        return "internal"
    reasons = {each.reason for each in turn.actions if isinstance(each, Event) and each.type == "Warning"}
    if reasons & _SPEC_REASONS:
        return "spec"
    return "internal" if reasons else "none"
