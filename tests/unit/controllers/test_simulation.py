"""A cluster in virtual time: the real controllers, pretended nodes, random users, nodes that go and writes that fail.

When the users rest, each kind must have kept its promise; and then nobody writes any more.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from tiphys.api.errors import ApiError, Conflict, InternalError, NotFound, TooManyRequests
from tiphys.api.kinds import (
    CRONJOB,
    DAEMONSET,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    NODE,
    POD,
    PODDISRUPTIONBUDGET,
    REPLICASET,
    REPLICATIONCONTROLLER,
    STATEFULSET,
)
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import rfc3339
from tiphys.controllers._daemon_pods import GENERATION, Fit, Placement, node_of

from . import objects
from .test_runtime import Running, running

CONTROLLERS = (
    "deployment", "replicaset", "replicationcontroller", "statefulset", "daemonset", "job", "cronjob", "disruption",
    "garbagecollector", "ttl-after-finished",
)  # fmt: skip
OVER = ("Succeeded", "Failed")
BUSY_STEPS, STEP_S = 40, 3.0
REST_S = 1500
"""Longer than any wait that failures may have led to."""
QUIET_S = 600


def is_active(pod: Any) -> bool:
    return pod.status.phase not in OVER and not pod.metadata.deletion_timestamp


class Simulation:
    def __init__(self, r: Running, seed: int) -> None:
        self.r, self.client, self.chance = r, r.client, random.Random(seed)
        self.succeeded: dict[str, set[str]] = {}
        """By UID of the job: its pods that ever succeeded."""
        self._names = iter(range(10**6))

    def start(self) -> None:
        self.client.put(NAMESPACE, objects.namespace("default"))
        for number in range(4):
            self.client.put(NODE, objects.node(f"n{number}"))
        put = self.client.put
        put(DEPLOYMENT, objects.deployment("web", 4))
        put(DEPLOYMENT, objects.deployment("api", 2))
        put(STATEFULSET, objects.stateful_set("db", 3))
        parallel = objects.stateful_set("cache", 3)
        parallel.spec.pod_management_policy = "Parallel"
        put(STATEFULSET, parallel)
        put(DAEMONSET, objects.daemon_set("agent"))
        put(REPLICATIONCONTROLLER, objects.replication_controller("old", 2))
        put(PODDISRUPTIONBUDGET, objects.budget(max_unavailable=1))
        self.new_job()
        self.new_job()

    def new_job(self) -> None:
        chance = self.chance
        wanted = objects.job(
            f"job{next(self._names)}", chance.randint(1, 5), chance.randint(1, 3),
            completion_mode=chance.choice(("Indexed", "NonIndexed")), backoff_limit=chance.choice((1, 20)),
        )  # fmt: skip
        self.client.put(JOB, wanted)

    # --- nodes

    def kubelets(self, *, calm: bool) -> None:
        for pod in self.client.all(POD):
            self._kubelet(pod, calm)

    def _kubelet(self, pod: Any, calm: bool) -> None:
        chance, name = self.chance, pod.metadata.name
        node = self.client.informer(NODE).get(pod.spec.node_name) if pod.spec.node_name else None
        if pod.spec.node_name and node is None:
            # What pod garbage collection would do.
            self._end(pod, "Failed")
            self._remove(pod)
        elif pod.metadata.deletion_timestamp:
            if pod.status.phase not in OVER:
                self._end(pod, "Failed")
            self._remove(pod)
        elif not pod.spec.node_name:
            wanted = node_of(pod)
            nodes = [each.metadata.name for each in self.client.all(NODE)]
            target = wanted if wanted in nodes or wanted else (chance.choice(nodes) if nodes else "")
            if target in nodes:
                self.client.edit(POD, name, "default", lambda obj: setattr(obj.spec, "node_name", target))
        elif pod.status.phase == "Pending":
            now = rfc3339(self.r.clock.now())
            if calm or chance.random() < 0.7:
                self.client.edit(POD, name, "default", lambda obj: objects.make_ready(obj, now))
        elif pod.status.phase == "Running" and "job" in pod.metadata.labels:
            if calm or chance.random() < 0.4:
                self._end(pod, "Succeeded" if calm or chance.random() < 0.8 else "Failed")
        elif pod.status.phase == "Running" and not calm and chance.random() < 0.02:
            self._end(pod, "Failed")

    def _end(self, pod: Any, phase: str) -> None:
        def ended(obj: Any) -> None:
            obj.status.phase = phase
            for condition in obj.status.conditions:
                condition.status = "False"

        self.client.edit(POD, pod.metadata.name, "default", ended)
        owner = controller_of(pod)
        if phase == "Succeeded" and owner is not None and owner.kind == "Job":
            self.succeeded.setdefault(owner.uid, set()).add(pod.metadata.uid)

    def _remove(self, pod: Any) -> None:
        current = self.client.informer(POD).get(pod.metadata.name, "default")
        if current is None:
            return
        if not current.metadata.finalizers:
            self.client.drop(POD, pod.metadata.name, "default")
        elif not current.metadata.deletion_timestamp:
            now = rfc3339(self.r.clock.now())
            self.client.edit(
                POD, pod.metadata.name, "default", lambda o: setattr(o.metadata, "deletion_timestamp", now)
            )

    # --- users

    async def users(self) -> None:
        self.client.refuse = lambda verb, kind, name: None
        for _ in range(self.chance.randint(0, 3)):
            action = self.chance.choice(
                (self.scale, self.roll, self.delete_pod, self.relabel, self.move_nodes, self.jobs)
            )
            await action()

    def _some(self, *kinds: Any) -> tuple[Any, Any]:
        found = [(kind, obj) for kind in kinds for obj in self.client.all(kind)]
        return self.chance.choice(found)

    def _edit(self, kind: Any, obj: Any, change: Any) -> None:
        def bumped(copy: Any) -> None:
            change(copy)
            copy.metadata.generation += 1

        self.client.edit(kind, obj.metadata.name, "default", bumped)

    async def scale(self) -> None:
        kind, obj = self._some(DEPLOYMENT, STATEFULSET, REPLICATIONCONTROLLER)
        size = self.chance.randint(0, 5)
        self._edit(kind, obj, lambda copy: setattr(copy.spec, "replicas", size))

    async def roll(self) -> None:
        kind, obj = self._some(DEPLOYMENT, STATEFULSET, DAEMONSET)
        image = f"image:{self.chance.randint(1, 4)}"

        def change(copy: Any) -> None:
            if copy.spec.template.spec.containers[0].image != image:
                copy.spec.template.spec.containers[0].image = image
                if kind is DAEMONSET:
                    copy.metadata.annotations[GENERATION] = str(int(copy.metadata.annotations[GENERATION]) + 1)

        self._edit(kind, obj, change)

    async def delete_pod(self) -> None:
        pods = self.client.all(POD)
        if pods:
            await self.client.delete(POD, self.chance.choice(pods).metadata.name, "default")

    async def relabel(self) -> None:
        """A pod leaves its owner (no stateful one: its name would stay taken), or an orphan appears that fits one."""
        movable = ("web", "api", "old", "agent")
        pods = [pod for pod in self.client.all(POD) if pod.metadata.labels.get("app") in movable]
        if pods and self.chance.random() < 0.5:
            pod = self.chance.choice(pods)
            self.client.edit(POD, pod.metadata.name, "default", lambda obj: obj.metadata.labels.update(app="lost"))
        else:
            self.client.put(POD, objects.pod(f"orphan-{next(self._names)}", app="old"))

    async def move_nodes(self) -> None:
        nodes = self.client.all(NODE)
        if len(nodes) > 2 and self.chance.random() < 0.5:
            self.client.drop(NODE, self.chance.choice(nodes).metadata.name)
        else:
            self.client.put(NODE, objects.node(f"n{next(self._names)}"))

    async def jobs(self) -> None:
        jobs = self.client.all(JOB)
        choice = self.chance.random()
        if not jobs or choice < 0.4:
            self.new_job()
            return
        job = self.chance.choice(jobs)
        if choice < 0.7:
            self._edit(JOB, job, lambda copy: setattr(copy.spec, "suspend", not copy.spec.suspend))
        else:
            await self.client.delete(JOB, job.metadata.name, "default", propagation="Background")

    # --- troubles

    def refuse(self, verb: str, _kind: Any, name: str) -> ApiError | None:
        if self.chance.random() > 0.1:
            return None
        kind = self.chance.choice((Conflict, InternalError, TooManyRequests, NotFound if "patch" in verb else Conflict))
        return kind(f"{verb} {name}: not now")

    # --- promises

    def check(self) -> None:
        pods = self.client.all(POD)
        owned: dict[str, list[Any]] = {}
        for pod in pods:
            owner = controller_of(pod)
            if owner is not None:
                owned.setdefault(owner.uid, []).append(pod)
        self._check_deployments(owned)
        self._check_sets(owned)
        self._check_daemons(owned)
        self._check_jobs(owned)
        self._check_budget(pods)
        uids = {obj.metadata.uid for kind in (REPLICASET, REPLICATIONCONTROLLER, STATEFULSET, DAEMONSET, JOB)
                for obj in self.client.all(kind)}  # fmt: skip
        assert set(owned) <= uids, "pods whose owner is gone are gone"

    def _check_deployments(self, owned: dict[str, list[Any]]) -> None:
        for deployment in self.client.all(DEPLOYMENT):
            sets = [
                each
                for each in self.client.all(REPLICASET)
                if (owner := controller_of(each)) and owner.uid == deployment.metadata.uid
            ]
            alive = [pod for each in sets for pod in owned.get(each.metadata.uid, ()) if is_active(pod)]
            image = deployment.spec.template.spec.containers[0].image
            assert [pod.spec.containers[0].image for pod in alive] == [image] * deployment.spec.replicas
            status = deployment.status
            assert (status.replicas, status.available_replicas) == (deployment.spec.replicas,) * 2
        for each in self.client.all(REPLICATIONCONTROLLER):
            alive = [pod for pod in owned.get(each.metadata.uid, ()) if is_active(pod)]
            assert len(alive) == each.spec.replicas == each.status.replicas

    def _check_sets(self, owned: dict[str, list[Any]]) -> None:
        for wanted in self.client.all(STATEFULSET):
            pods = sorted(owned.get(wanted.metadata.uid, ()), key=lambda pod: pod.metadata.name)
            name, image = wanted.metadata.name, wanted.spec.template.spec.containers[0].image
            assert [pod.metadata.name for pod in pods] == [f"{name}-{n}" for n in range(wanted.spec.replicas)]
            assert {pod.spec.containers[0].image for pod in pods} <= {image}
            assert wanted.status.current_revision == wanted.status.update_revision
            assert wanted.status.ready_replicas == wanted.spec.replicas

    def _check_daemons(self, owned: dict[str, list[Any]]) -> None:
        for wanted in self.client.all(DAEMONSET):
            placement = Placement(wanted)
            nodes = [node.metadata.name for node in self.client.all(NODE) if placement.fit(node) is Fit.RUN]
            pods = [pod for pod in owned.get(wanted.metadata.uid, ()) if is_active(pod)]
            assert sorted(pod.spec.node_name for pod in pods) == sorted(nodes)
            image = wanted.spec.template.spec.containers[0].image
            assert {pod.spec.containers[0].image for pod in pods} <= {image}
            assert wanted.status.number_available == len(nodes)

    def _check_jobs(self, owned: dict[str, list[Any]]) -> None:
        for job in self.client.all(JOB):
            status = job.status
            ended = {each.type for each in status.conditions if each.status == "True"} & {"Complete", "Failed"}
            pods = owned.get(job.metadata.uid, ())
            assert bool(ended) or job.spec.suspend, job.metadata.name
            assert not any(is_active(pod) for pod in pods)
            if ended == {"Complete"}:
                assert status.succeeded >= job.spec.completions
            if ended:
                assert all(pod.metadata.finalizers == [] for pod in pods)
            done = self.succeeded.get(job.metadata.uid, set())
            if job.spec.completion_mode == "NonIndexed":
                assert status.succeeded == len(done), "each success is counted once"
            noted = status.uncounted_terminated_pods
            assert noted is None or not (noted.succeeded or noted.failed)

    def _check_budget(self, pods: list[Any]) -> None:
        (budget,) = self.client.all(PODDISRUPTIONBUDGET)
        web = next(each for each in self.client.all(DEPLOYMENT) if each.metadata.name == "web")
        covered = [pod for pod in pods if pod.metadata.labels.get("app") == "web"]
        if all(controller_of(pod) is not None for pod in covered) and covered:
            assert budget.status.expected_pods == web.spec.replicas
            assert budget.status.disruptions_allowed == (1 if web.spec.replicas else 0)


@pytest.mark.parametrize("seed", range(6))
async def test_each_kind_keeps_its_promise_whatever_happens(seed: int) -> None:
    async with running(*CONTROLLERS) as r:
        simulation = Simulation(r, seed)
        simulation.start()
        for step in range(BUSY_STEPS):
            r.client.refuse = simulation.refuse if step % 3 else lambda verb, kind, name: None
            await r.clock.advance(STEP_S)
            await simulation.users()
            simulation.kubelets(calm=False)
        r.client.refuse = lambda verb, kind, name: None
        for _ in range(int(REST_S / 10)):
            await r.clock.advance(10)
            simulation.kubelets(calm=True)
        simulation.check()
        calls = len(r.client.calls)
        await r.clock.advance(QUIET_S)
        assert r.client.calls[calls:] == [], "who has nothing to do writes nothing"


async def test_a_cron_job_starts_as_often_as_its_schedule_says_while_writes_fail() -> None:
    async with running("cronjob", "job", "garbagecollector") as r:
        simulation = Simulation(r, 1)
        r.client.put(NODE, objects.node("n0"))
        r.client.put(CRONJOB, objects.cron_job(schedule="* * * * *", successful_jobs_history_limit=100))
        for step in range(12 * 10):
            r.client.refuse = simulation.refuse if step % 2 else lambda verb, kind, name: None
            await r.clock.advance(5)
            simulation.kubelets(calm=True)
        r.client.refuse = lambda verb, kind, name: None
        for _ in range(10):
            await r.clock.advance(1)
            simulation.kubelets(calm=True)
        names = [job.metadata.name for job in r.client.all(JOB)]
        assert len(names) == len(set(names)) == 10
        (cron,) = r.client.all(CRONJOB)
        assert cron.status.last_schedule_time == "2026-01-01T00:10:00Z"
        assert copy_of(cron).status.active == []
