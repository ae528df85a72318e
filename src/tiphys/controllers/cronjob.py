"""Makes a Job at each time of a CronJob's schedule.

Woken by: cron jobs; jobs that one controls; time. Writes: jobs (create, delete), the cron job's status.
Races: a job's name is made from its time, so a second one for the same time is refused; one that exists already and is
ours is noted as started. Of several missed times only the last is made up for, and none after its deadline.
Source: pkg/controller/cronjob/cronjob_controllerv2.go, utils.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kind import new
from tiphys.api.kinds import CRONJOB, JOB
from tiphys.api.kinds.batch.cronjob import CronJob
from tiphys.api.kinds.batch.job_schema import Job
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.owners import owner_reference
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.base.cron import Schedule, parse, zone_of
from tiphys.client.events import reference_to
from tiphys.controllers import _schedule
from tiphys.controllers._actions import Action, Create, Delete, Event, Report, RequeueAfter, UpdateStatus
from tiphys.controllers._job_status import condition_of
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch, controller_key
from tiphys.controllers._workload_measures import CRONJOB_SKEW_S, measure_cronjob

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"


@dataclass(frozen=True)
class World:
    cron_job: CronJob
    jobs: tuple[Job, ...]
    """Those it controls, by name."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    cron_job = listers.get(CRONJOB, key.name, key.namespace)
    if cron_job is None:
        return None
    jobs = sorted(listers.owned(JOB, cron_job), key=lambda job: job.metadata.name)
    return World(cron_job, tuple(jobs), now)


def plan(_key: Key, world: World) -> Sequence[Action]:
    draft = _Draft(world)
    draft.delete_old()
    draft.note_jobs()
    if world.cron_job.metadata.deletion_timestamp is None:
        draft.start()
    return draft.actions()


class _Draft:
    """The cron job as this plan wants it, and what else is to be done."""

    def __init__(self, world: World) -> None:
        self._world, self._cron_job, self._now = world, world.cron_job, world.now
        self._status = copy_of(world.cron_job.status)
        self._events: list[Action] = []
        self._deletes: list[Action] = []
        self._creates: list[Action] = []
        self._wait_s: float | None = None

    def actions(self) -> list[Action]:
        status: list[Action] = []
        if self._status != self._cron_job.status:
            changed = copy_of(self._cron_job)
            changed.status = self._status
            status = [UpdateStatus(CRONJOB, changed)]
        wait: list[Action] = [RequeueAfter(max(0.0, self._wait_s))] if self._wait_s is not None else []
        return [*self._deletes, *self._creates, *status, *self._events, *wait]

    def _say(self, kind: str, reason: str, message: str) -> None:
        self._events.append(Event(self._cron_job, "Warning" if kind == "Warning" else "Normal", reason, message))

    # --- jobs that there are

    def note_jobs(self) -> None:
        """The status lists the jobs that run, and when the last succeeded."""
        status, jobs = self._status, self._world.jobs
        active = {reference.uid for reference in status.active}
        for job in jobs:
            self._note_time(job)
            if not _finished(job):
                if job.metadata.uid not in active:
                    self._note_unlisted(job)
                continue
            if job.metadata.uid in active:
                status.active = [each for each in status.active if each.uid != job.metadata.uid]
                self._say(
                    "Normal", "SawCompletedJob", f"Saw completed job: {job.metadata.name}, condition: {_finished(job)}"
                )
            ended = job.status.completion_time
            if _finished(job) == "Complete" and ended and ended > (status.last_successful_time or ""):
                status.last_successful_time = ended
        known = {job.metadata.uid for job in jobs}
        for reference in [each for each in status.active if each.uid not in known]:
            status.active.remove(reference)
            self._say("Normal", "MissingJob", f"Active job went missing: {reference.name}")

    def _note_time(self, job: Job) -> None:
        """A job that was made says so even where its maker did not live to note it."""
        scheduled, last = scheduled_at(job), self._status.last_schedule_time
        ours = scheduled is not None and job.metadata.name == _job_name(self._cron_job, scheduled)
        if ours and scheduled is not None and (last is None or parse_rfc3339(last) < scheduled):
            self._status.last_schedule_time = rfc3339(scheduled)

    def _note_unlisted(self, job: Job) -> None:
        """A job whose start we forgot to note (or never saw answered) is ours if its name says when it was due."""
        scheduled = scheduled_at(job)
        if scheduled is None or job.metadata.name != _job_name(self._cron_job, scheduled):
            text = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
            self._say("Warning", "UnexpectedJob", text)
            return
        self._status.active.append(reference_to(job))

    def delete_old(self) -> None:
        """Finished jobs beyond the limits go, the oldest first."""
        spec = self._cron_job.spec
        limits = (("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit))
        for outcome, limit in limits:
            done = [job for job in self._world.jobs if _finished(job) == outcome]
            done.sort(key=lambda job: (job.status.start_time or "~", job.metadata.name))
            if limit is not None:
                for job in done[: max(0, len(done) - limit)]:
                    self._delete(job)

    def _delete(self, job: Job) -> None:
        metadata = job.metadata
        if metadata.deletion_timestamp is not None:
            return
        report = Report(
            self._cron_job, "SuccessfulDelete", "Deleted job {name}", "FailedDelete", "Deleted job: {error}"
        )
        self._deletes.append(
            Delete(JOB, metadata.name, metadata.namespace, metadata.uid, propagation="Background", report=report)
        )

    # --- the next job

    def start(self) -> None:
        spec = self._cron_job.spec
        schedule = self._schedule()
        if schedule is None or spec.suspend:
            return
        try:
            due = _schedule.due(self._cron_job, schedule, self._now, within_deadline=True)
        except ValueError as error:
            self._say("Warning", "InvalidSchedule", f"invalid schedule: {spec.schedule} : {error}")
            return
        if due.missed > _schedule.MISSED_MANY and due.latest is not None:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._say("Warning", "TooManyMissedTimes", text)
        if due.latest is not None:
            self._start_at(due.latest)
        noted = copy_of(self._cron_job)
        noted.status = self._status
        self._wait_s = _schedule.wait_s(noted, schedule, self._now)

    def _schedule(self) -> Schedule | None:
        """The schedule; None, and an event, where it makes no sense."""
        spec = self._cron_job.spec
        try:
            zone = zone_of(spec.time_zone or "")
        except ValueError as error:
            self._say("Warning", "UnknownTimeZone", f'invalid timeZone: "{spec.time_zone}": {error}')
            return None
        if "TZ" in spec.schedule:
            text = (
                f'CRON_TZ or TZ used in schedule "{spec.schedule}" is not officially supported, see '
                "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            )
            self._say("Warning", "UnsupportedSchedule", text)
        try:
            return parse(spec.schedule, zone)
        except ValueError as error:
            self._say("Warning", "UnparseableSchedule", f'unparseable schedule: "{spec.schedule}" : {error}')
            return None

    def _start_at(self, moment: datetime) -> None:
        spec, status = self._cron_job.spec, self._status
        deadline_s = spec.starting_deadline_seconds
        if deadline_s is not None and (self._now - moment).total_seconds() > deadline_s:
            text = f"Missed scheduled time to start a job: {moment:%a, %d %b %Y %H:%M:%S +0000}"
            self._say("Warning", "MissSchedule", text)
            return
        name = _job_name(self._cron_job, moment)
        last = status.last_schedule_time
        if any(each.name == name for each in status.active) or (last and parse_rfc3339(last) == moment):
            return
        if spec.concurrency_policy == "Forbid" and status.active:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._say("Normal", "JobAlreadyActive", text)
            return
        if spec.concurrency_policy == "Replace" and status.active:
            self._replace()
        report = Report(
            self._cron_job, "SuccessfulCreate", "Created job {name}", "FailedCreate", "Error creating job: {error}"
        )
        # The list of active jobs learns of it when it shows: then it has its UID.
        self._status.last_schedule_time = rfc3339(moment)
        self._creates.append(Create(JOB, self._job(name, moment), report, exists_ok=True))

    def _replace(self) -> None:
        running = {each.uid for each in self._status.active}
        for job in self._world.jobs:
            if job.metadata.uid in running:
                self._delete(job)
        self._status.active = []

    def _job(self, name: str, moment: datetime) -> Job:
        template = self._cron_job.spec.job_template
        job = new(JOB, name, self._cron_job.metadata.namespace)
        job.metadata.labels = dict(template.metadata.labels)
        job.metadata.annotations = dict(template.metadata.annotations)
        local = moment.astimezone(zone_of(self._cron_job.spec.time_zone or ""))
        job.metadata.annotations[SCHEDULED_AT] = local.isoformat().replace("+00:00", "Z")
        job.metadata.owner_references = [owner_reference(CRONJOB, self._cron_job)]
        job.spec = copy_of(template.spec)
        return job


def _job_name(cron_job: CronJob, moment: datetime) -> str:
    return f"{cron_job.metadata.name}-{int(moment.timestamp()) // 60}"


def scheduled_at(job: Job) -> datetime | None:
    """The time of the schedule that the job was made for."""
    try:
        return parse_rfc3339(job.metadata.annotations.get(SCHEDULED_AT, ""))
    except ValueError:
        return None


def _finished(job: Job) -> str:
    """`Complete`, `Failed`, or empty."""
    return next((kind for kind in ("Complete", "Failed") if condition_of(job.status.conditions, kind)), "")


def reference_to_job(job: Job) -> ObjectReference:
    return reference_to(job)


SPEC = ControllerSpec(
    name="cronjob-controller",
    alias="cronjob",
    primary=CRONJOB,
    read=read,
    plan=plan,
    watches=(Watch(JOB, controller_key(CRONJOB)),),
    workers=5,
    metrics=(CRONJOB_SKEW_S,),
    measure=measure_cronjob,
)
