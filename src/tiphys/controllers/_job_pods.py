"""What the pods of a Job say, as one look finds them: who has ended how, and which indexes are done.

Source: pkg/controller/job/job_controller.go, indexed_job_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from tiphys.api.kinds import POD
from tiphys.api.kinds.batch.job_schema import Job, UncountedTerminatedPods
from tiphys.api.kinds.core.pod.facts import is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of
from tiphys.controllers import _job_indexes as indexed
from tiphys.controllers import _job_policies as policies
from tiphys.controllers._actions import Guard, Patch
from tiphys.controllers._job_indexes import Indexes, index_of
from tiphys.controllers._pods import is_active

FINALIZER = "batch.kubernetes.io/job-tracking"


def is_tracked(pod: Pod) -> bool:
    return FINALIZER in pod.metadata.finalizers


def untracking(pod: Pod, guards: tuple[Guard, ...] = ()) -> Patch:
    """Takes the finalizer off."""
    metadata = {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}
    return Patch(POD, pod.metadata.name, pod.metadata.namespace, {"metadata": metadata}, guards=guards)


def failure_rank(pod: Pod) -> tuple[int, datetime]:
    """How often the index failed before, whether that counted or not, and when this pod failed."""
    failures = indexed.number(pod, indexed.FAILURES) + indexed.number(pod, indexed.IGNORED_FAILURES)
    return failures, policies.finished_at(pod)


class JobPods:
    """The job's pods, and its status as this look will leave it (`status`, `noted`)."""

    def __init__(self, job: Job, pods: Sequence[Pod], now: datetime) -> None:
        self.job, self.pods, self.now = job, pods, now
        self.spec = job.spec
        self.status = copy_of(job.status)
        noted = self.status.uncounted_terminated_pods or UncountedTerminatedPods()
        self.status.uncounted_terminated_pods = self.noted = noted
        self.indexed = job.spec.completion_mode == "Indexed"
        self.completions = job.spec.completions or 0
        self.active = [pod for pod in pods if is_active(pod)]
        self.terminating = [pod for pod in pods if not is_terminal(pod) and pod.metadata.deletion_timestamp]
        self.waits_for_end = job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None
        self.succeeded_before = self.succeeded = Indexes()
        """Indexes, as the status has them and as the pods say."""
        self.failed: Indexes | None = None
        self.delayed: dict[int, Pod] = {}
        """By index that is to be tried again: the pod that failed last."""

    @property
    def suspended(self) -> bool:
        return bool(self.spec.suspend)

    def has_failed(self, pod: Pod) -> bool:
        """A pod that is being deleted counts as failed at once, unless the job waits for its end."""
        if pod.status.phase == "Failed":
            return True
        going = pod.metadata.deletion_timestamp is not None and pod.status.phase != "Succeeded"
        return going and not self.waits_for_end

    def in_range(self, pod: Pod) -> bool:
        """Whether its index, where it needs one, is one of the job's."""
        if not self.indexed:
            return True
        index = index_of(pod)
        return index is not None and index < self.completions

    def countable(self, noted: Iterable[str]) -> list[Pod]:
        """Tracked pods of valid index that are not noted yet."""
        known = frozenset(noted)
        return [pod for pod in self.pods if is_tracked(pod) and pod.metadata.uid not in known and self.in_range(pod)]

    def count_succeeded(self) -> int:
        """Successes, be they counted, noted or new."""
        if self.indexed:
            return len(self.succeeded)
        new = sum(pod.status.phase == "Succeeded" for pod in self.countable(self.noted.succeeded))
        return self.status.succeeded + len(self.noted.succeeded) + new

    def read_indexes(self) -> None:
        """Find out which indexes have succeeded, failed, or are to be tried again."""
        if not self.indexed:
            return
        valid = [pod for pod in self.pods if is_tracked(pod) and self.in_range(pod)]
        self.succeeded_before = Indexes.parse(self.status.completed_indexes, self.completions)
        new = Indexes.of(index_of(pod) or 0 for pod in valid if pod.status.phase == "Succeeded")
        self.succeeded = self.succeeded_before | new
        if self.spec.backoff_limit_per_index is None:
            return
        known = Indexes.parse(self.status.failed_indexes or "", self.completions)
        self.failed = known | Indexes.of(index_of(pod) or 0 for pod in valid if self._ends_index(pod))
        self.delayed = self._last_failures(valid)

    def _ends_index(self, pod: Pod) -> bool:
        if not self.has_failed(pod):
            return False
        verdict = policies.judge(self.job, pod)
        if verdict.action == "FailIndex":
            return True
        return verdict.counts and indexed.number(pod, indexed.FAILURES) >= (self.spec.backoff_limit_per_index or 0)

    def _last_failures(self, valid: Iterable[Pod]) -> dict[int, Pod]:
        """By index that is to be tried again: the pod that failed last. It is kept, for it bears the count."""
        busy = Indexes.of(index for pod in self.active if (index := index_of(pod)) is not None)
        done = self.succeeded | (self.failed or Indexes()) | busy
        last: dict[int, Pod] = {}
        for pod in valid:
            index = index_of(pod) or 0
            if self.has_failed(pod) and index not in done:
                known = last.get(index)
                if known is None or failure_rank(known) <= failure_rank(pod):
                    last[index] = pod
        return last
