"""Which pods of a Job are to be made and deleted.

Source: pkg/controller/job/job_controller.go (manageJob), indexed_job_utils.go, backoff_utils.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.kinds import JOB, POD
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of
from tiphys.controllers import _job_indexes as indexed
from tiphys.controllers import _job_policies as policies
from tiphys.controllers._actions import Action, Create, Delete, Report
from tiphys.controllers._job_indexes import Indexes, index_of
from tiphys.controllers._job_pods import FINALIZER, JobPods, failure_rank, is_tracked, untracking
from tiphys.controllers._pods import first_to_delete
from tiphys.controllers._template import pod_from_template

BURST = 500
"""Pods made or deleted in one plan, at most."""


class Scaling:
    """What one plan does to the number of pods; nothing until `manage` or `remove` is called."""

    def __init__(self, seen: JobPods) -> None:
        self._seen = seen
        self.removed: list[Pod] = []
        self.untracked: set[str] = set()
        """UIDs of pods that lose the finalizer without being counted."""
        self.deletions: list[Action] = []
        self.creates: list[Create] = []
        self.waits_s: list[float] = []
        """When to look again, for what may not be made as yet."""

    @property
    def active_after(self) -> int:
        """How many pods will be active."""
        return len(self._seen.active) - len(self.removed) + len(self.creates)

    def manage(self) -> None:
        """Make what is missing, or delete what is too much."""
        if self._seen.suspended:
            self.remove(self._excess(len(self._seen.active)), counted=False)
            return
        parallelism = 1 if self._seen.spec.parallelism is None else self._seen.spec.parallelism
        succeeded = self._seen.count_succeeded()
        if self._seen.spec.completions is None:
            wanted = len(self._seen.active) if succeeded else parallelism
        else:
            wanted = max(0, min(self._seen.completions - succeeded, parallelism))
        surplus = self._excess(max(0, len(self._seen.active) - wanted))[:BURST]
        if surplus:
            self.remove(surplus, counted=False)
            return
        held = len(self._seen.terminating) if self._seen.waits_for_end else 0
        missing = wanted - held - len(self._seen.active)
        if missing > 0:
            self._make(min(missing, BURST))

    def _excess(self, at_least: int) -> list[Pod]:
        """Pods to delete: those of indexes that are no more or have two, and others up to `at_least`."""
        doomed: list[Pod] = []
        ranked = first_to_delete(self._seen.active, (), self._seen.now)
        if self._seen.indexed:
            best: dict[int, Pod] = {}
            for pod in ranked:
                index = index_of(pod)
                if index is None or index >= self._seen.completions:
                    doomed.append(pod)
                    continue
                if index in best:
                    doomed.append(best[index])
                best[index] = pod
        rest = [pod for pod in ranked if pod not in doomed]
        return doomed + rest[: max(0, at_least - len(doomed))]

    def remove(self, pods: Sequence[Pod], *, counted: bool) -> None:
        """`counted`: the job is over, and each counts as failed. Else they are nobody's failure."""
        report = Report(
            self._seen.job, "SuccessfulDelete", "Deleted pod: {name}", "FailedDelete", "Error deleting: {error}"
        )
        self.removed = list(pods)
        if not counted:
            self.untracked = {pod.metadata.uid for pod in pods}
            self.deletions += [untracking(pod) for pod in pods if is_tracked(pod)]
        self.deletions += [
            Delete(POD, pod.metadata.name, pod.metadata.namespace, pod.metadata.uid, report=report) for pod in pods
        ]

    def _make(self, count: int) -> None:
        if self._seen.spec.backoff_limit_per_index is None:
            failed = [pod for pod in self._seen.pods if self._seen.has_failed(pod)]
            succeeded = [pod for pod in self._seen.pods if pod.status.phase == "Succeeded"]
            wait_s = policies.delay_s(*policies.failures_since_success(failed, succeeded), self._seen.now)
            if wait_s > 0:
                self.waits_s.append(wait_s)
                return
        if self._seen.indexed:
            made = [self._new_pod(index) for index in self._next_indexes(count)]
        else:
            made = [self._new_pod(None) for _ in range(count)]
        report = Report(
            self._seen.job, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}"
        )
        self.creates = [Create(POD, pod, report) for pod in made]

    def _next_indexes(self, count: int) -> list[int]:
        busy = Indexes.of(index for pod in self._seen.active if (index := index_of(pod)) is not None)
        taken = self._seen.succeeded | busy | (self._seen.failed or Indexes())
        if self._seen.waits_for_end:
            taken |= Indexes.of(index for pod in self._seen.terminating if (index := index_of(pod)) is not None)
        ready, waits_s = [], []
        for index in taken.missing(self._seen.completions, count):
            failed = self._seen.delayed.get(index)
            failures = failure_rank(failed)[0] + 1 if failed is not None else 0
            last = policies.finished_at(failed) if failed is not None else None
            wait_s = policies.delay_s(failures, last, self._seen.now)
            if wait_s > 0:
                waits_s.append(wait_s)
            else:
                ready.append(index)
        self.waits_s += waits_s
        return ready

    def _new_pod(self, index: int | None) -> Pod:
        job = self._seen.job
        template = copy_of(self._seen.spec.template)
        if FINALIZER not in template.metadata.finalizers:
            template.metadata.finalizers.append(FINALIZER)
        if index is None:
            return pod_from_template(template, JOB, job)
        indexed.add_environment(template)
        template.metadata.annotations[indexed.INDEX] = template.metadata.labels[indexed.INDEX] = str(index)
        template.spec.hostname = f"{job.metadata.name}-{index}"
        if self._seen.spec.backoff_limit_per_index is not None:
            counted, ignored = self._failure_counts(self._seen.delayed.get(index))
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
        return (counted + 1, ignored) if policies.judge(self._seen.job, replaced).counts else (counted, ignored + 1)
