"""The conditions of a Job, and its counters. Source: pkg/controller/job/job_controller.go."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.api.kinds.batch.job_schema import JobCondition, JobStatus


def condition_of(conditions: Iterable[JobCondition], kind: str) -> JobCondition | None:
    """The condition of this type, if it is true."""
    return next((each for each in conditions if each.type == kind and each.status == "True"), None)


def new_condition(kind: str, status: str, reason: str, message: str, now: str) -> JobCondition:
    return JobCondition(
        type=kind, status=status, last_probe_time=now, last_transition_time=now, reason=reason, message=message
    )


def ensure_condition(status: JobStatus, wanted: JobCondition) -> bool:
    """Whether something changed. A condition that is false is not added, only kept up to date."""
    for index, known in enumerate(status.conditions):
        if known.type == wanted.type:
            if (known.status, known.reason, known.message) == (wanted.status, wanted.reason, wanted.message):
                return False
            status.conditions[index] = wanted
            return True
    if wanted.status == "False":
        return False
    status.conditions.append(wanted)
    return True


def count_released(status: JobStatus, tracked: frozenset[str]) -> None:
    """Moves pods to the counters that are noted as ended and bear no finalizer any more."""
    noted = status.uncounted_terminated_pods
    if noted is None:
        return
    staying = [uid for uid in noted.succeeded if uid in tracked]
    status.succeeded += len(noted.succeeded) - len(staying)
    noted.succeeded = staying
    staying = [uid for uid in noted.failed if uid in tracked]
    status.failed += len(noted.failed) - len(staying)
    noted.failed = staying
