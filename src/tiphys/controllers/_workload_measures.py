"""What the controllers of workloads show at /metrics.

Source: pkg/controller/{job,cronjob,replicaset,ttlafterfinished}/metrics/metrics.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tiphys.api.kinds import JOB, POD
from tiphys.api.kinds.batch.job_schema import Job
from tiphys.api.kinds.core.pod.facts import is_ready, is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import parse_rfc3339
from tiphys.controllers._actions import Patch
from tiphys.controllers._job_indexes import Indexes
from tiphys.controllers._job_pods import is_tracked
from tiphys.controllers._job_policies import judge
from tiphys.controllers._job_status import condition_of
from tiphys.controllers._measures import CounterOf, HistogramOf, Measured, Turn, exponential, stale_skips

if TYPE_CHECKING:
    from tiphys.controllers import _replicas, cronjob, job, ttl_after_finished
    from tiphys.controllers._spec import Listers

JOB_CONTROLLER = "kubernetes.io/job-controller"
"""What `spec.managedBy` says of jobs that are ours."""
_SYNC = ("completion_mode", "result", "action")
_JOB = "job_controller_"
JOB_SYNC_S = HistogramOf(
    f"{_JOB}job_sync_duration_seconds", "The time it took to sync a job", exponential(0.004, 2, 15), _SYNC
)
JOB_SYNCS = CounterOf(f"{_JOB}job_syncs_total", "The number of job syncs", _SYNC)
JOBS_FINISHED = CounterOf(
    f"{_JOB}jobs_finished_total", "The number of finished jobs", ("completion_mode", "result", "reason")
)
JOB_PODS_FINISHED = CounterOf(
    f"{_JOB}job_pods_finished_total",
    "The number of finished Pods that are fully tracked",
    ("completion_mode", "result"),
)
JOB_POLICY = CounterOf(
    f"{_JOB}pod_failures_handled_by_failure_policy_total",
    "The number of failed Pods that the job's failure policy has an action for",
    ("action",),
)
JOB_INDEXES = CounterOf(
    f"{_JOB}job_finished_indexes_total", "The number of finished indexes", ("status", "backoffLimit")
)
JOB_PODS_CREATED = CounterOf(
    f"{_JOB}job_pods_creation_total", "The number of Pods created by the Job controller", ("reason", "status")
)
JOBS_OF_OTHERS = CounterOf(
    f"{_JOB}jobs_by_external_controller_total",
    "The number of Jobs managed by an external controller",
    ("controller_name",),
)
JOB_PODS_HELD = CounterOf(
    f"{_JOB}terminated_pods_tracking_finalizer_total",
    "The number of terminated pods (phase=Failed|Succeeded) that have the finalizer batch.kubernetes.io/job-tracking. "
    'The event label can be "add" or "delete".',
    ("event",),
)
JOB_METRICS = (
    JOB_SYNC_S, JOB_SYNCS, JOBS_FINISHED, JOB_PODS_FINISHED, JOB_POLICY, JOB_INDEXES, JOB_PODS_CREATED, JOBS_OF_OTHERS,
    JOB_PODS_HELD,
)  # fmt: skip
JOB_SKIPS = stale_skips("job_controller", "Job")


def measure_job(turn: Turn[job.World]) -> Iterator[Measured]:
    wanted = turn.world.job
    if wanted is None:
        return
    mode = wanted.spec.completion_mode or "NonIndexed"
    created = len(list(turn.created(POD)))
    labels = (mode, turn.result, _action(turn, created))
    yield Measured(JOB_SYNCS, labels)
    yield Measured(JOB_SYNC_S, labels, turn.seconds)
    if created:
        yield Measured(JOB_PODS_CREATED, (_reason(wanted), "failed" if turn.error else "succeeded"), created)
    if turn.error is not None:
        return
    for written in turn.updated(JOB):
        yield from _counted(mode, wanted, written)
    if wanted.spec.pod_failure_policy is not None:
        for pod in _released(turn):
            if action := judge(wanted, pod).action:
                yield Measured(JOB_POLICY, (action,))


def measure_new_job(_listers: Listers, old: Job | None, new: Job | None) -> Iterator[Measured]:
    """Jobs that somebody else runs, once each."""
    if old is None and new is not None and new.spec.managed_by not in (None, JOB_CONTROLLER):
        yield Measured(JOBS_OF_OTHERS, (new.spec.managed_by or "",))


def measure_held_pod(_listers: Listers, old: Pod | None, new: Pod | None) -> Iterator[Measured]:
    """Pods that end and are not counted yet; and that are, or are gone."""
    before, after = (pod is not None and is_terminal(pod) and is_tracked(pod) for pod in (old, new))
    if before != after:
        yield Measured(JOB_PODS_HELD, ("add" if after else "delete",))


def _action(turn: Turn[job.World], created: int) -> str:
    if created:
        return "pods_created"
    return "pods_deleted" if any(turn.deleted(POD)) else "tracking" if turn.actions else "reconciling"


def _reason(wanted: Job) -> str:
    status = wanted.status
    noted = status.uncounted_terminated_pods
    failed = status.failed + (len(noted.failed) if noted is not None else 0)
    if wanted.spec.pod_replacement_policy == "Failed" and failed:
        return "recreate_failed"
    return "recreate_terminating_or_failed" if failed or status.terminating else "new"


def _counted(mode: str, before: Job, after: Job) -> Iterator[Measured]:
    old, new = before.status, after.status
    succeeded, failed = new.succeeded - old.succeeded, new.failed - old.failed
    if succeeded > 0:
        yield Measured(JOB_PODS_FINISHED, (mode, "succeeded"), succeeded)
    if failed > 0:
        yield Measured(JOB_PODS_FINISHED, (mode, "failed"), failed)
    if mode == "Indexed":
        limit = "global" if before.spec.backoff_limit_per_index is None else "perIndex"
        if succeeded > 0:
            yield Measured(JOB_INDEXES, ("succeeded", limit), succeeded)
        most = before.spec.completions or 0
        lost = len(Indexes.parse(new.failed_indexes or "", most)) - len(Indexes.parse(old.failed_indexes or "", most))
        if lost > 0:
            yield Measured(JOB_INDEXES, ("failed", limit), lost)
    for kind, result in (("Complete", "succeeded"), ("Failed", "failed")):
        ended = condition_of(new.conditions, kind)
        if ended is not None and condition_of(old.conditions, kind) is None:
            yield Measured(JOBS_FINISHED, (mode, result, ended.reason))


def _released(turn: Turn[job.World]) -> Iterator[Pod]:
    """Failed pods that lose their finalizer."""
    names = {each.name for each in turn.actions if isinstance(each, Patch) and each.kind is POD}
    return (pod for pod in turn.world.pods if pod.metadata.name in names and pod.status.phase == "Failed")


CRONJOB_SKEW_S = HistogramOf(
    "cronjob_controller_job_creation_skew_duration_seconds",
    "Time between when a cronjob is scheduled to be run, and when the corresponding job is created",
    exponential(1, 2, 10),
)


def measure_cronjob(turn: Turn[cronjob.World]) -> Iterator[Measured]:
    from tiphys.controllers.cronjob import scheduled_at

    if turn.error is None:
        for made in turn.created(JOB):
            if (due := scheduled_at(made)) is not None:
                yield Measured(CRONJOB_SKEW_S, (), (turn.world.now - due).total_seconds() + turn.seconds)


TTL_S = HistogramOf(
    "ttl_after_finished_controller_job_deletion_duration_seconds",
    "The time it took to delete the job since it became eligible for deletion",
    exponential(0.1, 2, 14),
)


def measure_ttl(turn: Turn[ttl_after_finished.World]) -> Iterator[Measured]:
    from tiphys.controllers.ttl_after_finished import left_s

    left = left_s(turn.world.job, turn.world.now)
    if turn.error is None and left is not None and any(turn.deleted(JOB)):
        yield Measured(TTL_S, (), turn.seconds - left)


SORTING = HistogramOf(
    "replicaset_controller_sorting_deletion_age_ratio",
    "The ratio of chosen deleted pod's ages to the current youngest pod's age (at the time). Should be <2.",
    exponential(0.25, 2, 6),
)
REPLICASET_SKIPS = stale_skips("replicaset_controller", "ReplicaSet")
STATEFULSET_SKIPS = stale_skips("statefulset_controller", "StatefulSet")
DAEMONSET_SKIPS = stale_skips("daemonset_controller", "DaemonSet")


def measure_replicas(turn: Turn[_replicas.World]) -> Iterator[Measured]:
    doomed = {each.uid for each in turn.deleted(POD)}
    if turn.error is not None or not doomed:
        return
    ages_s = {
        pod.metadata.uid: (turn.world.now - parse_rfc3339(pod.metadata.creation_timestamp)).total_seconds()
        for pod in turn.world.pods
        if pod.metadata.creation_timestamp and is_ready(pod)
    }
    youngest_s = max(1.0, min(ages_s.values(), default=1.0))
    for uid in doomed & ages_s.keys():
        yield Measured(SORTING, (), ages_s[uid] / youngest_s)
