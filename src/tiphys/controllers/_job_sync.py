"""One look at a Job and its pods: which pods to make and delete, what to count, whether it is over.

Source: pkg/controller/job/job_controller.go (syncJob, manageJob, trackJobStatusAndRemoveFinalizers).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.errors import ApiError
from tiphys.api.kinds import JOB, POD
from tiphys.api.kinds.batch.job_schema import Job, JobCondition, JobStatus, UncountedTerminatedPods
from tiphys.api.kinds.core.pod.facts import is_ready, is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.controllers import _job_indexes as indexed
from tiphys.controllers import _job_policies as policies
from tiphys.controllers._actions import Action, Create, Delete, Event, Guard, Patch, Report, RequeueAfter, UpdateStatus
from tiphys.controllers._job_indexes import Indexes, index_of
from tiphys.controllers._job_status import condition_of, count_released, ensure_condition, new_condition
from tiphys.controllers._pods import first_to_delete, is_active
from tiphys.controllers._template import pod_from_template

FINALIZER = "batch.kubernetes.io/job-tracking"
BURST = 500
"""Pods made or deleted in one plan, at most."""
UNCOUNTED_MAX = 500
"""Pods noted in the status before they are counted, at most."""


def is_tracked(pod: Pod) -> bool:
    return FINALIZER in pod.metadata.finalizers


def untracking(pod: Pod, guards: tuple[Guard, ...] = ()) -> Patch:
    """Takes the finalizer off."""
    metadata = {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}
    return Patch(POD, pod.metadata.name, pod.metadata.namespace, {"metadata": metadata}, guards=guards)


class Sync:
    """What one look finds; `actions` is what follows from it."""

    def __init__(self, job: Job, pods: Sequence[Pod], now: datetime) -> None:
        self._job, self._pods, self._now = job, pods, now
        self._spec = job.spec
        self._now_text = rfc3339(now)
        self._status = copy_of(job.status)
        noted = self._status.uncounted_terminated_pods or UncountedTerminatedPods()
        self._status.uncounted_terminated_pods = self._noted = noted
        self._noted_before = {*noted.succeeded}, {*noted.failed}
        self._indexed = job.spec.completion_mode == "Indexed"
        self._completions = job.spec.completions or 0
        self._active = [pod for pod in pods if is_active(pod)]
        self._terminating = [pod for pod in pods if not is_terminal(pod) and pod.metadata.deletion_timestamp]
        self._waits_for_end = job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None
        self._removed: list[Pod] = []
        self._untracked: set[str] = set()
        """UIDs of pods that this plan takes the finalizer from without counting them."""
        self._before: list[Action] = []
        self._after: list[Action] = []
        self._creates: list[Create] = []
        self._waits_s: list[float] = []
        self._succeeded_before = self._succeeded = Indexes()
        self._failed: Indexes | None = None
        self._delayed: dict[int, Pod] = {}

    @property
    def _suspended(self) -> bool:
        return bool(self._spec.suspend)

    def actions(self) -> list[Action]:
        finish = self._finish()
        if finish is not None:
            self._remove(self._active, counted=True)
        else:
            if self._job.metadata.deletion_timestamp is None:
                self._manage()
            if self._is_complete():
                finish = self._condition(
                    "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"
                )
            elif self._job.metadata.deletion_timestamp is None:
                self._note_suspension()
        released = self._track(finish)
        if finish is not None:
            self._finish_with(finish, released)
        return self._ordered(released)

    # --- is it over?

    def _finish(self) -> JobCondition | None:
        """The condition that ends the job: met before, or now."""
        job, status, pods = self._job, self._status, self._pods
        new_failures = [pod for pod in self._countable(self._noted.failed) if self._has_failed(pod)]
        failed = status.failed + len(self._noted.failed)
        failed += sum(policies.judge(job, pod).counts for pod in new_failures)
        if status.start_time is None and not self._suspended:
            status.start_time = self._now_text
        self._read_indexes()
        met = condition_of(status.conditions, "SuccessCriteriaMet")
        if met is not None:
            return met
        target = condition_of(status.conditions, "FailureTarget")
        if target is not None:
            return target
        verdicts = (policies.judge(job, pod).message for pod in pods if self._has_failed(pod))
        if why := next(filter(None, verdicts), ""):
            return self._condition("FailureTarget", "PodFailurePolicy", why)
        if failed > (self._spec.backoff_limit or 0) or self._restarted_too_often():
            text = "Job has reached the specified backoff limit"
            return self._condition("FailureTarget", "BackoffLimitExceeded", text)
        return self._past_deadline() or self._enough_indexes()

    def _restarted_too_often(self) -> bool:
        if self._spec.template.spec.restart_policy != "OnFailure":
            return False
        return policies.restarts(self._pods) >= max(1, self._spec.backoff_limit or 0)

    def _past_deadline(self) -> JobCondition | None:
        deadline_s, start = self._spec.active_deadline_seconds, self._status.start_time
        if deadline_s is None or start is None or self._suspended:
            return None
        left_s = deadline_s - (self._now - parse_rfc3339(start)).total_seconds()
        if left_s > 0:
            self._waits_s.append(left_s)
            return None
        text = "Job was active longer than specified deadline"
        return self._condition("FailureTarget", "DeadlineExceeded", text)

    def _enough_indexes(self) -> JobCondition | None:
        if not self._indexed:
            return None
        if self._failed:
            most = self._spec.max_failed_indexes
            if most is not None and len(self._failed) > most:
                text = "Job has exceeded the specified maximal number of failed indexes"
                return self._condition("FailureTarget", "MaxFailedIndexesExceeded", text)
            if len(self._failed) + len(self._succeeded) >= self._completions:
                return self._condition("FailureTarget", "FailedIndexes", "Job has failed indexes")
        if why := policies.success_message(self._job, self._succeeded):
            return self._condition("SuccessCriteriaMet", "SuccessPolicy", why)
        return None

    def _is_complete(self) -> bool:
        if self._active_after():
            return False
        if self._spec.completions is None:
            return self._count_succeeded() > 0
        return self._count_succeeded() >= self._completions

    def _condition(self, kind: str, reason: str, message: str) -> JobCondition:
        return new_condition(kind, "True", reason, message, self._now_text)

    # --- what the pods say

    def _has_failed(self, pod: Pod) -> bool:
        """A pod that is being deleted counts as failed at once, unless the job waits for its end."""
        if pod.status.phase == "Failed":
            return True
        going = pod.metadata.deletion_timestamp is not None and pod.status.phase != "Succeeded"
        return going and not self._waits_for_end

    def _in_range(self, pod: Pod) -> bool:
        if not self._indexed:
            return True
        index = index_of(pod)
        return index is not None and index < self._completions

    def _countable(self, noted: Iterable[str]) -> list[Pod]:
        """Tracked pods of valid index that are not noted yet."""
        known = frozenset(noted)
        return [pod for pod in self._pods if is_tracked(pod) and pod.metadata.uid not in known and self._in_range(pod)]

    def _count_succeeded(self) -> int:
        if self._indexed:
            return len(self._succeeded)
        new = sum(pod.status.phase == "Succeeded" for pod in self._countable(self._noted.succeeded))
        return self._status.succeeded + len(self._noted.succeeded) + new

    def _read_indexes(self) -> None:
        if not self._indexed:
            return
        valid = [pod for pod in self._pods if is_tracked(pod) and self._in_range(pod)]
        self._succeeded_before = Indexes.parse(self._status.completed_indexes, self._completions)
        new = Indexes.of(index_of(pod) or 0 for pod in valid if pod.status.phase == "Succeeded")
        self._succeeded = self._succeeded_before | new
        if self._spec.backoff_limit_per_index is None:
            return
        known = Indexes.parse(self._status.failed_indexes or "", self._completions)
        self._failed = known | Indexes.of(index_of(pod) or 0 for pod in valid if self._ends_index(pod))
        self._delayed = self._last_failures(valid)

    def _ends_index(self, pod: Pod) -> bool:
        if not self._has_failed(pod):
            return False
        verdict = policies.judge(self._job, pod)
        if verdict.action == "FailIndex":
            return True
        return verdict.counts and indexed.number(pod, indexed.FAILURES) >= (self._spec.backoff_limit_per_index or 0)

    def _last_failures(self, valid: Iterable[Pod]) -> dict[int, Pod]:
        """By index that is to be tried again: the pod that failed last. It is kept, for it bears the count."""
        busy = Indexes.of(index for pod in self._active if (index := index_of(pod)) is not None)
        done = self._succeeded | (self._failed or Indexes()) | busy
        last: dict[int, Pod] = {}
        for pod in valid:
            index = index_of(pod) or 0
            if self._has_failed(pod) and index not in done:
                known = last.get(index)
                if known is None or _failure_rank(known) <= _failure_rank(pod):
                    last[index] = pod
        return last

    # --- pods to make and delete

    def _manage(self) -> None:
        if self._suspended:
            self._remove(self._excess(len(self._active)), counted=False)
            return
        parallelism = 1 if self._spec.parallelism is None else self._spec.parallelism
        succeeded = self._count_succeeded()
        if self._spec.completions is None:
            wanted = len(self._active) if succeeded else parallelism
        else:
            wanted = max(0, min(self._completions - succeeded, parallelism))
        surplus = self._excess(max(0, len(self._active) - wanted))[:BURST]
        if surplus:
            self._remove(surplus, counted=False)
            return
        held = len(self._terminating) if self._waits_for_end else 0
        missing = wanted - held - len(self._active)
        if missing > 0:
            self._make(min(missing, BURST))

    def _excess(self, at_least: int) -> list[Pod]:
        """Pods to delete: those of indexes that are no more or have two, and others up to `at_least`."""
        doomed: list[Pod] = []
        ranked = first_to_delete(self._active, (), self._now)
        if self._indexed:
            best: dict[int, Pod] = {}
            for pod in ranked:
                index = index_of(pod)
                if index is None or index >= self._completions:
                    doomed.append(pod)
                    continue
                if index in best:
                    doomed.append(best[index])
                best[index] = pod
        rest = [pod for pod in ranked if pod not in doomed]
        return doomed + rest[: max(0, at_least - len(doomed))]

    def _remove(self, pods: Sequence[Pod], *, counted: bool) -> None:
        """`counted`: the job is over, and each counts as failed. Else they are nobody's failure."""
        report = Report(self._job, "SuccessfulDelete", "Deleted pod: {name}", "FailedDelete", "Error deleting: {error}")
        self._removed = list(pods)
        if not counted:
            self._untracked = {pod.metadata.uid for pod in pods}
            self._before += [untracking(pod) for pod in pods if is_tracked(pod)]
        self._before += [
            Delete(POD, pod.metadata.name, pod.metadata.namespace, pod.metadata.uid, report=report) for pod in pods
        ]

    def _make(self, count: int) -> None:
        if self._spec.backoff_limit_per_index is None:
            failed = [pod for pod in self._pods if self._has_failed(pod)]
            succeeded = [pod for pod in self._pods if pod.status.phase == "Succeeded"]
            wait_s = policies.delay_s(*policies.failures_since_success(failed, succeeded), self._now)
            if wait_s > 0:
                self._waits_s.append(wait_s)
                return
        if self._indexed:
            made = [self._new_pod(index) for index in self._next_indexes(count)]
        else:
            made = [self._new_pod(None) for _ in range(count)]
        report = Report(self._job, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}")
        self._creates = [Create(POD, pod, report) for pod in made]

    def _next_indexes(self, count: int) -> list[int]:
        busy = Indexes.of(index for pod in self._active if (index := index_of(pod)) is not None)
        taken = self._succeeded | busy | (self._failed or Indexes())
        if self._waits_for_end:
            taken |= Indexes.of(index for pod in self._terminating if (index := index_of(pod)) is not None)
        ready, waits_s = [], []
        for index in taken.missing(self._completions, count):
            failed = self._delayed.get(index)
            failures = _failure_rank(failed)[0] + 1 if failed is not None else 0
            last = policies.finished_at(failed) if failed is not None else None
            wait_s = policies.delay_s(failures, last, self._now)
            if wait_s > 0:
                waits_s.append(wait_s)
            else:
                ready.append(index)
        self._waits_s += waits_s
        return ready

    def _new_pod(self, index: int | None) -> Pod:
        job = self._job
        template = copy_of(self._spec.template)
        if FINALIZER not in template.metadata.finalizers:
            template.metadata.finalizers.append(FINALIZER)
        if index is None:
            return pod_from_template(template, JOB, job)
        indexed.add_environment(template)
        template.metadata.annotations[indexed.INDEX] = template.metadata.labels[indexed.INDEX] = str(index)
        template.spec.hostname = f"{job.metadata.name}-{index}"
        if self._spec.backoff_limit_per_index is not None:
            counted, ignored = self._failure_counts(self._delayed.get(index))
            template.metadata.annotations[indexed.FAILURES] = str(counted)
            if ignored:
                template.metadata.annotations[indexed.IGNORED_FAILURES] = str(ignored)
        pod = pod_from_template(template, JOB, job)
        pod.metadata.generate_name = indexed.generate_name(job.metadata.name, index)
        return pod

    def _failure_counts(self, replaced: Pod | None) -> tuple[int, int]:
        if replaced is None:
            return 0, 0
        counted, ignored = (
            indexed.number(replaced, annotation) for annotation in (indexed.FAILURES, indexed.IGNORED_FAILURES)
        )
        return (counted + 1, ignored) if policies.judge(self._job, replaced).counts else (counted, ignored + 1)

    def _active_after(self) -> int:
        return len(self._active) - len(self._removed) + len(self._creates)

    # --- counting

    def _note_suspension(self) -> None:
        status = self._status
        if self._suspended:
            wanted = new_condition("Suspended", "True", "JobSuspended", "Job suspended", self._now_text)
            if ensure_condition(status, wanted):
                status.start_time = None
                self._after.append(Event(self._job, "Normal", "Suspended", "Job suspended"))
            return
        wanted = new_condition("Suspended", "False", "JobResumed", "Job resumed", self._now_text)
        if ensure_condition(status, wanted):
            status.start_time = self._now_text
            self._after.append(Event(self._job, "Normal", "Resumed", "Job resumed"))

    def _track(self, finish: JobCondition | None) -> list[Patch]:
        """Notes pods that ended, counts those whose finalizer is gone; returns what takes the finalizers off."""
        tracked = [pod for pod in self._pods if is_tracked(pod) and pod.metadata.uid not in self._untracked]
        count_released(self._status, frozenset(pod.metadata.uid for pod in tracked))
        if self._indexed:
            tracked.sort(key=lambda pod: -1 if (index := index_of(pod)) is None else index)
        succeeded = self._succeeded_before
        releases = []
        new = 0
        for pod in tracked:
            if not self._may_release(pod, finish):
                continue
            releases.append(untracking(pod))
            if pod.status.phase == "Succeeded" and pod.metadata.uid not in self._noted_before[1]:
                new += self._note_success(pod)
                if self._indexed and self._in_range(pod):
                    succeeded |= Indexes.of([index_of(pod) or 0])
            elif self._has_failed(pod) or (finish is not None and finish.type != "SuccessCriteriaMet"):
                self._note_failure(pod)
            if new + len(self._noted.succeeded) + len(self._noted.failed) >= UNCOUNTED_MAX:
                break
        if self._indexed:
            self._status.succeeded, self._status.completed_indexes = len(succeeded), str(succeeded)
            self._status.failed_indexes = None if self._failed is None else str(self._failed)
        return releases

    def _may_release(self, pod: Pod, finish: JobCondition | None) -> bool:
        if self._job.metadata.deletion_timestamp or finish is not None or pod.status.phase == "Succeeded":
            return True
        if not self._has_failed(pod):
            return False
        index = index_of(pod)
        kept = self._delayed.get(index) if index is not None else None
        return kept is None or kept.metadata.uid != pod.metadata.uid

    def _note_success(self, pod: Pod) -> int:
        """Indexed jobs note the index, others the UID; returns how many indexes are new."""
        if self._indexed:
            return int(self._in_range(pod) and (index_of(pod) or 0) not in self._succeeded_before)
        if pod.metadata.uid not in self._noted.succeeded:
            self._noted.succeeded.append(pod.metadata.uid)
        return 0

    def _note_failure(self, pod: Pod) -> None:
        if pod.metadata.uid in self._noted.failed or not self._in_range(pod):
            return
        if policies.judge(self._job, pod).counts:
            self._noted.failed.append(pod.metadata.uid)

    def _finish_with(self, finish: JobCondition, released: Sequence[Patch]) -> None:
        """First it is said that the job will end; that it ended only when no pod is left that runs or is uncounted."""
        status = self._status
        if condition_of(status.conditions, finish.type) is None:
            status.conditions.append(finish)
        if released or self._noted.succeeded or self._noted.failed or self._terminating or self._removed:
            return
        kind = "Complete" if finish.type == "SuccessCriteriaMet" else "Failed"
        ended = new_condition(kind, "True", finish.reason, finish.message, self._now_text)
        ensure_condition(status, ended)
        if kind == "Failed":
            self._after.append(Event(self._job, "Warning", finish.reason, finish.message))
            return
        status.completion_time = ended.last_transition_time
        if self._spec.completions is not None and status.succeeded > self._completions:
            text = "Too many succeeded pods running after completion count reached"
            self._after.append(Event(self._job, "Warning", "TooManySucceededPods", text))
        self._after.append(Event(self._job, "Normal", "Completed", "Job completed"))

    # --- the plan

    def _ordered(self, releases: Sequence[Patch]) -> list[Action]:
        """Deletions, then the status, then finalizers, which rest on it. A pod that cannot be made stops nothing else.

        Where nothing rests on the status, it is written once, after the creations, and tells of them.
        """
        waits: list[Action] = [RequeueAfter(min(self._waits_s))] if self._waits_s else []
        without = self._status_with(0)
        if releases or not self._creates:
            written = self._update(without)
            return [*self._before, *written, *releases, *self._after, *waits, *self._creates]
        failed = WhenFailing(self._job, without)
        creates = [Create(each.kind, each.obj, each.report, on_failure=failed) for each in self._creates]
        return [*self._before, *creates, *self._update(self._status_with(len(creates))), *self._after, *waits]

    def _status_with(self, created: int) -> JobStatus:
        status = copy_of(self._status)
        gone = {pod.metadata.uid for pod in self._removed}
        status.active = len(self._active) - len(gone) + created
        status.ready = sum(is_ready(pod) for pod in self._active if pod.metadata.uid not in gone)
        status.terminating = len(self._terminating) + len(gone)
        return status

    def _update(self, status: JobStatus) -> list[Action]:
        return list(_status_update(self._job, status))


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


def _failure_rank(pod: Pod) -> tuple[int, datetime]:
    """How often the index failed before, whether that counted or not, and when this pod failed."""
    failures = indexed.number(pod, indexed.FAILURES) + indexed.number(pod, indexed.IGNORED_FAILURES)
    return failures, policies.finished_at(pod)
