"""CronJob. Source: staging/src/k8s.io/api/batch/v1/types.go."""

import re
from collections.abc import Iterator
from typing import Annotated

from tiphys.api.duration import since
from tiphys.api.errors import FieldError, invalid, not_supported, required
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.batch.job import default_job_spec
from tiphys.api.kinds.batch.job_schema import JobTemplateSpec
from tiphys.api.kinds.batch.job_validation import validate_job_spec
from tiphys.api.kinds.columns import AGE, NAME, NONE, template_columns
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.labels import text_of
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto
from tiphys.api.meta.validation import non_negative


class CronJobSpec(Struct):
    """The timetable, the job, and what to do when runs overlap."""

    schedule: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    time_zone: Annotated[str | None, proto(8)] = None
    starting_deadline_seconds: Annotated[int | None, proto(2)] = None
    concurrency_policy: Annotated[str, proto(3)] = ""
    suspend: Annotated[bool | None, proto(4)] = None
    job_template: Annotated[JobTemplateSpec, proto(5, required=True)] = field(default_factory=JobTemplateSpec)
    successful_jobs_history_limit: Annotated[Int32 | None, proto(6)] = None
    failed_jobs_history_limit: Annotated[Int32 | None, proto(7)] = None


class CronJobStatus(Struct):
    """Which jobs run, and when the last ones started and succeeded."""

    active: Annotated[list[ObjectReference], proto(1, list_type="atomic")] = []
    last_schedule_time: Annotated[Time | None, proto(4)] = None
    last_successful_time: Annotated[Time | None, proto(5)] = None


class CronJob(Resource):
    """Makes a job again and again, by a timetable."""

    spec: Annotated[CronJobSpec, proto(2, required=True)] = field(default_factory=CronJobSpec)
    status: Annotated[CronJobStatus, proto(3)] = field(default_factory=CronJobStatus)


def _prepare(obj: CronJob, old: CronJob | None) -> None:
    obj.status = copy_of(old.status) if old is not None else CronJobStatus()


def _prepare_status(obj: CronJob, old: CronJob) -> None:
    obj.spec = copy_of(old.spec)


CONCURRENCY = ("Allow", "Forbid", "Replace")
SUCCESSFUL_KEPT, FAILED_KEPT = 3, 1
NAME_MAX = 52
"""Jobs' names are longer by eleven characters, and make labels."""
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}", re.ASCII)


def _default(obj: CronJob) -> None:
    spec = obj.spec
    spec.concurrency_policy = spec.concurrency_policy or "Allow"
    spec.suspend = bool(spec.suspend)
    if spec.successful_jobs_history_limit is None:
        spec.successful_jobs_history_limit = SUCCESSFUL_KEPT
    if spec.failed_jobs_history_limit is None:
        spec.failed_jobs_history_limit = FAILED_KEPT
    default_job_spec(spec.job_template.spec)


def _validate(obj: CronJob, old: CronJob | None) -> Iterator[FieldError]:
    spec = obj.spec
    if not spec.schedule:
        yield required("spec.schedule")
    else:
        yield from _schedule(spec, old.spec if old is not None else None)
    yield from non_negative("spec.startingDeadlineSeconds", spec.starting_deadline_seconds or 0)
    if old is None or old.spec.time_zone != spec.time_zone:
        yield from _time_zone(spec.time_zone)
    if not spec.concurrency_policy:
        yield required("spec.concurrencyPolicy")
    elif spec.concurrency_policy not in CONCURRENCY:
        yield not_supported("spec.concurrencyPolicy", spec.concurrency_policy, CONCURRENCY)
    path, job = "spec.jobTemplate.spec", spec.job_template.spec
    yield from validate_job_spec(job, path)
    if job.selector is not None:
        yield invalid(f"{path}.selector", job.selector, "`selector` will be auto-generated")
    if job.manual_selector:
        yield not_supported(f"{path}.manualSelector", job.manual_selector, ("nil", "false"))
    yield from non_negative("spec.successfulJobsHistoryLimit", spec.successful_jobs_history_limit or 0)
    yield from non_negative("spec.failedJobsHistoryLimit", spec.failed_jobs_history_limit or 0)
    if old is None and len(obj.metadata.name) > NAME_MAX:
        yield invalid("metadata.name", obj.metadata.name, f"must be no more than {NAME_MAX} characters")


def _schedule(spec: CronJobSpec, old: CronJobSpec | None) -> Iterator[FieldError]:
    from tiphys.base import cron

    path, schedule = "spec.schedule", spec.schedule
    try:
        cron.parse(schedule)
    except ValueError as error:
        yield invalid(path, schedule, str(error))
    if "TZ" not in schedule:
        return
    if old is None or "TZ" not in old.schedule:
        yield invalid(path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    elif spec.time_zone is not None:
        yield invalid(path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")


def _time_zone(zone: str | None) -> Iterator[FieldError]:
    path = "spec.timeZone"
    if zone is None:
        return
    from tiphys.base import cron

    if not zone:
        yield invalid(path, zone, "timeZone must be nil or non-empty string")
        return
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not _ZONE_PART.fullmatch(part):
            yield invalid(path, zone, f"unknown time zone {zone}")
            return
    if zone.lower() == "local":
        why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid(path, zone, why)
        return
    try:
        cron.zone_of(zone)
    except ValueError as error:
        yield invalid(path, zone, str(error))


def _bool_text(value: bool | None) -> str:
    return "<unset>" if value is None else str(value)


COLUMNS: tuple[Column[CronJob], ...] = (
    NAME,
    Column("Schedule", "string", lambda obj: obj.spec.schedule, "When it runs."),
    Column("Timezone", "string", lambda obj: obj.spec.time_zone or NONE, "Whose clocks the schedule means."),
    Column("Suspend", "boolean", lambda obj: _bool_text(obj.spec.suspend), "Whether it rests."),
    Column("Active", "integer", lambda obj: len(obj.status.active), "Jobs that run."),
    Column(
        "Last Schedule",
        "string",
        lambda obj: obj.status.last_schedule_time or NONE,
        "Time since the last run was due.",
        cell_at=lambda obj, now: since(obj.status.last_schedule_time, now) if obj.status.last_schedule_time else NONE,
    ),
    AGE,
    *template_columns(
        lambda obj: obj.spec.job_template.spec.template, lambda obj: text_of(obj.spec.job_template.spec.selector)
    ),
)


CRONJOB = Kind(
    group="batch",
    version="v1",
    kind="CronJob",
    plural="cronjobs",
    schema=CronJob,
    short_names=("cj",),
    categories=("all",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    generation=True,
    prepare=_prepare,
    prepare_status=_prepare_status,
    default=_default,
    validate=_validate,
    columns=COLUMNS,
)
