"""Deletes jobs some time after they are over, if they say so.

Woken by: jobs. Writes: deletes jobs, their pods first.
Races: a job may be changed to stay longer; its deletion names UID and resource version, so that only the job that was
looked at goes.
Source: pkg/controller/ttlafterfinished/ttlafterfinished_controller.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import JOB
from tiphys.api.kinds.batch.job_schema import Job
from tiphys.base.clock import parse_rfc3339
from tiphys.controllers._actions import Action, Delete, RequeueAfter
from tiphys.controllers._job_status import condition_of
from tiphys.controllers._spec import ControllerSpec, Key, Listers
from tiphys.controllers._workload_measures import TTL_S, measure_ttl


@dataclass(frozen=True)
class World:
    job: Job
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    job = listers.get(JOB, key.name, key.namespace)
    return World(job, now) if job is not None else None


def left_s(job: Job, now: datetime) -> float | None:
    """How long the job may stay; negative: it should be gone. None: for ever, or it is not over."""
    ended = condition_of(job.status.conditions, "Complete") or condition_of(job.status.conditions, "Failed")
    if job.metadata.deletion_timestamp is not None or job.spec.ttl_seconds_after_finished is None:
        return None
    if ended is None or not ended.last_transition_time:
        return None
    return job.spec.ttl_seconds_after_finished - (now - parse_rfc3339(ended.last_transition_time)).total_seconds()


def plan(_key: Key, world: World) -> Sequence[Action]:
    metadata, wait_s = world.job.metadata, left_s(world.job, world.now)
    if wait_s is None:
        return ()
    if wait_s > 0:
        return [RequeueAfter(wait_s)]
    return [
        Delete(
            JOB,
            metadata.name,
            metadata.namespace,
            metadata.uid,
            resource_version=metadata.resource_version,
            propagation="Foreground",
        )
    ]


SPEC = ControllerSpec(
    name="ttl-after-finished-controller",
    alias="ttl-after-finished",
    primary=JOB,
    read=read,
    plan=plan,
    workers=5,
    metrics=(TTL_S,),
    measure=measure_ttl,
)
