"""One autoscaler in its two versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.kinds.autoscaling import horizontalpodautoscaler as v2
from tiphys.api.kinds.autoscaling import horizontalpodautoscaler_v1 as v1
from tiphys.api.kinds.autoscaling.conversion import to_v1, to_v2
from tiphys.api.meta.schema import copy_of

_REFERENCE = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
_METRICS: list[dict[str, Any]] = [
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
    {
        "type": "ContainerResource",
        "containerResource": {
            "name": "memory", "container": "app", "target": {"type": "Utilization", "averageUtilization": 10},
        },
    },
    {
        "type": "Pods",
        "pods": {
            "metric": {"name": "requests", "selector": {"matchLabels": {"verb": "GET"}}},
            "target": {"type": "AverageValue", "averageValue": "10"},
        },
    },
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Ingress", "name": "main"},
            "metric": {"name": "hits"},
            "target": {"type": "Value", "value": "2k"},
        },
    },
    {
        "type": "External",
        "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "30"}},
    },
]  # fmt: skip
_BEHAVIOR = {
    "scaleUp": {"stabilizationWindowSeconds": 3, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}
}


_CURRENT = {"averageUtilization": 7, "averageValue": "1"}


def _scaler(**spec: Any) -> v2.HorizontalPodAutoscaler:
    body = {
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v2",
        "metadata": {"name": "web", "annotations": {"own": "kept"}},
        "spec": {"scaleTargetRef": _REFERENCE, "maxReplicas": 5, **spec},
        "status": {
            "desiredReplicas": 1,
            "currentMetrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "current": {"averageUtilization": 7, "averageValue": "1"}},
                }
            ],
            "conditions": [{"type": "AbleToScale", "status": "True"}],
        },
    }
    return codec.from_json(v2.HorizontalPodAutoscaler, body)


def _cpu_last(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*metrics[1:], metrics[0]]


def test_there_and_back_loses_nothing() -> None:
    older = to_v1(_scaler(metrics=_METRICS, behavior=_BEHAVIOR))
    assert older.spec.target_cpu_utilization_percentage == 50
    assert older.status.current_cpu_utilization_percentage == 7
    back = to_v2(older)
    assert codec.to_json(back) == codec.to_json(_scaler(metrics=_cpu_last(_METRICS), behavior=_BEHAVIOR))


def test_annotations_are_written_as_upstream_does() -> None:
    notes = to_v1(_scaler(metrics=_METRICS[:2], behavior=_BEHAVIOR)).metadata.annotations
    assert set(notes) == {"own", v1.METRICS, v1.BEHAVIOR, v1.CURRENT_METRICS, v1.CONDITIONS}
    assert json.loads(notes[v1.METRICS]) == [
        {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}}
    ]
    assert "StabilizationWindowSeconds" in notes[v1.BEHAVIOR]
    current = {"name": "cpu", "currentAverageUtilization": 7, "currentAverageValue": "1"}
    assert json.loads(notes[v1.CURRENT_METRICS]) == [{"type": "Resource", "resource": current}]


def test_a_target_is_assumed_where_none_is_given() -> None:
    body = {"kind": "HorizontalPodAutoscaler", "spec": {"scaleTargetRef": _REFERENCE, "maxReplicas": 2}}
    (metric,) = to_v2(codec.from_json(v1.HorizontalPodAutoscaler, body)).spec.metrics
    assert metric.resource is not None
    assert (metric.resource.name, metric.resource.target.average_utilization) == ("cpu", 80)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '[{"resource": []}]', '{"type": 3}'])
def test_annotations_that_cannot_be_read_are_dropped(text: str) -> None:
    older = to_v1(_scaler())
    for key in (v1.METRICS, v1.BEHAVIOR, v1.CURRENT_METRICS, v1.CONDITIONS):
        older.metadata.annotations[key] = text
    newer = to_v2(older)
    assert newer.metadata.annotations == {"own": "kept"}


def test_each_path_keeps_the_other_ones_annotations() -> None:
    old = to_v1(_scaler(metrics=_METRICS, behavior=_BEHAVIOR))
    new = copy_of(old)
    new.metadata.annotations = {"own": "new"}
    v1.HORIZONTALPODAUTOSCALER_V1.prepare(new, old)
    assert set(new.metadata.annotations) == {"own", v1.CURRENT_METRICS, v1.CONDITIONS}
    new.metadata.annotations = {"own": "new"}
    v1.HORIZONTALPODAUTOSCALER_V1.prepare_status(new, old)
    assert set(new.metadata.annotations) == {"own", v1.METRICS, v1.BEHAVIOR}


_GOLDEN = Path(__file__).parents[5] / "shared" / "upstream" / "golden" / "autoscaling.v2.HorizontalPodAutoscaler.json"


@pytest.mark.skipif(not _GOLDEN.exists(), reason="upstream's objects are not beside this clone")
def test_any_object_is_converted() -> None:
    newer = codec.decode(v2.HorizontalPodAutoscaler, _GOLDEN.read_bytes())
    assert to_v2(to_v1(newer)).spec.max_replicas == newer.spec.max_replicas
