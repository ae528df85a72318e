"""Runs the pods of a Job until enough have succeeded, or too many have failed.

Woken by: jobs; pods that one controls, orphans that it could adopt, and pods that still bear its finalizer.
Writes: pods (create, delete, owner references, the finalizer), the job's status.
Races: each pod bears the finalizer `batch.kubernetes.io/job-tracking` until it is counted. First the status names the
pods that ended (`uncountedTerminatedPods`), then their finalizers go, then they move to the counters: a crash between
any two of these neither loses nor repeats one. Pods of jobs that are gone or over lose their finalizer.
Source: pkg/controller/job/job_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import JOB, POD
from tiphys.api.kinds.batch.job_schema import Job
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of
from tiphys.api.meta.owners import controller_of
from tiphys.controllers._actions import Action, Event, Gone, Patch
from tiphys.controllers._claims import adoption
from tiphys.controllers._job_pods import FINALIZER, is_tracked, untracking
from tiphys.controllers._job_status import condition_of
from tiphys.controllers._job_sync import Sync
from tiphys.controllers._pods import ORPHANS, by_selector, refusal, selecting
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch, controller_key
from tiphys.controllers._workload_measures import JOB_CONTROLLER as CONTROLLER
from tiphys.controllers._workload_measures import (
    JOB_METRICS,
    JOB_SKIPS,
    measure_held_pod,
    measure_job,
    measure_new_job,
)

MODES = (None, "NonIndexed", "Indexed")


def _owner_key(pod: Pod) -> Iterable[str]:
    """The name of the job that a tracked pod belongs to; none: it lost its job."""
    owner = controller_of(pod)
    if is_tracked(pod) and (owner is None or _is_job(owner.kind, owner.api_version)):
        yield f"{pod.metadata.namespace}/{owner.name if owner is not None else ''}"


TRACKED = Index(POD, "job-tracked", _owner_key)


@dataclass(frozen=True)
class World:
    job: Job | None
    pods: tuple[Pod, ...]
    """Those it controls, and the orphans of its namespace."""
    tracked: tuple[Pod, ...]
    """Pods with the finalizer whose controller is, or was, a job of this name; for the empty name, who have none."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    job = listers.get(JOB, key.name, key.namespace) if key.name else None
    tracked = tuple(listers.indexed(POD, TRACKED.name, f"{key.namespace}/{key.name}"))
    if job is None or is_finished(job):
        return World(job, (), tracked, now) if tracked else None
    if job.spec.managed_by not in (None, CONTROLLER):
        return None
    owned = listers.owned(POD, job)
    orphans = listers.indexed(POD, ORPHANS.name, key.namespace)
    return World(job, (*owned, *orphans), tracked, now)


def plan(_key: Key, world: World) -> Sequence[Action]:
    job = world.job
    if job is None or is_finished(job):
        return _releases(world.tracked, job)
    strays = [pod for pod in world.tracked if (owner := controller_of(pod)) and owner.uid != job.metadata.uid]
    if job.spec.completion_mode not in MODES:
        text = "Skipped Job sync because completion mode is unknown"
        return [Event(job, "Warning", "UnknownCompletionMode", text)]
    if (refused := refusal(job)) is not None:
        return [*_releases(strays, job), refused]
    mine, claims, adopts = _claim(job, world.pods)
    # What it does with adopted pods is planned when they are its own.
    rest = () if adopts else Sync(job, mine, world.now).actions()
    return [*_releases(strays, job), *claims, *rest]


def is_finished(job: Job) -> bool:
    return any(condition_of(job.status.conditions, kind) for kind in ("Complete", "Failed"))


def _releases(pods: Iterable[Pod], job: Job | None) -> list[Action]:
    """Takes the finalizer from pods that nobody will count any more. That their job is gone is made sure of."""
    actions: list[Action] = []
    for pod in pods:
        owner = controller_of(pod)
        over = job is not None and owner is not None and owner.uid == job.metadata.uid
        if over and job is not None and job.spec.managed_by not in (None, CONTROLLER):
            continue
        guards = () if over or owner is None else (Gone(JOB, owner.name, pod.metadata.namespace, owner.uid),)
        actions.append(untracking(pod, guards))
    return actions


def _claim(job: Job, candidates: Iterable[Pod]) -> tuple[list[Pod], list[Action], bool]:
    """Its pods; what adopts (with the finalizer) and releases (without) others; and whether any is adopted."""
    selector = selector_of(job.spec.selector)
    mine: list[Pod] = []
    actions: list[Action] = []
    adopts = False
    going = job.metadata.deletion_timestamp is not None
    for pod in candidates:
        owner, matches = controller_of(pod), selector.matches(pod.metadata.labels)
        if owner is not None and owner.uid == job.metadata.uid:
            if matches:
                mine.append(pod)
            elif not going:
                actions.append(_release(pod, job.metadata.uid))
        elif owner is None and matches and not going and pod.metadata.deletion_timestamp is None:
            actions.append(_adoption(pod, job))
            adopts = True
    return mine, actions, adopts


def _adoption(pod: Pod, job: Job) -> Patch:
    adopted = adoption(POD, pod, JOB, job)
    metadata = adopted.patch["metadata"] | {"finalizers": [FINALIZER]}
    return Patch(POD, adopted.name, adopted.namespace, {"metadata": metadata}, guards=adopted.guards)


def _release(pod: Pod, uid: str) -> Patch:
    metadata = {
        "uid": pod.metadata.uid,
        "ownerReferences": [{"$patch": "delete", "uid": uid}],
        "$deleteFromPrimitiveList/finalizers": [FINALIZER],
    }
    return Patch(POD, pod.metadata.name, pod.metadata.namespace, {"metadata": metadata})


# --- what wakes a job


def _is_job(kind: str, api_version: str) -> bool:
    return (kind, api_version) == (JOB.kind, JOB.api_version)


def _keys_of_pod(listers: Listers, pod: Pod) -> Iterable[Key]:
    if controller_of(pod) is not None:
        yield from controller_key(JOB)(listers, pod)
        return
    if is_tracked(pod):
        yield Key(pod.metadata.namespace, "")
    yield from selecting(listers, JOB, pod)


SPEC = ControllerSpec(
    name="job-controller",
    alias="job",
    primary=JOB,
    read=read,
    plan=plan,
    watches=(Watch(JOB, measure=measure_new_job), Watch(POD, _keys_of_pod, measure=measure_held_pod)),
    indexes=(ORPHANS, TRACKED, by_selector(JOB)),
    workers=5,
    metrics=JOB_METRICS,
    measure=measure_job,
    stale_skips=JOB_SKIPS,
)
