"""Promised, actuated and wanted resources of a pod, and the order of a resize."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tiphys.api.kinds.core.pod.containers import Container, ContainerResizePolicy, ResourceRequirements
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.client.events import KeptEvents
from tiphys.kubelet.allocation import (
    Allocation,
    AllocationFile,
    asks_more,
    differing,
    effective,
    granted,
    of_spec,
    within,
)
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.cgroups import Limits
from tiphys.kubelet.resize import Resizer, changes, event_text, widest
from tiphys.kubelet.resource_status import pod_resources
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.state import ContainerRun, PodRuntime, RunState


def asks(cpu: str = "", memory: str = "") -> ResourceRequirements:
    amounts = {name: text for name, text in (("cpu", cpu), ("memory", memory)) if text}
    return ResourceRequirements(requests=dict(amounts), limits=dict(amounts))


def pod(**containers: ResourceRequirements) -> Pod:
    made = Pod()
    made.spec.containers = [Container(name=name, resources=resources) for name, resources in containers.items()]
    return made


def running(*names: str) -> PodRuntime:
    return PodRuntime(containers=[ContainerRun(id=f"id-{n}", name=n, state=RunState.RUNNING, attempt=0) for n in names])


@pytest.mark.parametrize(
    ("wanted", "known", "changed"),
    [
        (asks("100m", "1Gi"), asks("0.1", "1024Mi"), set()),
        (asks("200m", "1Gi"), asks("100m", "1Gi"), {"cpu"}),
        (asks("100m"), asks("100m", "1Gi"), {"memory"}),
        (asks("1", "1Gi"), asks(), {"cpu", "memory"}),
    ],
)
def test_amounts_are_compared_not_texts(
    wanted: ResourceRequirements, known: ResourceRequirements, changed: set[str]
) -> None:
    assert differing(wanted, known) == changed


def test_a_pod_runs_with_what_it_was_promised() -> None:
    promised = of_spec(pod(a=asks("100m"), b=asks("1")))
    wanted = pod(a=asks("200m"), b=asks("1"))
    assert asks_more(wanted, promised)
    runs = granted(wanted, promised)
    assert runs.spec.containers[0].resources == asks("100m")
    assert wanted.spec.containers[0].resources == asks("200m"), "the API's object is shared"
    assert granted(runs, promised) is runs


def test_who_shrinks_goes_first_and_policies_ask_for_restarts() -> None:
    wanted = pod(grows=asks("2", "2Gi"), shrinks=asks("1", "1Gi"), restarts=asks("1", "3Gi"), same=asks("1"))
    policy = ContainerResizePolicy(resource_name="memory", restart_policy="RestartContainer")
    wanted.spec.containers[2].resize_policy = [policy]
    actuated = of_spec(
        pod(grows=asks("1", "1Gi"), shrinks=asks("1", "2Gi"), restarts=asks("1", "1Gi"), same=asks("1000m"))
    )
    due = changes(wanted, running("grows", "shrinks", "restarts", "same"), actuated)
    assert [(c.container.name, c.restart) for c in due] == [("shrinks", False), ("grows", False), ("restarts", True)]
    assert changes(wanted, PodRuntime(), actuated) == []


def level(made: Pod, resources: ResourceRequirements | None) -> Pod:
    made.spec.resources = resources
    return made


def test_what_the_pod_as_a_whole_has_is_promised_too() -> None:
    promised = of_spec(level(pod(a=asks()), asks("1", "1Gi")))
    wanted = level(pod(a=asks()), asks("2", "1Gi"))
    assert asks_more(wanted, promised) and granted(wanted, promised).spec.resources == asks("1", "1Gi")
    first = pod(a=asks())
    assert not asks_more(first, of_spec(first))
    assert granted(level(pod(a=asks()), asks("2")), of_spec(first)).spec.resources is None


def test_containers_without_limits_follow_the_pods() -> None:
    actuated = effective(level(pod(a=asks(), b=asks("1", "1Gi")), asks("2", "2Gi")))
    wanted = level(pod(a=asks(), b=asks("1", "1Gi")), asks("2", "3Gi"))
    assert [change.container.name for change in changes(wanted, running("a", "b"), actuated)] == ["a"]
    assert within(asks("1"), asks("2", "3Gi")).limits == {"cpu": "1", "memory": "3Gi"}
    # One that has begun with the new limits is not changed again, though the pod is still on its way.
    begun = {**actuated, "a": effective(wanted)["a"]}
    assert changes(wanted, running("a", "b"), begun) == []


def test_the_status_tells_what_was_promised_and_what_is_held() -> None:
    before = of_spec(level(pod(a=asks()), asks("1", "1Gi")))
    now = level(pod(a=asks()), asks("2", "1Gi"))
    promised, held = pod_resources(now, before, running=True)
    assert promised == {"cpu": "2", "memory": "1Gi"} and held == asks("1", "1Gi")
    assert pod_resources(now, {}, running=False)[1] == asks("2", "1Gi")
    assert pod_resources(pod(a=asks()), {}, running=True) == ({}, asks())


def test_a_pod_cgroup_has_room_for_both_sides() -> None:
    assert widest(Limits(100, 5000, 10), Limits(200, 4000, 20)) == Limits(200, 5000, 20)
    assert widest(Limits(100, 0, 10), Limits(50, 4000, 0)) == Limits(100, 0, 0)


def test_the_file_survives_and_a_broken_one_is_as_none(tmp_path: Path) -> None:
    kept = AllocationFile(tmp_path / "pod")
    assert kept.load() is None
    state = Allocation({"a": asks("1")}, {"a": asks("500m", "1Gi")}, 3)
    kept.save(state)
    assert AllocationFile(tmp_path / "pod").load() == state
    (tmp_path / "pod" / "allocation.json").write_text("{")
    assert kept.load() is None


def test_events_carry_the_resources() -> None:
    text = event_text("Pod resize started", pod(a=asks("1")), 2)
    assert text == (
        'Pod resize started: {"containers":[{"name":"a","resources":{"limits":{"cpu":"1"},"requests":{"cpu":"1"}}}]'
        ',"generation":2}'
    )


@pytest.mark.parametrize(
    ("policy", "wanted", "reason"),
    [
        ("static", asks("2", "1Gi"), "Infeasible"),
        ("static", asks("1", "2Gi"), ""),
        ("none", asks("2", "1Gi"), ""),
        ("none", asks("200", "1Gi"), "Deferred"),
    ],
)
def test_processors_of_ones_own_stay_as_many(
    tmp_path: Path, policy: str, wanted: ResourceRequirements, reason: str
) -> None:
    events = KeptEvents()
    settings = KubeletSettings("n", "10.0.0.1", tmp_path, tmp_path, cpu_manager_policy=policy)
    capacity = Capacity(8000, 8 << 30, 8 << 30, 110)
    node: Any = SimpleNamespace(settings=settings, capacity=capacity, recorder=events, neighbours=list)
    resizer = Resizer(node, pod(a=asks("1", "1Gi")))
    asking = pod(a=wanted)
    asking.metadata.generation = 2
    granted_pod = resizer.consider(asking)
    (condition,) = resizer.conditions
    if reason:
        assert (condition.type, condition.reason) == ("PodResizePending", reason)
        assert granted_pod.spec.containers[0].resources == asks("1", "1Gi")
        assert events.events[0][2] == f"Resize{reason}"
    else:
        assert condition.type == "PodResizeInProgress" and granted_pod.spec.containers[0].resources == wanted
