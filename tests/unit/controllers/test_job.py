from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.errors import Forbidden
from tiphys.api.kinds import JOB, POD
from tiphys.api.kinds.batch.job_schema import (
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
    SuccessPolicy,
    SuccessPolicyRule,
)
from tiphys.api.kinds.core.pod.status import (
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    PodCondition,
)
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import rfc3339
from tiphys.controllers import job as job_controller
from tiphys.controllers import ttl_after_finished
from tiphys.controllers._job_indexes import Indexes, index_of
from tiphys.controllers._job_pods import FINALIZER
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench, writes

KEY = Key("default", "sum")


def bench(**fields: Any) -> Bench:
    b = Bench(job_controller.SPEC)
    b.client.put(JOB, objects.job(**fields))
    return b


def the(b: Bench) -> Any:
    return b.client.informer(JOB).get("sum", "default")


def conditions(b: Bench) -> dict[str, str]:
    return {each.type: each.reason for each in the(b).status.conditions if each.status == "True"}


def end(b: Bench, name: str, phase: str, code: int = 0) -> None:
    now = rfc3339(b.clock.now())

    def edit(pod: Any) -> None:
        pod.status.phase = phase
        state = ContainerState(terminated=ContainerStateTerminated(exit_code=code, finished_at=now))
        pod.status.container_statuses = [ContainerStatus(name="c", state=state)]

    b.client.edit(POD, name, "default", edit)


def kubelet(b: Bench) -> None:
    """Lets pods that are being deleted end."""
    for pod in b.client.all(POD):
        if pod.metadata.deletion_timestamp and not pod.metadata.finalizers:
            b.client.drop(POD, pod.metadata.name, "default")
        elif pod.metadata.deletion_timestamp and pod.status.phase not in ("Failed", "Succeeded"):
            end(b, pod.metadata.name, "Failed", 137)


def running(b: Bench) -> list[Any]:
    over = ("Failed", "Succeeded")
    return [p for p in b.client.all(POD) if p.status.phase not in over and not p.metadata.deletion_timestamp]


async def settle(b: Bench) -> None:
    for _ in range(8):
        await b.settle(KEY)
        kubelet(b)
    await b.settle(KEY)


async def test_pods_are_counted_once_and_lose_their_finalizer() -> None:
    b = bench(completions=2, parallelism=2)
    await settle(b)
    pods = running(b)
    assert [pod.metadata.finalizers for pod in pods] == [[FINALIZER]] * 2
    assert (the(b).status.active, the(b).status.start_time is not None) == (2, True)
    for pod in pods:
        end(b, pod.metadata.name, "Succeeded")
    await settle(b)
    status = the(b).status
    assert (status.succeeded, status.active, status.failed) == (2, 0, 0)
    assert conditions(b) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert status.completion_time
    assert all(pod.metadata.finalizers == [] for pod in b.client.all(POD))
    assert b.events.events[-1] == ("sum", "Normal", "Completed", "Job completed")
    assert writes(b.plan(KEY)) == []


async def test_no_more_run_than_are_still_missing() -> None:
    b = bench(completions=5, parallelism=3)
    await settle(b)
    assert len(running(b)) == 3
    for pod in running(b)[:3]:
        end(b, pod.metadata.name, "Succeeded")
    await settle(b)
    assert len(running(b)) == 2


@pytest.mark.parametrize("stop", range(1, 9))
async def test_a_crash_between_any_two_writes_neither_loses_nor_repeats_a_pod(stop: int) -> None:
    b = bench(completions=3, parallelism=3)
    await settle(b)
    for pod in running(b):
        end(b, pod.metadata.name, "Succeeded")
    before = len(b.client.calls)

    def refuse(verb: str, kind: Any, name: str) -> Any:
        return Forbidden("crashed") if len(b.client.calls) - before == stop else None

    b.client.refuse = refuse
    with contextlib.suppress(Forbidden):
        await settle(b)
    b.client.refuse = lambda verb, kind, name: None
    await settle(b)
    assert the(b).status.succeeded == 3
    assert "Complete" in conditions(b)


async def test_failures_are_retried_after_ever_longer_waits_and_then_given_up() -> None:
    b = bench(backoff_limit=2)
    waits = []
    for _ in range(3):
        await settle(b)
        (pod,) = running(b)
        end(b, pod.metadata.name, "Failed", 1)
        await settle(b)
        assert running(b) == []
        delay = await b.apply(KEY)
        waits.append(delay)
        await b.clock.advance(delay or 0)
    assert waits == [10, 20, None]
    assert conditions(b) == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
    assert the(b).status.failed == 3
    assert b.events.events[-1] == (
        "sum",
        "Warning",
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )


async def test_indexes_are_given_to_pods_and_kept_in_the_status() -> None:
    b = bench(completions=4, parallelism=2, completion_mode="Indexed")
    await settle(b)
    pods = running(b)
    assert [index_of(pod) for pod in pods] == [0, 1]
    pod = pods[1]
    assert (pod.spec.hostname, pod.metadata.generate_name) == ("sum-1", "sum-1-")
    assert pod.metadata.labels["batch.kubernetes.io/job-completion-index"] == "1"
    (variable,) = pod.spec.containers[0].env
    assert variable.name == "JOB_COMPLETION_INDEX"
    end(b, pod.metadata.name, "Succeeded")
    await settle(b)
    assert the(b).status.completed_indexes == "1"
    assert sorted(index_of(pod) or 0 for pod in running(b)) == [0, 2]
    while running(b):
        for pod in running(b):
            end(b, pod.metadata.name, "Succeeded")
        await settle(b)
    assert the(b).status.completed_indexes == "0-3"
    assert "Complete" in conditions(b)


async def test_a_second_pod_of_an_index_goes() -> None:
    b = bench(completions=2, parallelism=2, completion_mode="Indexed")
    await settle(b)
    twin = copy_of(running(b)[0])
    twin.metadata.name, twin.metadata.uid = "twin", ""
    b.client.put(POD, twin)
    await settle(b)
    assert sorted(index_of(pod) or 0 for pod in running(b)) == [0, 1]


async def test_each_index_has_its_own_limit() -> None:
    b = bench(
        completions=2, parallelism=2, completion_mode="Indexed", backoff_limit_per_index=1, backoff_limit=2**31 - 1
    )
    for _ in range(2):
        await settle(b)
        bad = next(pod for pod in running(b) if index_of(pod) == 0)
        end(b, bad.metadata.name, "Failed", 1)
        await settle(b)
        await b.clock.advance(700)
    await settle(b)
    assert the(b).status.failed_indexes == "0"
    assert [index_of(pod) for pod in running(b)] == [1]
    end(b, running(b)[0].metadata.name, "Succeeded")
    await settle(b)
    assert conditions(b)["Failed"] == "FailedIndexes"
    assert (the(b).status.completed_indexes, the(b).status.failed, the(b).status.succeeded) == ("1", 2, 1)


async def test_too_many_failed_indexes_end_the_job() -> None:
    b = bench(
        completions=4,
        parallelism=4,
        completion_mode="Indexed",
        backoff_limit_per_index=0,
        max_failed_indexes=1,
        backoff_limit=2**31 - 1,
    )
    await settle(b)
    for pod in running(b)[:2]:
        end(b, pod.metadata.name, "Failed", 1)
    await settle(b)
    assert conditions(b)["Failed"] == "MaxFailedIndexesExceeded"
    assert running(b) == []


def policy(action: str, *codes: int, operator: str = "In", condition: str = "") -> PodFailurePolicy:
    rule = PodFailurePolicyRule(action=action)
    if condition:
        rule.on_pod_conditions = [PodFailurePolicyOnPodConditionsPattern(type=condition, status="True")]
    else:
        rule.on_exit_codes = PodFailurePolicyOnExitCodesRequirement(operator=operator, values=list(codes))
    return PodFailurePolicy(rules=[rule])


@pytest.mark.parametrize(
    ("rules", "code", "failed", "reason"),
    [
        (policy("FailJob", 42), 42, 1, "PodFailurePolicy"),
        (policy("FailJob", 42), 1, 1, ""),
        (policy("FailJob", 42, operator="NotIn"), 1, 1, "PodFailurePolicy"),
        (policy("Ignore", 42), 42, 0, ""),
        (policy("Count", 42), 42, 1, ""),
    ],
)
async def test_the_failure_policy_decides(rules: PodFailurePolicy, code: int, failed: int, reason: str) -> None:
    b = bench(pod_failure_policy=rules, backoff_limit=3)
    await settle(b)
    (pod,) = running(b)
    end(b, pod.metadata.name, "Failed", code)
    await settle(b)
    assert the(b).status.failed == failed
    assert conditions(b).get("Failed", "") == reason
    if reason:
        message = next(each.message for each in the(b).status.conditions if each.type == "Failed")
        rule = "FailJob rule at index 0"
        assert (
            message == f"Container c for pod default/{pod.metadata.name} failed with exit code {code} matching {rule}"
        )


async def test_a_disrupted_pod_may_be_ignored() -> None:
    b = bench(pod_failure_policy=policy("Ignore", condition="DisruptionTarget"), backoff_limit=0)
    await settle(b)
    (pod,) = running(b)

    def mark(pod: Any) -> None:
        pod.status.conditions = [PodCondition(type="DisruptionTarget", status="True")]

    b.client.edit(POD, pod.metadata.name, "default", mark)
    end(b, pod.metadata.name, "Failed", 137)
    await settle(b)
    assert conditions(b) == {}
    await b.clock.advance(60)
    await settle(b)
    assert len(running(b)) == 1


@pytest.mark.parametrize(
    ("rule", "enough"),
    [
        (SuccessPolicyRule(succeeded_count=1), True),
        (SuccessPolicyRule(succeeded_indexes="0"), False),
        (SuccessPolicyRule(succeeded_indexes="1-2", succeeded_count=1), True),
        (SuccessPolicyRule(succeeded_indexes="1"), True),
    ],
)
async def test_the_success_policy_ends_the_job_early(rule: SuccessPolicyRule, enough: bool) -> None:
    b = bench(completions=3, parallelism=3, completion_mode="Indexed", success_policy=SuccessPolicy(rules=[rule]))
    await settle(b)
    end(b, next(p for p in running(b) if index_of(p) == 1).metadata.name, "Succeeded")
    await settle(b)
    assert ("SuccessPolicy" in conditions(b).values()) is enough
    assert len(running(b)) == (0 if enough else 2)
    if enough:
        assert conditions(b)["Complete"] == "SuccessPolicy"
        assert the(b).status.failed == 0


async def test_suspending_takes_the_pods_away_without_counting_them() -> None:
    b = bench(completions=3, parallelism=3)
    await settle(b)
    b.client.edit(JOB, "sum", "default", lambda job: setattr(job.spec, "suspend", True))
    await settle(b)
    assert (running(b), the(b).status.failed, the(b).status.start_time) == ([], 0, None)
    assert conditions(b) == {"Suspended": "JobSuspended"}
    b.client.edit(JOB, "sum", "default", lambda job: setattr(job.spec, "suspend", False))
    await settle(b)
    assert len(running(b)) == 3
    assert conditions(b) == {}
    assert [event[2] for event in b.events.events if event[2] in ("Suspended", "Resumed")] == ["Suspended", "Resumed"]


async def test_the_deadline_ends_the_job() -> None:
    b = bench(active_deadline_seconds=30)
    await settle(b)
    assert await b.apply(KEY) == 30
    await b.clock.advance(30)
    await settle(b)
    assert conditions(b)["Failed"] == "DeadlineExceeded"
    assert running(b) == []
    assert the(b).status.failed == 1


async def test_replacement_may_wait_for_the_end() -> None:
    for policy, count in (("TerminatingOrFailed", 1), ("Failed", 0)):
        b = bench(pod_replacement_policy=policy)
        await settle(b)
        (pod,) = running(b)
        b.client.edit(POD, pod.metadata.name, "default", lambda obj: setattr(obj.spec, "node_name", "n1"))
        going = lambda obj: setattr(obj.metadata, "deletion_timestamp", objects.NOW)  # noqa: E731 - one line is enough
        b.client.edit(POD, pod.metadata.name, "default", going)
        await b.clock.advance(3600)
        await b.settle(KEY)
        assert len(running(b)) == count, policy
        assert the(b).status.terminating == 1


async def test_another_controller_is_left_alone() -> None:
    b = bench(managed_by="example.com/other")
    assert b.plan(KEY) == []


async def test_pods_of_jobs_that_are_gone_or_over_are_let_go() -> None:
    b = bench()
    await settle(b)
    b.client.drop(JOB, "sum", "default")
    await b.settle(KEY)
    assert b.client.all(POD)[0].metadata.finalizers == []


async def test_orphans_are_adopted_and_strangers_released() -> None:
    b = bench(completions=2, parallelism=2)
    b.client.put(POD, objects.pod("orphan", job="sum"))
    await settle(b)
    orphan = b.client.informer(POD).get("orphan", "default")
    assert orphan.metadata.owner_references[0].uid == "uid-job-sum"
    assert orphan.metadata.finalizers == [FINALIZER]
    assert len(running(b)) == 2
    b.client.edit(POD, "orphan", "default", lambda pod: pod.metadata.labels.clear())
    await settle(b)
    orphan = b.client.informer(POD).get("orphan", "default")
    assert (orphan.metadata.owner_references, orphan.metadata.finalizers) == ([], [])


async def test_a_full_quota_does_not_keep_pods_from_being_counted() -> None:
    b = bench(completions=3, parallelism=2)
    await settle(b)
    for pod in running(b):
        end(b, pod.metadata.name, "Succeeded")
    b.client.refuse = lambda verb, kind, name: Forbidden("exceeded quota") if verb == "create" else None
    for _ in range(5):
        with contextlib.suppress(Forbidden):
            await b.apply(KEY)
    assert all(pod.metadata.finalizers == [] for pod in b.client.all(POD))
    b.client.refuse = lambda verb, kind, name: None
    await settle(b)
    assert (the(b).status.succeeded, the(b).status.active) == (2, 1)


def test_an_unknown_mode_is_told_and_nothing_done() -> None:
    b = bench(completion_mode="Sideways")
    assert writes(b.plan(KEY)) == []
    assert b.plan(KEY)[0].reason == "UnknownCompletionMode"


# --- indexes


@pytest.mark.parametrize("text", ["", "0", "0,1", "0-2", "1,3-5,7", "1,2,4", "5,6"])
def test_index_texts_come_back_as_they_were(text: str) -> None:
    assert str(Indexes.parse(text, 100)) == text


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_indexes_are_sets(a: set[int], b: set[int]) -> None:
    first, second = Indexes.of(a), Indexes.of(b)
    assert Indexes.parse(str(first), 41) == first
    assert len(first) == len(a)
    assert (first | second) == Indexes.of(a | b)
    assert first.common(second) == len(a & b)
    assert first.missing(41, 99) == [index for index in range(41) if index not in a]


def test_indexes_beyond_the_completions_are_dropped() -> None:
    assert str(Indexes.parse("0-9,20,x,30-40", 5)) == "0-4"


# --- TTL


async def test_jobs_go_when_their_time_after_the_end_is_over() -> None:
    b = bench(ttl_seconds_after_finished=100)
    await settle(b)
    end(b, running(b)[0].metadata.name, "Succeeded")
    await settle(b)
    ttl = Bench(ttl_after_finished.SPEC)
    ttl.client, ttl.clock, ttl.listers, ttl._applier = b.client, b.clock, b.listers, b._applier
    assert await ttl.apply(KEY) == 100
    await b.clock.advance(100)
    await ttl.apply(KEY)
    assert the(b).metadata.deletion_timestamp
    assert "foregroundDeletion" in the(b).metadata.finalizers
