"""CronJob. Source: staging/src/k8s.io/api/batch/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.batch.job import JobTemplateSpec
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto


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
)
