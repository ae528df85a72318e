"""Workloads on the real API server: evictions that ask budgets, jobs that are counted, autoscalers that scale."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tiphys.api.errors import TooManyRequests
from tiphys.api.kind import new
from tiphys.api.kinds import (
    CONTROLLERREVISION,
    DEPLOYMENT,
    EVICTION,
    HORIZONTALPODAUTOSCALER,
    JOB,
    POD,
    PODDISRUPTIONBUDGET,
    SERVICEACCOUNT,
    STATEFULSET,
)
from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_schema import CrossVersionObjectReference
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.meta.types import LabelSelector, Status

from .test_controllers import Cluster, complete, deployment, running


@pytest.fixture(params=["local", "https"])
async def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with running(tmp_path, request.param) as made:
        await made.until(lambda: made.get(SERVICEACCOUNT, "default"))
        yield made


async def evict(cluster: Cluster, name: str) -> None:
    body = new(EVICTION, name, "default")
    await cluster.client.create_subresource(POD, name, "default", "eviction", body, Status)


async def test_an_eviction_asks_the_budget(cluster: Cluster) -> None:
    await cluster.client.create(DEPLOYMENT, deployment(replicas=3))
    await complete(cluster, "web", 3)
    budget = new(PODDISRUPTIONBUDGET, "budget", "default")
    budget.spec.min_available, budget.spec.selector = 3, LabelSelector(match_labels={"app": "web"})
    await cluster.client.create(PODDISRUPTIONBUDGET, budget)

    async def counted() -> Any:
        found = await cluster.get(PODDISRUPTIONBUDGET, "budget")
        return found if found.status.current_healthy == 3 else None

    await cluster.until(counted)
    victim = (await cluster.all(POD))[0]
    with pytest.raises(TooManyRequests) as caught:
        await evict(cluster, victim.metadata.name)
    assert caught.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
    (cause,) = caught.value.causes
    assert cause.reason == "DisruptionBudget"
    assert cause.message == "The disruption budget budget needs 3 healthy pods and has 3 currently"
    patch = {"spec": {"minAvailable": 2}}
    await cluster.client.patch(PODDISRUPTIONBUDGET, "budget", patch, "default")

    async def allowed() -> bool:
        return bool((await cluster.get(PODDISRUPTIONBUDGET, "budget")).status.disruptions_allowed)

    await cluster.until(allowed)
    await evict(cluster, victim.metadata.name)

    async def replaced() -> bool:
        pods = await cluster.all(POD)
        return len(pods) == 3 and all(pod.metadata.uid != victim.metadata.uid for pod in pods)

    await cluster.until(replaced)


def workload(kind: Any, name: str) -> Any:
    obj = new(kind, name, "default")
    obj.spec.template.metadata.labels = {"app": name}
    obj.spec.template.spec.containers = [Container(name="c", image="db:1")]
    obj.spec.template.spec.node_name = "n1"
    return obj


async def test_a_stateful_set_rolls_and_keeps_its_names(cluster: Cluster) -> None:
    wanted = workload(STATEFULSET, "db")
    wanted.spec.selector, wanted.spec.replicas = LabelSelector(match_labels={"app": "db"}), 2
    await cluster.client.create(STATEFULSET, wanted)

    async def updated(image: str) -> Any:
        found = await cluster.get(STATEFULSET, "db")
        images = {pod.metadata.name: pod.spec.containers[0].image for pod in await cluster.all(POD)}
        return images == {"db-0": image, "db-1": image} and found.status.ready_replicas == 2

    await cluster.until(lambda: updated("db:1"))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "db:2"}]}}}}
    await cluster.client.patch(STATEFULSET, "db", patch, "default", patch_type="strategic")
    await cluster.until(lambda: updated("db:2"))
    assert sorted(each.revision for each in await cluster.all(CONTROLLERREVISION)) == [1, 2]


async def test_a_job_is_counted_and_its_pods_let_go(cluster: Cluster) -> None:
    wanted = workload(JOB, "sum")
    wanted.spec.template.spec.restart_policy = "Never"
    wanted.spec.completions = wanted.spec.parallelism = 3
    await cluster.client.create(JOB, wanted)

    async def work() -> bool:
        for pod in await cluster.all(POD):
            if pod.status.phase == "Running":
                status = {"status": {"phase": "Succeeded"}}
                await cluster.client.patch(POD, pod.metadata.name, status, "default", subresource="status")
        found = await cluster.get(JOB, "sum")
        return any(each.type == "Complete" for each in found.status.conditions)

    await cluster.until(work)
    job = await cluster.get(JOB, "sum")
    assert (job.status.succeeded, job.status.active, job.status.failed) == (3, 0, 0)
    assert all(pod.metadata.finalizers == [] for pod in await cluster.all(POD))
    assert job.metadata.labels["batch.kubernetes.io/job-name"] == "sum"


async def test_an_autoscaler_reaches_the_scale_of_its_target(cluster: Cluster) -> None:
    await cluster.client.create(DEPLOYMENT, deployment(replicas=1))
    await complete(cluster, "web", 1)
    scaler = new(HORIZONTALPODAUTOSCALER, "web", "default")
    scaler.spec.min_replicas, scaler.spec.max_replicas = 3, 5
    scaler.spec.scale_target_ref = CrossVersionObjectReference(kind="Deployment", name="web", api_version="apps/v1")
    await cluster.client.create(HORIZONTALPODAUTOSCALER, scaler)
    await complete(cluster, "web", 3)

    async def said() -> Any:
        found = await cluster.get(HORIZONTALPODAUTOSCALER, "web")
        return {each.type: each.reason for each in found.status.conditions}.get("AbleToScale") == "SucceededRescale"

    await cluster.until(said)
