"""One look at a Job and its pods: which pods to make and delete, what to count, whether it is over.

Source: pkg/controller/job/job_controller.go (syncJob, manageJob, trackJobStatusAndRemoveFinalizers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.errors import ApiError
from tiphys.api.kinds import JOB
from tiphys.api.kinds.batch.job_schema import Job, JobCondition, JobStatus
from tiphys.api.kinds.core.pod.facts import is_ready
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.controllers import _job_policies as policies
from tiphys.controllers._actions import Action, Create, Event, Patch, RequeueAfter, UpdateStatus
from tiphys.controllers._job_indexes import Indexes, index_of
from tiphys.controllers._job_pods import JobPods, is_tracked, untracking
from tiphys.controllers._job_scaling import Scaling
from tiphys.controllers._job_status import condition_of, count_released, ensure_condition, new_condition

UNCOUNTED_MAX = 500
"""Pods noted in the status before they are counted, at most."""


class Sync:
    """What one look finds; `actions` is what follows from it."""

    def __init__(self, job: Job, pods: Sequence[Pod], now: datetime) -> None:
        self._seen = JobPods(job, pods, now)
        self._scaling = Scaling(self._seen)
        self._now_text = rfc3339(now)
        noted = self._seen.noted
        self._noted_before = {*noted.succeeded}, {*noted.failed}
        self._after: list[Action] = []
        self._waits_s: list[float] = []

    def actions(self) -> list[Action]:
        finish = self._finish()
        if finish is not None:
            self._scaling.remove(self._seen.active, counted=True)
        else:
            if self._seen.job.metadata.deletion_timestamp is None:
                self._scaling.manage()
            if self._is_complete():
                finish = self._condition(
                    "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"
                )
            elif self._seen.job.metadata.deletion_timestamp is None:
                self._note_suspension()
        released = self._track(finish)
        if finish is not None:
            self._finish_with(finish, released)
        return self._ordered(released)

    # --- is it over?

    def _finish(self) -> JobCondition | None:
        """The condition that ends the job: met before, or now."""
        job, status, pods = self._seen.job, self._seen.status, self._seen.pods
        new_failures = [pod for pod in self._seen.countable(self._seen.noted.failed) if self._seen.has_failed(pod)]
        failed = status.failed + len(self._seen.noted.failed)
        failed += sum(policies.judge(job, pod).counts for pod in new_failures)
        if status.start_time is None and not self._seen.suspended:
            status.start_time = self._now_text
        self._seen.read_indexes()
        met = condition_of(status.conditions, "SuccessCriteriaMet")
        if met is not None:
            return met
        target = condition_of(status.conditions, "FailureTarget")
        if target is not None:
            return target
        verdicts = (policies.judge(job, pod).message for pod in pods if self._seen.has_failed(pod))
        if why := next(filter(None, verdicts), ""):
            return self._condition("FailureTarget", "PodFailurePolicy", why)
        if failed > (self._seen.spec.backoff_limit or 0) or self._restarted_too_often():
            text = "Job has reached the specified backoff limit"
            return self._condition("FailureTarget", "BackoffLimitExceeded", text)
        return self._past_deadline() or self._enough_indexes()

    def _restarted_too_often(self) -> bool:
        if self._seen.spec.template.spec.restart_policy != "OnFailure":
            return False
        return policies.restarts(self._seen.pods) >= max(1, self._seen.spec.backoff_limit or 0)

    def _past_deadline(self) -> JobCondition | None:
        deadline_s, start = self._seen.spec.active_deadline_seconds, self._seen.status.start_time
        if deadline_s is None or start is None or self._seen.suspended:
            return None
        left_s = deadline_s - (self._seen.now - parse_rfc3339(start)).total_seconds()
        if left_s > 0:
            self._waits_s.append(left_s)
            return None
        text = "Job was active longer than specified deadline"
        return self._condition("FailureTarget", "DeadlineExceeded", text)

    def _enough_indexes(self) -> JobCondition | None:
        if not self._seen.indexed:
            return None
        if self._seen.failed:
            most = self._seen.spec.max_failed_indexes
            if most is not None and len(self._seen.failed) > most:
                text = "Job has exceeded the specified maximal number of failed indexes"
                return self._condition("FailureTarget", "MaxFailedIndexesExceeded", text)
            if len(self._seen.failed) + len(self._seen.succeeded) >= self._seen.completions:
                return self._condition("FailureTarget", "FailedIndexes", "Job has failed indexes")
        if why := policies.success_message(self._seen.job, self._seen.succeeded):
            return self._condition("SuccessCriteriaMet", "SuccessPolicy", why)
        return None

    def _is_complete(self) -> bool:
        if self._scaling.active_after:
            return False
        if self._seen.spec.completions is None:
            return self._seen.count_succeeded() > 0
        return self._seen.count_succeeded() >= self._seen.completions

    def _condition(self, kind: str, reason: str, message: str) -> JobCondition:
        return new_condition(kind, "True", reason, message, self._now_text)

    # --- counting

    def _note_suspension(self) -> None:
        status = self._seen.status
        if self._seen.suspended:
            wanted = new_condition("Suspended", "True", "JobSuspended", "Job suspended", self._now_text)
            if ensure_condition(status, wanted):
                status.start_time = None
                self._after.append(Event(self._seen.job, "Normal", "Suspended", "Job suspended"))
            return
        wanted = new_condition("Suspended", "False", "JobResumed", "Job resumed", self._now_text)
        if ensure_condition(status, wanted):
            status.start_time = self._now_text
            self._after.append(Event(self._seen.job, "Normal", "Resumed", "Job resumed"))

    def _track(self, finish: JobCondition | None) -> list[Patch]:
        """Notes pods that ended, counts those whose finalizer is gone; returns what takes the finalizers off."""
        tracked = [
            pod for pod in self._seen.pods if is_tracked(pod) and pod.metadata.uid not in self._scaling.untracked
        ]
        count_released(self._seen.status, frozenset(pod.metadata.uid for pod in tracked))
        if self._seen.indexed:
            tracked.sort(key=lambda pod: -1 if (index := index_of(pod)) is None else index)
        succeeded = self._seen.succeeded_before
        releases = []
        new = 0
        for pod in tracked:
            if not self._may_release(pod, finish):
                continue
            releases.append(untracking(pod))
            if pod.status.phase == "Succeeded" and pod.metadata.uid not in self._noted_before[1]:
                new += self._note_success(pod)
                if self._seen.indexed and self._seen.in_range(pod):
                    succeeded |= Indexes.of([index_of(pod) or 0])
            elif self._seen.has_failed(pod) or (finish is not None and finish.type != "SuccessCriteriaMet"):
                self._note_failure(pod)
            if new + len(self._seen.noted.succeeded) + len(self._seen.noted.failed) >= UNCOUNTED_MAX:
                break
        if self._seen.indexed:
            self._seen.status.succeeded, self._seen.status.completed_indexes = len(succeeded), str(succeeded)
            self._seen.status.failed_indexes = None if self._seen.failed is None else str(self._seen.failed)
        return releases

    def _may_release(self, pod: Pod, finish: JobCondition | None) -> bool:
        if self._seen.job.metadata.deletion_timestamp or finish is not None or pod.status.phase == "Succeeded":
            return True
        if not self._seen.has_failed(pod):
            return False
        index = index_of(pod)
        kept = self._seen.delayed.get(index) if index is not None else None
        return kept is None or kept.metadata.uid != pod.metadata.uid

    def _note_success(self, pod: Pod) -> int:
        """Indexed jobs note the index, others the UID; returns how many indexes are new."""
        if self._seen.indexed:
            return int(self._seen.in_range(pod) and (index_of(pod) or 0) not in self._seen.succeeded_before)
        if pod.metadata.uid not in self._seen.noted.succeeded:
            self._seen.noted.succeeded.append(pod.metadata.uid)
        return 0

    def _note_failure(self, pod: Pod) -> None:
        if pod.metadata.uid in self._seen.noted.failed or not self._seen.in_range(pod):
            return
        if policies.judge(self._seen.job, pod).counts:
            self._seen.noted.failed.append(pod.metadata.uid)

    def _finish_with(self, finish: JobCondition, released: Sequence[Patch]) -> None:
        """First it is said that the job will end; that it ended only when no pod is left that runs or is uncounted."""
        status = self._seen.status
        if condition_of(status.conditions, finish.type) is None:
            status.conditions.append(finish)
        if (
            released
            or self._seen.noted.succeeded
            or self._seen.noted.failed
            or self._seen.terminating
            or self._scaling.removed
        ):
            return
        kind = "Complete" if finish.type == "SuccessCriteriaMet" else "Failed"
        ended = new_condition(kind, "True", finish.reason, finish.message, self._now_text)
        ensure_condition(status, ended)
        if kind == "Failed":
            self._after.append(Event(self._seen.job, "Warning", finish.reason, finish.message))
            return
        status.completion_time = ended.last_transition_time
        if self._seen.spec.completions is not None and status.succeeded > self._seen.completions:
            text = "Too many succeeded pods running after completion count reached"
            self._after.append(Event(self._seen.job, "Warning", "TooManySucceededPods", text))
        self._after.append(Event(self._seen.job, "Normal", "Completed", "Job completed"))

    # --- the plan

    def _ordered(self, releases: Sequence[Patch]) -> list[Action]:
        """Deletions, then the status, then finalizers, which rest on it. A pod that cannot be made stops nothing else.

        Where nothing rests on the status, it is written once, after the creations, and tells of them.
        """
        waits_s = [*self._waits_s, *self._scaling.waits_s]
        waits: list[Action] = [RequeueAfter(min(waits_s))] if waits_s else []
        without = self._status_with(0)
        if releases or not self._scaling.creates:
            written = self._update(without)
            return [*self._scaling.deletions, *written, *releases, *self._after, *waits, *self._scaling.creates]
        failed = WhenFailing(self._seen.job, without)
        creates = [Create(each.kind, each.obj, each.report, on_failure=failed) for each in self._scaling.creates]
        return [
            *self._scaling.deletions,
            *creates,
            *self._update(self._status_with(len(creates))),
            *self._after,
            *waits,
        ]

    def _status_with(self, created: int) -> JobStatus:
        status = copy_of(self._seen.status)
        gone = {pod.metadata.uid for pod in self._scaling.removed}
        status.active = len(self._seen.active) - len(gone) + created
        status.ready = sum(is_ready(pod) for pod in self._seen.active if pod.metadata.uid not in gone)
        status.terminating = len(self._seen.terminating) + len(gone)
        return status

    def _update(self, status: JobStatus) -> list[Action]:
        return list(_status_update(self._seen.job, status))


@dataclass(frozen=True)
class WhenFailing:
    """Writes the status as it is without the pods that could not be made."""

    job: Job
    status: JobStatus

    def __call__(self, _error: ApiError) -> Sequence[Action]:
        return _status_update(self.job, self.status)


def _status_update(job: Job, status: JobStatus) -> Sequence[Action]:
    if status == job.status:
        return ()
    changed = copy_of(job)
    changed.status = status
    return (UpdateStatus(JOB, changed),)
