"""Phases, conditions and container states as upstream reports them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiphys.api.kinds.core.pod.containers import ResourceRequirements
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import PodCondition, PodStatus
from tiphys.api.meta.schema import Quantity, copy_of
from tiphys.kubelet.containerstatus import Outlook, Waiting
from tiphys.kubelet.lifecycle import Health
from tiphys.kubelet.state import ContainerRun, PodRuntime, RunState
from tiphys.kubelet.status import pod_status
from tiphys.kubelet.statuswriter import status_patch

from .test_lifecycle import DEAD, READY, ended, make_pod, up

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def status(
    pod: Pod, runtime: PodRuntime, old: PodStatus | None = None, health: Health | None = None, **outlook: object
) -> PodStatus:
    looked = Outlook(now=NOW, host_ips=("192.0.2.1",), **outlook)  # type: ignore[arg-type]  # test shorthand
    return pod_status(pod, old or PodStatus(), runtime, health or Health(), looked)


PHASES = [
    ("nothing yet", make_pod(), (), "Pending"),
    ("runs", make_pod(), (up("a"),), "Running"),
    ("one of two", make_pod(main=("a", "b")), (up("a"),), "Pending"),
    ("restarting", make_pod(), (ended("a", 1),), "Running"),
    ("done", make_pod("Never"), (ended("a"),), "Succeeded"),
    ("failed", make_pod("Never"), (ended("a", 1),), "Failed"),
    ("OnFailure, failed", make_pod("OnFailure"), (ended("a", 1),), "Running"),
    ("one failed, one runs", make_pod("Never", ("a", "b")), (ended("a", 1), up("b")), "Running"),
    ("init runs", make_pod(init=("i",)), (up("i"),), "Pending"),
    ("init failed for good", make_pod("Never", init=("i",)), (ended("i", 1),), "Failed"),
    ("init failed, tried again", make_pod(init=("i",)), (ended("i", 1),), "Pending"),
]


@pytest.mark.parametrize(("pod", "runs", "phase"), [c[1:] for c in PHASES], ids=[c[0] for c in PHASES])
def test_phase(pod: Pod, runs: tuple[ContainerRun, ...], phase: str) -> None:
    assert status(pod, PodRuntime((READY,), runs)).phase == phase


LOST = "ContainerStatusUnknown"
ENDED = [
    ("init failed: the rest never had its turn", ("i", "j"), (ended("i", 1),), {"i": "Error", "j": "", "a": ""}),
    ("init passed, main gone", ("i", "j"), (ended("i"), ended("j")), {"i": "Completed", "j": "Completed", "a": LOST}),
    ("nothing is left of it", ("i", "j"), (), {"i": LOST, "j": "", "a": ""}),
    ("no init containers", (), (), {"a": LOST}),
]


@pytest.mark.parametrize(("init", "runs", "reasons"), [c[1:] for c in ENDED], ids=[c[0] for c in ENDED])
def test_what_an_ended_pod_says_of_containers_the_runtime_does_not_know(
    init: tuple[str, ...], runs: tuple[ContainerRun, ...], reasons: dict[str, str]
) -> None:
    found = status(make_pod("Never", init=init), PodRuntime((READY,), runs), terminal=True)
    statuses = (*found.init_container_statuses, *found.container_statuses)
    assert {s.name: s.state.terminated.reason if s.state.terminated else "" for s in statuses} == reasons
    assert found.phase == "Failed"


def test_a_running_pod() -> None:
    found = status(make_pod(), PodRuntime((READY,), (up("a"),)))
    (container,) = found.container_statuses
    assert (container.ready, container.started, container.container_id) == (True, True, "containerd://a-0")
    assert [(c.type, c.status) for c in found.conditions] == [
        ("PodReadyToStartContainers", "True"),
        ("Initialized", "True"),
        ("Ready", "True"),
        ("ContainersReady", "True"),
        ("PodScheduled", "True"),
    ]
    assert (found.pod_ip, found.host_ip, found.start_time) == ("10.0.0.1", "192.0.2.1", "2026-01-02T03:04:05Z")


def test_waiting_says_what_for_and_keeps_the_last_end() -> None:
    waiting = {"a": Waiting("CrashLoopBackOff", "back-off 10s")}
    (container,) = status(make_pod(), PodRuntime((READY,), (ended("a", 3),)), waiting=waiting).container_statuses
    assert container.state.waiting and container.state.waiting.reason == "CrashLoopBackOff"
    assert container.last_state.terminated and container.last_state.terminated.exit_code == 3


def test_unready_containers_are_named() -> None:
    pod = make_pod(main=("b", "a"), init=("i",))
    found = {c.type: c for c in status(pod, PodRuntime((READY,), ())).conditions}
    assert found["Initialized"].message == "containers with incomplete status: [i]"
    assert found["Ready"].message == "containers with unready status: [b a]"
    assert found["Ready"].reason == "ContainersNotReady"


def test_readiness_gates_of_others_count() -> None:
    pod = make_pod(readinessGates=[{"conditionType": "x/gate"}])
    runtime = PodRuntime((READY,), (up("a"),))
    ready = {c.type: c for c in status(pod, runtime).conditions}["Ready"]
    assert (ready.status, ready.reason) == ("False", "ReadinessGatesNotReady")
    assert ready.message == 'corresponding condition of pod readiness gate "x/gate" does not exist.'
    pod.status.conditions = [PodCondition(type="x/gate", status="True")]
    assert {c.type: c.status for c in status(pod, runtime).conditions}["Ready"] == "True"


def test_terminal_phases_stay() -> None:
    assert status(make_pod(), PodRuntime((READY,), (up("a"),)), PodStatus(phase="Failed")).phase == "Failed"


def test_a_pod_that_never_ran_ends_as_failed() -> None:
    found = status(make_pod(), PodRuntime(), terminal=True)
    ended_state = found.container_statuses[0].state.terminated
    assert found.phase == "Failed" and ended_state and ended_state.reason == "ContainerStatusUnknown"


def test_a_lost_container_counts_as_a_restart() -> None:
    before = status(make_pod(), PodRuntime((READY,), (up("a"),)))
    (container,) = status(make_pod(), PodRuntime((DEAD,), ()), before).container_statuses
    assert container.restart_count == 1 and container.last_state.terminated
    assert container.last_state.terminated.exit_code == 137


def test_transition_times_stay_where_nothing_changed() -> None:
    runtime = PodRuntime((READY,), (up("a"),))
    before = status(make_pod(), runtime)
    for condition in before.conditions:
        condition.last_transition_time = "2020-01-01T00:00:00Z"
    again = status(make_pod(), runtime, before)
    assert {c.last_transition_time for c in again.conditions} == {"2020-01-01T00:00:00Z"}
    assert status_patch(before, again) == {}


def test_the_patch_holds_what_changed_and_drops_what_is_gone() -> None:
    pending = status(make_pod(), PodRuntime())
    running = status(make_pod(), PodRuntime((READY,), (up("a"),)), pending)
    patch = status_patch(pending, running)
    assert patch["phase"] == "Running" and "startTime" not in patch
    assert patch["podIPs"] == [{"ip": "10.0.0.1"}, {"$patch": "replace"}]
    ready = next(c for c in patch["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "True" and ready["reason"] is None and ready["message"] is None


def test_the_patch_takes_away_conditions_and_amounts_that_are_over() -> None:
    before = status(make_pod(), PodRuntime((READY,), (up("a"),)))
    resizing = copy_of(before)
    resizing.conditions += [PodCondition(type="PodResizeInProgress", status="True"), PodCondition(type="theirs")]
    resizing.resources = ResourceRequirements(limits={"cpu": Quantity("1"), "memory": Quantity("1Gi")})
    before.resources = ResourceRequirements(limits={"cpu": Quantity("2")})
    assert status_patch(resizing, before) == {
        "conditions": [{"type": "PodResizeInProgress", "$patch": "delete"}],
        "resources": {"limits": {"cpu": "2", "memory": None}},
    }


def test_oom_and_lost_probes_show() -> None:
    killed = ContainerRun("a-0", "a", RunState.EXITED, 0, sandbox_id="s1", exit_code=137, reason="OOMKilled")
    state = status(make_pod("Never"), PodRuntime((READY,), (killed,))).container_statuses[0].state.terminated
    assert state and state.reason == "OOMKilled"
