from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.api.kinds.core.pod.containers import Lifecycle, LifecycleHandler, SleepAction
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodReadinessGate
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import rfc3339
from tiphys.simulate.lifecycle import COMPLETE_AFTER, DEFAULT_STAGES, EXIT_CODE, Place, after, next_step, seconds
from tiphys.testing import builders as b

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
PLACE = Place("10.0.0.7", "10.1.0.1")


def step(pod: Pod, now: datetime = NOW) -> tuple[str, float] | None:
    found = next_step(DEFAULT_STAGES, pod, now)
    return None if found is None else (found.stage.name, found.delay_s)


def started(pod: Pod, now: datetime = NOW) -> Pod:
    changed = copy_of(pod)
    changed.status = after(DEFAULT_STAGES[0], pod, PLACE, now)
    return changed


def deleting(pod: Pod, grace_s: int) -> Pod:
    changed = copy_of(pod)
    changed.metadata.deletion_timestamp = b.CREATED
    changed.metadata.deletion_grace_period_seconds = grace_s
    return changed


def test_a_pod_starts_and_then_just_runs() -> None:
    pod = b.pod(node="n1", init_containers=[b.container("init"), b.container("side", sidecar=True)])
    assert step(pod) == ("start", 0.1)
    running = started(pod)
    status = running.status
    assert (status.phase, status.pod_ip, status.host_ip) == ("Running", "10.0.0.7", "10.1.0.1")
    assert {c.type: c.status for c in status.conditions} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "ContainersReady": "True",
        "Ready": "True",
    }
    assert all(c.ready and c.state.running for c in status.container_statuses)
    init, side = status.init_container_statuses
    assert init.state.terminated is not None
    assert init.state.terminated.exit_code == 0
    assert side.state.running is not None
    assert step(running) is None
    assert pod.status.phase == "Pending"


def test_conditions_of_others_are_kept() -> None:
    pod = b.pod(node="n1")
    pod.status.conditions = [PodCondition(type="PodScheduled", status="True", last_transition_time=b.CREATED)]
    kept = started(pod).status.conditions[0]
    assert (kept.type, kept.last_transition_time) == ("PodScheduled", b.CREATED)


def test_readiness_gates_hold_readiness_back() -> None:
    pod = b.pod(node="n1")
    pod.spec.readiness_gates = [PodReadinessGate(condition_type="example.com/gate")]
    assert {c.type: c.status for c in started(pod).status.conditions}["Ready"] == "False"
    pod.status.conditions = [PodCondition(type="example.com/gate", status="True")]
    assert {c.type: c.status for c in started(pod).status.conditions}["Ready"] == "True"


def test_an_annotated_pod_ends_counted_from_its_start() -> None:
    pod = b.pod(node="n1")
    pod.metadata.annotations = {COMPLETE_AFTER: "1m30s"}
    running = started(pod)
    assert step(running, NOW + timedelta(seconds=20)) == ("complete", 70)
    assert step(running, NOW + timedelta(hours=1)) == ("complete", 0)
    ended = after(DEFAULT_STAGES[1], running, PLACE, NOW)
    assert ended.phase == "Succeeded"
    running.metadata.annotations[EXIT_CODE] = "3"
    failed = after(DEFAULT_STAGES[1], running, PLACE, NOW)
    assert failed.phase == "Failed"
    assert failed.container_statuses[0].state.terminated is not None
    assert failed.container_statuses[0].state.terminated.exit_code == 3
    assert {c.type: c.status for c in failed.conditions}["Ready"] == "False"


@pytest.mark.parametrize(("grace_s", "delay_s"), [(30, 0.2), (0, 0.0)])
def test_deletion_takes_no_longer_than_the_grace(grace_s: int, delay_s: float) -> None:
    assert step(deleting(started(b.pod(node="n1")), grace_s)) == ("terminate", delay_s)


@pytest.mark.parametrize(("grace_s", "passed_s", "delay_s"), [(30, 0, 10.2), (30, 4, 6.2), (30, 11, 0.2), (5, 0, 5.0)])
def test_hooks_sleep_before_the_containers_stop(grace_s: int, passed_s: int, delay_s: float) -> None:
    pod = started(b.pod(node="n1", containers=[b.container("a"), b.container("b")]))
    for container, sleep_s in zip(pod.spec.containers, (3, 10), strict=True):
        container.lifecycle = Lifecycle(pre_stop=LifecycleHandler(sleep=SleepAction(seconds=sleep_s)))
    pod = deleting(pod, grace_s)
    pod.metadata.deletion_timestamp = rfc3339(NOW + timedelta(seconds=grace_s))
    assert step(pod, NOW + timedelta(seconds=passed_s)) == ("terminate", pytest.approx(delay_s))
    pod.status = b.pod().status
    assert step(pod) == ("terminate", 0.2), "what does not run has no hooks"


def test_what_has_ended_goes_at_once() -> None:
    assert step(deleting(b.pod(node="n1", phase="Succeeded"), 30)) == ("finish", 0.0)


@pytest.mark.parametrize(
    ("text", "expected"), [("5s", 5), ("1h2m3.5s", 3723.5), ("250ms", 0.25), ("1m", 60), ("", None), ("soon", None)]
)
def test_time_spans(text: str, expected: float | None) -> None:
    assert seconds(text) == expected
