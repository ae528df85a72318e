"""Objects that can never succeed, selectors that fight, owners that vanish: told once, tried seldom, no other hurt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tiphys.api.errors import Forbidden
from tiphys.api.kinds import (
    CRONJOB,
    DAEMONSET,
    DEPLOYMENT,
    JOB,
    NODE,
    POD,
    REPLICASET,
    REPLICATIONCONTROLLER,
    STATEFULSET,
)
from tiphys.api.meta.owners import controller_of

from . import objects
from .test_runtime import Running, running

HOUR_S = 3600.0
MOST_TRIES = 21
"""5 ms, doubled up to 1000 s: what fits into an hour, and the first."""

FAILING = [
    (REPLICASET, lambda: objects.replica_set(), "replicaset"),
    (REPLICATIONCONTROLLER, lambda: objects.replication_controller(), "replicationcontroller"),
    (STATEFULSET, lambda: objects.stateful_set(), "statefulset"),
    (DAEMONSET, lambda: objects.daemon_set(), "daemonset"),
    (JOB, lambda: objects.job(completions=3, parallelism=3), "job"),
]


async def pass_time(r: Running, seconds: float, step_s: float = 5.0) -> None:
    for _ in range(int(seconds / step_s)):
        await r.clock.advance(step_s)


@pytest.mark.parametrize(("kind", "made", "controller"), FAILING, ids=lambda value: getattr(value, "plural", ""))
async def test_what_always_fails_is_tried_once_per_back_off(
    kind: Any, made: Callable[[], Any], controller: str
) -> None:
    async with running(controller, "deployment") as r:
        r.client.refuse = lambda verb, what, name: (
            Forbidden("no pods today") if (verb, what) == ("create", POD) else None
        )
        r.client.put(NODE, objects.node("n1"))
        r.client.put(kind, made())
        await pass_time(r, HOUR_S)
        tries = sum((verb, what) == ("create", "pods") for verb, what, _ in r.client.calls)
        others = Counter(verb for verb, what, _ in r.client.calls if what == kind.plural)
        assert 5 <= tries <= MOST_TRIES, r.client.calls[-20:]
        assert sum(others.values()) <= MOST_TRIES, others  # what it says of itself, it says once
        reasons = {event[2] for event in r.events.events}
        assert reasons == {"FailedCreate"}


async def test_an_owner_whose_pods_cannot_be_made_hurts_no_other() -> None:
    async with running("replicaset", "job") as r:
        bad = objects.replica_set("bad", 500)
        bad.spec.template.spec.containers = []
        r.client.refuse = lambda verb, what, name: (
            Forbidden("no") if (verb, what) == ("create", POD) and not r.client.all(JOB) else None
        )
        r.client.put(REPLICASET, bad)
        await r.clock.advance(30)
        tried = len(r.client.calls)
        r.client.put(JOB, objects.job())
        r.client.put(REPLICASET, objects.replica_set("good", 2, app="good"))
        await r.clock.advance(2)
        owners = Counter(owner.name for pod in r.client.all(POD) if (owner := controller_of(pod)) is not None)
        assert (owners["good"], owners["sum"]) == (2, 1)
        assert tried <= 40


@pytest.mark.parametrize(
    ("kind", "controller"), [(REPLICASET, "replicaset"), (REPLICATIONCONTROLLER, "replicationcontroller")]
)
async def test_selectors_that_fight_come_to_rest(kind: Any, controller: str) -> None:
    """Each has as many pods as it asks for, an orphan belongs to one of them, and then nobody writes any more."""
    async with running(controller) as r:
        r.client.put(POD, objects.pod("orphan", app="web"))
        for name, replicas in (("one", 2), ("two", 3)):
            made = (
                objects.replica_set(name, replicas)
                if kind is REPLICASET
                else objects.replication_controller(name, replicas)
            )
            r.client.put(kind, made)
        await r.clock.advance(10)
        owners = Counter(owner.name for pod in r.client.all(POD) if (owner := controller_of(pod)) is not None)
        assert owners["one"] == 2 and owners["two"] == 3
        before = len(r.client.calls)
        await pass_time(r, 600)
        assert len(r.client.calls) == before


async def test_deployments_with_one_selector_come_to_rest() -> None:
    async with running("deployment", "replicaset") as r:
        for name in ("one", "two"):
            wanted = objects.deployment(name, 2)
            for labels in (wanted.spec.selector.match_labels, wanted.spec.template.metadata.labels):
                labels.clear()
                labels["app"] = "same"
            r.client.put(DEPLOYMENT, wanted)
        await r.clock.advance(30)
        for pod in r.client.all(POD):
            r.client.edit(POD, pod.metadata.name, "default", objects.make_ready)
        await r.clock.advance(30)
        assert len(r.client.all(POD)) == 4
        assert [each.status.available_replicas for each in r.client.all(DEPLOYMENT)] == [2, 2]
        before = len(r.client.calls)
        await pass_time(r, 500)
        assert len(r.client.calls) == before


async def test_pods_of_an_owner_that_vanished_are_nobodys_of_the_same_name() -> None:
    async with running("replicaset") as r:
        r.client.put(REPLICASET, objects.replica_set("web", 2))
        await r.clock.advance(2)
        old = {pod.metadata.name for pod in r.client.all(POD)}
        r.client.drop(REPLICASET, "web", "default")
        again = objects.replica_set("web", 3)
        again.metadata.uid = "another"
        r.client.put(REPLICASET, again)
        await r.clock.advance(10)
        owners = Counter(controller_of(pod).uid for pod in r.client.all(POD))  # type: ignore[union-attr]  # all have
        assert owners["another"] == 3
        assert old <= {pod.metadata.name for pod in r.client.all(POD)}


async def test_a_half_written_status_is_put_right() -> None:
    async with running("deployment", "replicaset", "cronjob") as r:
        wanted = objects.deployment(replicas=1)
        wanted.status.replicas, wanted.status.available_replicas, wanted.status.observed_generation = 77, 99, 500
        r.client.put(DEPLOYMENT, wanted)
        cron_job = objects.cron_job()
        cron_job.status.last_schedule_time = "2035-01-01T00:00:00Z"
        r.client.put(CRONJOB, cron_job)
        await r.clock.advance(30)
        (shown,) = r.client.all(DEPLOYMENT)
        assert (shown.status.replicas, shown.status.available_replicas) == (1, 0)
        before = len(r.client.calls)
        await pass_time(r, 500)
        assert len(r.client.calls) == before
