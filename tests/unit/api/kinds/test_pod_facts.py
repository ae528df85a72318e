"""What components ask of pods."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api import codec
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod import facts
from tiphys.api.kinds.core.pod.defaults import image_pull_policy
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import Quantity, copy_of


def pod(containers: list[dict[str, Any]], **spec: Any) -> Pod:
    named = [{"name": f"c{index}", "image": "i", "resources": c} for index, c in enumerate(containers)]
    made: Pod = codec.from_json(Pod, {"spec": {"containers": named, **spec}})
    return made


def init(requests: dict[str, str], sidecar: bool = False) -> dict[str, Any]:
    return {"name": "i", "resources": {"requests": requests}, **({"restartPolicy": "Always"} if sidecar else {})}


def test_requests_are_summed() -> None:
    made = pod([{"requests": {"cpu": "100m", "memory": "1Ki"}}, {"requests": {"cpu": "1"}}])
    assert facts.requests(made) == {"cpu": 1100, "memory": 1024}


def test_while_a_pod_is_resized_the_larger_counts() -> None:
    made = pod([{}], resources={"requests": {"cpu": "2"}})
    assert facts.requests(made, instead=facts.resized(made)) == {"cpu": 2000}
    made.status = codec.from_json(
        type(made.status), {"allocatedResources": {"cpu": "2"}, "resources": {"requests": {"cpu": "3"}}}
    )
    assert facts.requests(made, instead=facts.resized(made)) == {"cpu": 3000}
    made.status.resources.requests["cpu"] = Quantity("2")  # type: ignore[union-attr]
    assert facts.resized(made) == {}
    made.status.allocated_resources["cpu"] = Quantity("1")
    assert facts.requests(made, instead=facts.resized(made)) == {"cpu": 2000}


def test_the_hungriest_moment_of_initialisation_counts() -> None:
    made = pod([{"requests": {"cpu": "1"}}], initContainers=[init({"cpu": "3"}), init({"cpu": "2"})])
    assert facts.requests(made) == {"cpu": 3000}


def test_sidecars_run_beside_everything_after_them() -> None:
    made = pod([{"requests": {"cpu": "1"}}], initContainers=[init({"cpu": "1"}, sidecar=True), init({"cpu": "2"})])
    assert facts.requests(made) == {"cpu": 3000}
    made = pod([{"requests": {"cpu": "4"}}], initContainers=[init({"cpu": "1"}, sidecar=True), init({"cpu": "2"})])
    assert facts.requests(made) == {"cpu": 5000}


def test_overhead_and_pod_level_requests() -> None:
    made = pod([{"requests": {"cpu": "1"}}], overhead={"cpu": "250m"}, resources={"requests": {"cpu": "2"}})
    assert facts.requests(made) == {"cpu": 2250}


def test_overhead_adds_to_limits_that_exist() -> None:
    made = pod([{"limits": {"cpu": "1"}}], overhead={"cpu": "250m", "memory": "1Mi"})
    assert facts.limits(made) == {"cpu": 1250}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"limits": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
    ],
)
def test_qos_class(containers: list[dict[str, Any]], expected: str) -> None:
    made = pod(containers)
    assert facts.qos_class(made) == expected
    POD.prepare(made, None)
    POD.default(made)
    assert made.status.qos_class == facts.qos_class(made) == expected


def test_availability_needs_time() -> None:
    made = pod([{}])
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}
    made.status = codec.from_json(type(made.status), {"conditions": [ready]})
    at = datetime(2026, 1, 2, 3, 4, 15, tzinfo=UTC)
    assert facts.is_ready(made)
    assert [facts.is_available(made, seconds, at) for seconds in (0, 10, 11)] == [True, True, False]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("localhost:5000/team/web", "Always"),
        ("localhost:5000/team/web:v1", "IfNotPresent"),
        ("nginx@sha256:" + "a" * 64, "IfNotPresent"),
        ("", "IfNotPresent"),
        ("Not An Image", "IfNotPresent"),
    ],
)
def test_image_pull_policy(image: str, policy: str) -> None:
    assert image_pull_policy(image) == policy


probes = st.fixed_dictionaries({}, optional={"httpGet": st.just({"port": 80}), "timeoutSeconds": st.integers(0, 5)})
containers = st.fixed_dictionaries(
    {"name": st.sampled_from("ab"), "image": st.sampled_from(["nginx", "nginx:1", ""])},
    optional={
        "ports": st.just([{"containerPort": 80}]),
        "livenessProbe": probes,
        "resources": st.just({"limits": {"cpu": "1.5", "memory": "1n"}}),
        "env": st.just([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        "terminationMessagePolicy": st.just("FallbackToLogsOnError"),
    },
)
specs = st.fixed_dictionaries(
    {"containers": st.lists(containers, max_size=2)},
    optional={
        "initContainers": st.lists(containers, max_size=1),
        "hostNetwork": st.booleans(),
        "volumes": st.just([{"name": "v"}, {"name": "p", "projected": {"sources": [{"serviceAccountToken": {}}]}}]),
        "resources": st.just({"limits": {"cpu": "2"}}),
        "terminationGracePeriodSeconds": st.integers(0, 5),
    },
)


@given(specs)
def test_defaulting_is_idempotent(spec: dict[str, Any]) -> None:
    made: Pod = codec.from_json(Pod, {"spec": spec})
    POD.default(made)
    once = copy_of(made)
    POD.default(made)
    assert made == once
