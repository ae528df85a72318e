from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tiphys.api.errors import Conflict, NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import HORIZONTALPODAUTOSCALER, POD
from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_schema import (
    CrossVersionObjectReference,
    ExternalMetricSource,
    HorizontalPodAutoscalerBehavior,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
    ObjectMetricSource,
    PodsMetricSource,
    ResourceMetricSource,
)
from tiphys.api.meta.schema import Quantity
from tiphys.base.clock import rfc3339
from tiphys.controllers import horizontalpodautoscaler as hpa
from tiphys.controllers._hpa_limits import Moment, Past
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench

KEY = Key("default", "scaler")
SCALE = "/apis/apps/v1/namespaces/default/deployments/web/scale"
USAGE = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"


def cpu(percent: int = 50) -> MetricSpec:
    target = MetricTarget(type="Utilization", average_utilization=percent)
    return MetricSpec(type="Resource", resource=ResourceMetricSource(name="cpu", target=target))


def bench(
    replicas: int = 4,
    usage: tuple[str | None, ...] = ("50m",) * 4,
    *,
    metrics: tuple[MetricSpec, ...] = (),
    request: str = "100m",
    most: int = 20,
    **spec: Any,
) -> Bench:
    """A deployment of `replicas` pods that use so much of CPU; None: no reading."""
    b = Bench(hpa.SPEC)
    scaler = new(HORIZONTALPODAUTOSCALER, "scaler", "default")
    scaler.spec.scale_target_ref = CrossVersionObjectReference(kind="Deployment", name="web", api_version="apps/v1")
    scaler.spec.max_replicas, scaler.spec.metrics = most, list(metrics or (cpu(),))
    for field, value in spec.items():
        setattr(scaler.spec, field, value)
    b.client.put(HORIZONTALPODAUTOSCALER, scaler)
    scale(b, replicas)
    start = rfc3339(b.clock.now() - timedelta(hours=1))
    for number in range(replicas):
        pod = objects.pod(f"web-{number}", ready=True, app="web")
        pod.spec.containers[0].resources.requests = {"cpu": Quantity(request)}
        pod.status.start_time = start
        objects.make_ready(pod, start)
        b.client.put(POD, pod)
    use(b, *usage)
    return b


def scale(b: Bench, replicas: int) -> None:
    b.client.answers[SCALE] = {
        "kind": "Scale",
        "metadata": {"name": "web", "resourceVersion": "7"},
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "selector": "app=web"},
    }


def use(b: Bench, *usage: str | None) -> None:
    now = rfc3339(b.clock.now())
    b.client.answers[USAGE] = {
        "items": [
            {
                "metadata": {"name": f"web-{number}"},
                "timestamp": now,
                "window": "30s",
                "containers": [{"name": "c", "usage": {"cpu": amount}}],
            }
            for number, amount in enumerate(usage)
            if amount is not None
        ]
    }


def asked(b: Bench) -> int | None:
    """The last size that was asked for."""
    return b.client.sent[-1][2]["spec"]["replicas"] if b.client.sent else None


def conditions(b: Bench) -> dict[str, tuple[str, str]]:
    status = b.client.informer(HORIZONTALPODAUTOSCALER).get("scaler", "default").status
    return {each.type: (each.status, each.reason) for each in status.conditions}


def reasons(b: Bench) -> list[str]:
    return [reason for _, _, reason, _ in b.events.events]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (("50m",) * 4, None),
        (("54m",) * 4, None),
        (("100m",) * 4, 8),
        (("75m",) * 4, 6),
        (("0m",) * 4, 1),
        (("100m", "100m", "100m", None), 6),
        (("20m", "20m", "20m", None), None),
        (("10m", "10m", "10m", None), 3),
    ],
)
async def test_sizes_follow_what_pods_use_of_what_they_ask_for(
    usage: tuple[str | None, ...], expected: int | None
) -> None:
    b = bench(usage=usage)
    b.memory[KEY] = Past(recommendations=(Moment(0, b.clock.now()),))
    assert await b.apply(KEY) == 15
    assert asked(b) == expected
    if expected:
        assert ("scaler", "Normal", "SuccessfulRescale") in [event[:3] for event in b.events.events]
        assert conditions(b)["AbleToScale"] == ("True", "SucceededRescale")
    assert conditions(b)["ScalingActive"] == ("True", "ValidMetricFound")


async def test_a_rescale_says_why() -> None:
    b = bench(usage=("100m",) * 4)
    await b.apply(KEY)
    text = "New size: 8; reason: cpu resource utilization (percentage of request) above target"
    assert b.events.events == [("scaler", "Normal", "SuccessfulRescale", text)]
    method, path, body = b.client.sent[0]
    assert (method, path, body["metadata"]["resourceVersion"]) == ("PUT", SCALE, "7")
    status = b.client.all(HORIZONTALPODAUTOSCALER)[0].status
    assert (status.current_replicas, status.desired_replicas) == (4, 8)
    (metric,) = status.current_metrics
    assert (metric.resource.current.average_utilization, str(metric.resource.current.average_value)) == (100, "100m")


async def test_scaling_down_waits_for_five_quiet_minutes() -> None:
    b = bench(usage=("10m",) * 4)
    await b.apply(KEY)
    assert asked(b) is None, "the size at the start is a recommendation, too"
    assert conditions(b)["AbleToScale"] == ("True", "ScaleDownStabilized")
    await b.clock.advance(301)
    use(b, *("10m",) * 4)
    await b.apply(KEY)
    assert asked(b) == 1
    assert b.events.events[-1][3] == "New size: 1; reason: All metrics below target"


@pytest.mark.parametrize(
    ("replicas", "least", "most", "why"),
    [
        (30, None, 20, "Current number of replicas above Spec.MaxReplicas"),
        (4, 6, 20, "Current number of replicas below Spec.MinReplicas"),
    ],
)
async def test_bounds_need_no_metrics(replicas: int, least: int | None, most: int, why: str) -> None:
    b = bench(replicas, (), most=most, min_replicas=least)
    await b.apply(KEY)
    assert asked(b) == (least or most)
    assert b.events.events[-1][3].endswith(why)


async def test_limits_are_said() -> None:
    b = bench(usage=("900m",) * 4)
    await b.apply(KEY)
    assert asked(b) == 8
    assert conditions(b)["ScalingLimited"] == ("True", "ScaleUpLimit")
    b = bench(usage=("900m",) * 4, most=6)
    await b.apply(KEY)
    assert (asked(b), conditions(b)["ScalingLimited"]) == (6, ("True", "TooManyReplicas"))


async def test_nothing_is_done_about_what_is_scaled_to_zero() -> None:
    b = bench(0, ())
    await b.apply(KEY)
    assert asked(b) is None
    assert conditions(b)["ScalingActive"] == ("False", "ScalingDisabled")


async def test_missing_metrics_are_said_and_change_nothing() -> None:
    b = bench()
    b.client.answers[USAGE] = NotFound("the server could not find the requested resource (get pods.metrics.k8s.io)")
    await b.apply(KEY)
    assert asked(b) is None
    assert reasons(b) == ["FailedGetResourceMetric", "FailedComputeMetricsReplicas"]
    assert b.events.events[0][3] == (
        "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource "
        "metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"
    )
    assert conditions(b)["ScalingActive"] == ("False", "FailedGetResourceMetric")
    assert await b.apply(KEY) == 15, "no faster than ever"


async def test_one_metric_that_fails_forbids_going_down_but_not_up() -> None:
    external = MetricSpec(
        type="External",
        external=ExternalMetricSource(
            metric=MetricIdentifier(name="queue"), target=MetricTarget(type="Value", value=Quantity("10"))
        ),
    )
    for usage, size in (("100m", 8), ("10m", None)):
        b = bench(usage=(usage,) * 4, metrics=(cpu(), external))
        b.memory[KEY] = Past(recommendations=(Moment(0, b.clock.now()),))
        await b.apply(KEY)
        assert asked(b) == size
        assert "FailedGetExternalMetric" in reasons(b)


async def test_a_target_that_is_not_there_is_said() -> None:
    b = bench()
    del b.client.answers[SCALE]
    await b.apply(KEY)
    assert reasons(b) == ["FailedGetScale"]
    assert conditions(b)["AbleToScale"] == ("False", "FailedGetScale")


async def test_a_refused_rescale_is_said_and_tried_again() -> None:
    b = bench(usage=("100m",) * 4)
    b.client.refuse = lambda verb, kind, name: Conflict("changed") if verb == "PUT" else None
    with pytest.raises(Conflict):
        await b.apply(KEY)
    assert reasons(b) == ["FailedRescale"]
    assert conditions(b)["AbleToScale"] == ("False", "FailedUpdateScale")


async def test_kinds_that_are_not_built_in_are_found_by_discovery() -> None:
    b = bench()
    reference = CrossVersionObjectReference(kind="Farm", name="web", api_version="example.com/v1")
    b.client.edit(
        HORIZONTALPODAUTOSCALER, "scaler", "default", lambda obj: setattr(obj.spec, "scale_target_ref", reference)
    )
    b.client.answers["/apis/example.com/v1"] = {
        "resources": [
            {"name": "farms/scale", "kind": "Scale", "namespaced": True},
            {"name": "farms", "kind": "Farm", "namespaced": True},
        ]
    }
    path = "/apis/example.com/v1/namespaces/default/farms/web/scale"
    b.client.answers[path] = b.client.answers.pop(SCALE)
    use(b, *("100m",) * 4)
    await b.apply(KEY)
    assert b.client.sent[0][:2] == ("PUT", path)


@pytest.mark.parametrize(
    ("metric", "path", "answer", "expected", "name"),
    [
        (
            MetricSpec(
                type="Pods",
                pods=PodsMetricSource(
                    metric=MetricIdentifier(name="rps"),
                    target=MetricTarget(type="AverageValue", average_value=Quantity("10")),
                ),
            ),
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/rps",
            {"items": [{"describedObject": {"name": f"web-{n}"}, "value": "15"} for n in range(4)]},
            6,
            "pods metric rps",
        ),
        (
            MetricSpec(
                type="Object",
                object_=ObjectMetricSource(
                    described_object=CrossVersionObjectReference(kind="Service", name="web", api_version="v1"),
                    metric=MetricIdentifier(name="hits"),
                    target=MetricTarget(type="Value", value=Quantity("100")),
                ),
            ),
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/services/web/hits",
            {"items": [{"value": "200"}]},
            8,
            "Service metric hits",
        ),
        (
            MetricSpec(
                type="External",
                external=ExternalMetricSource(
                    metric=MetricIdentifier(name="queue"),
                    target=MetricTarget(type="AverageValue", average_value=Quantity("10")),
                ),
            ),
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue",
            {"items": [{"value": "30"}, {"value": "25"}]},
            6,
            "external metric queue(nil)",
        ),
    ],
    ids=["pods", "object", "external"],
)
async def test_other_metrics(metric: MetricSpec, path: str, answer: Any, expected: int, name: str) -> None:
    b = bench(metrics=(metric,))
    b.client.answers[path] = answer
    await b.apply(KEY)
    assert asked(b) == expected
    assert b.events.events[-1][3] == f"New size: {expected}; reason: {name} above target"


async def test_two_autoscalers_of_the_same_pods_both_stop() -> None:
    b = bench(usage=("100m",) * 4)
    b.client.put(HORIZONTALPODAUTOSCALER, new(HORIZONTALPODAUTOSCALER, "rival", "default"))
    b.memory[Key("default", "rival")] = Past(selector="app=web")
    await b.apply(KEY)
    assert asked(b) is None
    assert conditions(b)["ScalingActive"] == ("False", "AmbiguousSelector")
    assert "[default/rival default/scaler]" in b.events.events[0][3]


def rules(*policies: tuple[str, int, int], window_s: int = 0, select: str = "Max", **more: Any) -> HPAScalingRules:
    found = [HPAScalingPolicy(type=kind, value=value, period_seconds=period) for kind, value, period in policies]
    return HPAScalingRules(stabilization_window_seconds=window_s, select_policy=select, policies=found, **more)


@pytest.mark.parametrize(
    ("up", "usage", "expected"),
    [
        (rules(("Pods", 2, 60)), "200m", 6),
        (rules(("Percent", 50, 60)), "200m", 6),
        (rules(("Pods", 1, 60), ("Percent", 100, 60)), "200m", 8),
        (rules(("Pods", 1, 60), ("Percent", 100, 60), select="Min"), "200m", 5),
        (rules(("Pods", 9, 60), select="Disabled"), "200m", None),
        (rules(("Pods", 9, 60), window_s=60), "200m", None),
        (rules(("Pods", 9, 60), tolerance=Quantity("600m")), "75m", None),
        (rules(("Pods", 9, 60), tolerance=Quantity("0")), "51m", 5),
    ],
)
async def test_rules_for_going_up(up: HPAScalingRules, usage: str, expected: int | None) -> None:
    b = bench(usage=(usage,) * 4, behavior=HorizontalPodAutoscalerBehavior(scale_up=up))
    await b.apply(KEY)
    assert asked(b) == expected


async def test_what_was_added_within_the_period_counts() -> None:
    behavior = HorizontalPodAutoscalerBehavior(scale_up=rules(("Pods", 3, 60)))
    b = bench(usage=("400m",) * 4, behavior=behavior)
    await b.apply(KEY)
    assert asked(b) == 7
    scale(b, 7)
    await b.clock.advance(30)
    await b.apply(KEY)
    assert asked(b) == 7, "three pods within a minute, and no more"
    assert conditions(b)["ScalingLimited"] == ("True", "ScaleUpLimit")
    await b.clock.advance(31)
    await b.apply(KEY)
    assert asked(b) == 10


async def test_rules_for_going_down() -> None:
    behavior = HorizontalPodAutoscalerBehavior(scale_down=rules(("Pods", 1, 60), window_s=0))
    b = bench(usage=("1m",) * 4, behavior=behavior)
    await b.apply(KEY)
    assert asked(b) == 3
    assert conditions(b)["ScalingLimited"] == ("True", "ScaleDownLimit")


async def test_a_change_of_the_status_alone_wakes_nobody() -> None:
    b = bench()
    (watch,) = hpa.SPEC.watches
    before = b.client.all(HORIZONTALPODAUTOSCALER)[0]
    await b.apply(KEY)
    assert watch.when is not None
    assert watch.when(before, b.client.all(HORIZONTALPODAUTOSCALER)[0]) is False
