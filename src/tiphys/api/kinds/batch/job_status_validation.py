"""What the status of a Job may say. Source: pkg/apis/batch/validation/validation.go (validateJobStatus)."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api.errors import FieldError, duplicate, invalid, required
from tiphys.api.kinds.batch.indexes import check_indexes, overlap
from tiphys.api.kinds.batch.job_schema import Job, JobStatus
from tiphys.api.meta.validation import IMMUTABLE, non_negative

TERMINAL = ("Failed", "Complete", "FailureTarget")


def validate_status(obj: Job, old: Job | None) -> Iterator[FieldError]:
    """Rules about what did not change are left alone, so that what is stored can still be written."""
    before = old if old is not None else Job()
    yield from _counts(obj.status)
    yield from _conditions(obj, before)
    yield from _times(obj, before)
    yield from _finished(obj, before)
    yield from _indexes(obj, before)
    if old is not None:
        yield from _change(obj, old)


def _is(obj: Job, kind: str) -> bool:
    return any(each.type == kind and each.status == "True" for each in obj.status.conditions)


def _is_finished(obj: Job) -> bool:
    return _is(obj, "Complete") or _is(obj, "Failed")


def _wrong(why: str) -> FieldError:
    return FieldError("FieldValueInvalid", "status.conditions", f"Invalid value: {why}")


def _counts(status: JobStatus) -> Iterator[FieldError]:
    counts = {
        "active": status.active,
        "succeeded": status.succeeded,
        "failed": status.failed,
        "ready": status.ready or 0,
        "terminating": status.terminating or 0,
    }
    for name, count in counts.items():
        yield from non_negative(f"status.{name}", count)
    noted = status.uncounted_terminated_pods
    if noted is None:
        return
    seen: set[str] = set()
    for name, uids in (("succeeded", noted.succeeded), ("failed", noted.failed)):
        for index, uid in enumerate(uids):
            path = f"status.uncountedTerminatedPods.{name}[{index}]"
            if not uid:
                yield invalid(path, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(path, uid)
            seen.add(uid)


def _conditions(obj: Job, old: Job) -> Iterator[FieldError]:
    changed = {kind for kind in (*TERMINAL, "SuccessCriteriaMet") if _is(obj, kind) != _is(old, kind)}
    complete, failed = _is(obj, "Complete"), _is(obj, "Failed")
    target, met = _is(obj, "FailureTarget"), _is(obj, "SuccessCriteriaMet")
    if changed & {"Complete", "Failed"} and complete and failed:
        yield _wrong("cannot set Complete=True and Failed=true conditions")
    if changed & {"Complete", "FailureTarget"} and complete and target:
        yield _wrong("cannot set Complete=True and FailureTarget=true conditions")
    failed_indexes = obj.status.failed_indexes != old.status.failed_indexes
    if ("Failed" in changed or failed_indexes) and failed and not target:
        yield _wrong("cannot set Failed=True condition without the FailureTarget=true condition")
    if changed & {"Complete", "SuccessCriteriaMet"} and complete and not met:
        yield _wrong("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
    if met and failed:
        yield _wrong("cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if met and target:
        yield _wrong("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if obj.spec.success_policy is not None and complete and not met:
        yield _wrong("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")


def _times(obj: Job, old: Job) -> Iterator[FieldError]:
    status, complete = obj.status, _is(obj, "Complete")
    start, end = status.start_time, status.completion_time
    end_changed = end != old.status.completion_time
    if end_changed or complete != _is(old, "Complete"):
        if end is not None and not complete:
            why = "cannot set completionTime when there is no Complete=True condition"
            yield invalid("status.completionTime", end, why)
        if end is None and complete:
            yield required("status.completionTime", "completionTime is required for Complete jobs")
    both_known = start is not None and end is not None
    if (end_changed or start != old.status.start_time) and both_known and (end or "") < (start or ""):
        yield invalid("status.completionTime", end, "must be equal to or after `startTime`")


def _finished(obj: Job, old: Job) -> Iterator[FieldError]:
    status, before, finished = obj.status, old.status, _is_finished(obj)
    turned = finished != _is_finished(old)
    noted = status.uncounted_terminated_pods
    if finished and status.active > 0 and (turned or status.active != before.active):
        yield invalid("status.active", status.active, "active>0 is invalid for finished job")
    never_ran = bool(obj.spec.suspend) and obj.spec.completions == 0
    if finished and status.start_time is None and not never_ran and (turned or before.start_time is not None):
        yield required("status.startTime", "startTime is required for finished job")
    is_noted = noted is not None and bool(noted.failed or noted.succeeded)
    if finished and is_noted and (turned or noted != before.uncounted_terminated_pods):
        yield invalid("status.uncountedTerminatedPods", noted, "must be empty for finished job")
    if finished and status.terminating and (turned or status.terminating != before.terminating):
        yield invalid("status.terminating", status.terminating, "terminating>0 is invalid for finished job")
    if (status.ready, status.active) != (before.ready, before.active) and (status.ready or 0) > status.active:
        yield invalid("status.ready", status.ready, "cannot set more ready pods than active")


def _indexes(obj: Job, old: Job) -> Iterator[FieldError]:
    spec, status = obj.spec, obj.status
    completed, failed = status.completed_indexes, status.failed_indexes
    new_completed, new_failed = completed != old.status.completed_indexes, failed != old.status.failed_indexes
    if new_completed and spec.completions is not None:
        wrong = check_indexes(completed, spec.completions)[1]
        if wrong:
            yield invalid("status.completedIndexes", completed, f"error parsing completedIndexes: {wrong}")
    if new_failed and spec.completions is not None and spec.backoff_limit_per_index is not None and failed is not None:
        wrong = check_indexes(failed, spec.completions)[1]
        if wrong:
            yield invalid("status.failedIndexes", failed, f"error parsing failedIndexes: {wrong}")
    if new_completed and completed and spec.completion_mode != "Indexed":
        why = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield invalid("status.completedIndexes", completed, why)
    if new_failed and failed is not None and spec.backoff_limit_per_index is None:
        why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield invalid("status.failedIndexes", failed, why)
    if (new_completed or new_failed) and spec.completions is not None and failed is not None:
        common = overlap(completed, failed, spec.completions)
        if common is not None:
            why = f"failedIndexes and completedIndexes overlap at index: {common}"
            yield invalid("status.failedIndexes", failed, why)


def _change(obj: Job, old: Job) -> Iterator[FieldError]:
    status, before = obj.status, old.status
    for kind in TERMINAL:
        if _is(old, kind) and not _is(obj, kind):
            yield _wrong(f"cannot disable the terminal {kind}=True condition")
    if status.failed < before.failed:
        yield invalid("status.failed", status.failed, "cannot decrease the failed counter")
    elastic = obj.spec.completion_mode == "Indexed" and obj.spec.completions == obj.spec.parallelism
    if status.succeeded < before.succeeded and not elastic:
        yield invalid("status.succeeded", status.succeeded, "cannot decrease the succeeded counter")
    if status.completion_time and before.completion_time and status.completion_time != before.completion_time:
        yield invalid("status.completionTime", status.completion_time, IMMUTABLE)
    resuming = _is(old, "Suspended") and any(
        each.type == "Suspended" and each.status == "False" for each in status.conditions
    )
    moved = before.start_time is not None and status.start_time != before.start_time
    if moved and not resuming and not obj.spec.suspend:
        why = "field is immutable for unsuspended job once set"
        yield invalid("status.startTime", status.start_time, why)
    if _is(old, "SuccessCriteriaMet") and not _is(obj, "SuccessCriteriaMet"):
        yield _wrong("cannot disable the SuccessCriteriaMet=True condition")
    if _is(old, "Complete") and not _is(old, "SuccessCriteriaMet") and _is(obj, "SuccessCriteriaMet"):
        yield _wrong("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
