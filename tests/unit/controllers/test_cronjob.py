from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tiphys.api.kinds import CRONJOB, JOB
from tiphys.api.kinds.batch.job_schema import JobCondition
from tiphys.base.clock import rfc3339
from tiphys.controllers import cronjob
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench, writes

KEY = Key("default", "nightly")


def bench(schedule: str = "*/5 * * * *", **spec: Any) -> Bench:
    b = Bench(cronjob.SPEC)
    b.client.put(CRONJOB, objects.cron_job(schedule=schedule, **spec))
    return b


def the(b: Bench) -> Any:
    return b.client.informer(CRONJOB).get("nightly", "default")


def end(b: Bench, name: str, kind: str = "Complete") -> None:
    now = rfc3339(b.clock.now())

    def edit(job: Any) -> None:
        job.status.conditions = [JobCondition(type=kind, status="True", last_transition_time=now)]
        job.status.completion_time = now if kind == "Complete" else None
        job.status.start_time = now

    b.client.edit(JOB, name, "default", edit)


def reasons(b: Bench) -> list[str]:
    return [reason for _, _, reason, _ in b.events.events]


async def later(b: Bench, seconds: float) -> None:
    await b.clock.advance(seconds)
    await b.settle(KEY)


async def test_a_job_comes_at_each_time_with_its_name_and_annotation() -> None:
    b = bench(time_zone="Europe/Berlin")
    await b.settle(KEY)
    assert b.client.all(JOB) == []
    wait = await b.apply(KEY)
    start = b.clock.now()
    await later(b, wait or 0)
    (job,) = b.client.all(JOB)
    due = start.replace(second=0, microsecond=0) + timedelta(minutes=5 - start.minute % 5)
    assert job.metadata.name == f"nightly-{int(due.timestamp()) // 60}"
    text = job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert text == due.astimezone(cronjob.zone_of("Europe/Berlin")).isoformat()
    assert job.metadata.owner_references[0].uid == "uid-cj-nightly"
    status = the(b).status
    assert [each.name for each in status.active] == [job.metadata.name]
    assert status.last_schedule_time == rfc3339(due)
    assert ("nightly", "Normal", "SuccessfulCreate", f"Created job {job.metadata.name}") in b.events.events


async def test_of_missed_times_only_the_last_is_made_up_for() -> None:
    b = bench()
    await later(b, 3600)
    assert len(b.client.all(JOB)) == 1
    await b.settle(KEY)
    assert len(b.client.all(JOB)) == 1


async def test_very_many_missed_times_are_told() -> None:
    b = bench("* * * * *")
    await later(b, 101 * 60)
    assert "TooManyMissedTimes" in reasons(b)
    assert len(b.client.all(JOB)) == 1


async def test_after_its_deadline_a_time_is_given_up() -> None:
    b = bench("0 * * * *", starting_deadline_seconds=30)
    wait = await b.apply(KEY)
    await later(b, (wait or 0) + 60)
    assert b.client.all(JOB) == []


@pytest.mark.parametrize(("policy", "alive"), [("Allow", 2), ("Forbid", 1), ("Replace", 1)])
async def test_what_becomes_of_a_job_that_still_runs(policy: str, alive: int) -> None:
    b = bench(concurrency_policy=policy)
    await later(b, 300)
    (first,) = b.client.all(JOB)
    await later(b, 300)
    await b.apply(KEY)
    jobs = b.client.all(JOB)
    assert len(jobs) == alive
    assert (first.metadata.name in [job.metadata.name for job in jobs]) is (policy != "Replace")
    assert ("JobAlreadyActive" in reasons(b)) is (policy == "Forbid")


async def test_finished_jobs_are_noted_and_the_oldest_deleted() -> None:
    b = bench(successful_jobs_history_limit=2, failed_jobs_history_limit=1)
    for number in range(6):
        await later(b, 300)
        newest = b.client.all(JOB)[-1].metadata.name
        end(b, newest, "Failed" if number % 2 else "Complete")
        await b.settle(KEY)
    kinds = sorted(job.status.conditions[0].type for job in b.client.all(JOB))
    assert kinds == ["Complete", "Complete", "Failed"]
    status = the(b).status
    assert (status.active, bool(status.last_successful_time)) == ([], True)
    assert "SawCompletedJob" in reasons(b)


async def test_a_suspended_one_makes_no_jobs_but_tends_those_there_are() -> None:
    b = bench()
    await later(b, 300)
    b.client.edit(CRONJOB, "nightly", "default", lambda obj: setattr(obj.spec, "suspend", True))
    end(b, b.client.all(JOB)[0].metadata.name)
    await later(b, 3600)
    assert len(b.client.all(JOB)) == 1
    assert the(b).status.active == []


async def test_a_crash_after_making_a_job_makes_no_second_one() -> None:
    b = bench()
    await b.clock.advance(300)
    b.client.refuse = lambda verb, kind, name: RuntimeError("crash") if verb == "update status" else None  # type: ignore[assignment, return-value]
    with pytest.raises(RuntimeError):
        await b.apply(KEY)
    (job,) = b.client.all(JOB)
    b.client.refuse = lambda verb, kind, name: None
    end(b, job.metadata.name)
    await b.settle(KEY)
    assert [each.metadata.name for each in b.client.all(JOB)] == [job.metadata.name]
    assert the(b).status.last_schedule_time
    assert writes(b.plan(KEY)) == []


async def test_a_job_that_went_is_told() -> None:
    b = bench()
    await later(b, 300)
    b.client.drop(JOB, b.client.all(JOB)[0].metadata.name, "default")
    await b.settle(KEY)
    assert reasons(b)[-1] == "MissingJob"
    assert the(b).status.active == []


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({"schedule": "nonsense"}, "UnparseableSchedule"), ({"time_zone": "Mars/Olympus"}, "UnknownTimeZone")],
)
async def test_what_makes_no_sense_is_said_and_waits_for_a_change(spec: dict[str, str], reason: str) -> None:
    b = bench(**spec)  # type: ignore[arg-type]
    assert await b.apply(KEY) is None
    assert reasons(b) == [reason]
    assert b.client.calls == []


async def test_a_time_that_comes_too_late_is_told_in_words_of_rfc_1123() -> None:
    b = bench("0 * * * *", starting_deadline_seconds=3600)
    await b.clock.advance(3600 + 3599)
    b.client.edit(CRONJOB, "nightly", "default", lambda obj: setattr(obj.spec, "starting_deadline_seconds", 10))
    draft = cronjob._Draft(b.spec.read(b.listers, KEY, b.clock.now()))
    draft._start_at(b.clock.now() - timedelta(minutes=59, seconds=59))
    (told,) = draft.actions()
    assert told.message == "Missed scheduled time to start a job: Thu, 01 Jan 2026 01:00:00 +0000"  # type: ignore[union-attr] # an Event
