"""What must be true of every controller, on random clusters.

A plan that is applied leaves nothing to plan; objects that belong to others stay as they are; never more is made than
was asked for.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api import codec
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import (
    CONFIGMAP,
    CRONJOB,
    DAEMONSET,
    DEPLOYMENT,
    ENDPOINTSLICE,
    JOB,
    KINDS,
    LEASE,
    NAMESPACE,
    NODE,
    POD,
    PODDISRUPTIONBUDGET,
    REPLICASET,
    REPLICATIONCONTROLLER,
    SERVICE,
    STATEFULSET,
)
from tiphys.api.kinds.core.references import Taint, Toleration
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import OwnerReference
from tiphys.controllers._registry import CONTROLLERS, selected
from tiphys.controllers._spec import ControllerSpec

from . import objects
from .memory import Bench, writes
from .population import populate_more

FOREIGN = OwnerReference(api_version="x.example/v1", kind="Thing", name="thing", uid="uid-thing", controller=True)


def populate(b: Bench, seed: int) -> list[tuple[Any, str, str]]:
    """A random cluster; returns (kind, namespace, name) of what no controller may touch."""
    chance = random.Random(seed)
    put = b.client.put
    for name in ("default", "other"):
        put(NAMESPACE, objects.namespace(name, ending=name == "other" and chance.random() < 0.3))
    for number in range(chance.randint(0, 4)):
        node = objects.node(f"n{number}", chance.choice(("True", "True", "False", "Unknown", "")))
        node.spec.unschedulable = chance.random() < 0.2
        if chance.random() < 0.3:
            node.spec.taints = [Taint(key="example.com/x", effect="NoExecute", time_added=objects.NOW)]
        put(NODE, node)
        put(LEASE, new(LEASE, node.metadata.name, "kube-node-lease"))
    for number in range(chance.randint(0, 3)):
        wanted = objects.deployment(f"d{number}", chance.randint(0, 5), chance.choice(("web:1", "web:2")))
        wanted.spec.paused = chance.random() < 0.2
        if chance.random() < 0.3:
            wanted.spec.strategy.type = "Recreate"
        put(DEPLOYMENT, wanted)
    sets = []
    for number in range(chance.randint(0, 3)):
        owner = objects.replica_set(f"rs{number}", chance.randint(0, 4), app=chance.choice(("web", "db")))
        if chance.random() < 0.3:
            wanted = b.client.informer(DEPLOYMENT).get("d0", "default")
            if wanted is not None:
                owner.metadata.owner_references = [objects.owner_reference(DEPLOYMENT, wanted)]
                owner.metadata.labels = {"app": "d0"}
        sets.append(put(REPLICASET, owner))
    untouchable = []
    for number in range(chance.randint(0, 12)):
        pod = objects.pod(
            f"p{number}",
            chance.choice(("default", "default", "other")),
            node=chance.choice(("", "n0", "n1", "lost")),
            ready=chance.random() < 0.5,
            phase=chance.choice(("Pending", "Running", "Succeeded", "Failed")),
            ip=f"10.244.0.{number + 2}" if chance.random() < 0.7 else "",
            app=chance.choice(("web", "db", "d0")),
        )
        if sets and chance.random() < 0.5 and pod.metadata.namespace == "default":
            pod.metadata.owner_references = [objects.owner_reference(REPLICASET, chance.choice(sets))]
        if chance.random() < 0.2:
            pod.metadata.deletion_timestamp = objects.NOW
        pod.spec.tolerations = [Toleration(operator="Exists", toleration_seconds=chance.choice((None, 0, 300)))]
        put(POD, pod)
    _populate_workloads(b, chance)
    pod = objects.pod("foreign", node="n-foreign", ready=True, ip="10.244.9.9", app="web")
    pod.metadata.owner_references = [FOREIGN]
    pod.spec.tolerations = [Toleration(operator="Exists")]
    put(NODE, objects.node("n-foreign"))
    put(POD, pod)
    put(CONFIGMAP, new(CONFIGMAP, "mine", "default", data={"a": "b"}))
    their_slice = new(ENDPOINTSLICE, "theirs", "default")
    their_slice.metadata.labels = {"kubernetes.io/service-name": "web"}
    put(ENDPOINTSLICE, their_slice)
    put(SERVICE, objects.service())
    untouchable += populate_more(b, chance)
    untouchable += [(POD, "default", "foreign"), (CONFIGMAP, "default", "mine"), (ENDPOINTSLICE, "default", "theirs")]
    return untouchable


def _populate_workloads(b: Bench, chance: random.Random) -> None:
    put = b.client.put
    owners: list[tuple[Any, Any]] = []
    if chance.random() < 0.6:
        wanted = objects.stateful_set(replicas=chance.randint(0, 3), claims=chance.choice(((), ("data",))))
        wanted.spec.pod_management_policy = chance.choice(("OrderedReady", "Parallel"))
        owners.append((STATEFULSET, put(STATEFULSET, wanted)))
    if chance.random() < 0.6:
        owners.append((DAEMONSET, put(DAEMONSET, objects.daemon_set())))
    if chance.random() < 0.5:
        owners.append((REPLICATIONCONTROLLER, put(REPLICATIONCONTROLLER, objects.replication_controller())))
    if chance.random() < 0.6:
        mode, limit = chance.choice((("NonIndexed", None), ("Indexed", None), ("Indexed", 1)))
        wanted = objects.job(
            completions=chance.randint(0, 4), parallelism=chance.randint(0, 3), completion_mode=mode,
            backoff_limit_per_index=limit, backoff_limit=chance.choice((0, 1, 6)), suspend=chance.random() < 0.2,
        )  # fmt: skip
        owners.append((JOB, put(JOB, wanted)))
    if chance.random() < 0.4:
        put(CRONJOB, objects.cron_job())
    if chance.random() < 0.6:
        spec = chance.choice(({"min_available": 1}, {"max_unavailable": "50%"}, {"min_available": "100%"}))
        put(PODDISRUPTIONBUDGET, objects.budget(**spec))
    for number in range(chance.randint(0, 6)):
        if not owners:
            return
        kind, owner = chance.choice(owners)
        labels = {"job": "sum"} if kind is JOB else {"app": owner.metadata.name}
        name = f"db-{number}" if kind is STATEFULSET else f"w{number}"
        pod = objects.pod(
            name, owner=(kind, owner) if chance.random() < 0.8 else None, node=chance.choice(("", "n0", "n1")),
            ready=chance.random() < 0.5, phase=chance.choice(("Pending", "Running", "Succeeded", "Failed")), **labels,
        )  # fmt: skip
        if kind is JOB:
            pod.metadata.finalizers = ["batch.kubernetes.io/job-tracking"]
            pod.metadata.annotations = {"batch.kubernetes.io/job-completion-index": str(number % 3)}
        # A stateful pod that nobody owns and that is going keeps its name from the next: nothing to do but wait.
        if chance.random() < 0.2 and (kind is not STATEFULSET or pod.metadata.owner_references):
            pod.metadata.deletion_timestamp = objects.NOW
        put(POD, pod)


def keys(b: Bench) -> list[Any]:
    """Every key that the cluster's objects wake."""
    found: dict[Any, None] = {}
    for watch in b.spec.watches:
        for obj in b.client.all(watch.kind):
            found.update(dict.fromkeys(watch.keys(b.listers, obj)))
    return list(found)


@pytest.mark.parametrize("spec", CONTROLLERS, ids=lambda spec: spec.name)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), later_s=st.sampled_from([0, 30, 400]))
async def test_a_plan_applied_leaves_nothing_to_plan(spec: ControllerSpec[Any], seed: int, later_s: int) -> None:
    b = Bench(spec)
    untouchable = populate(b, seed)
    await b.clock.advance(later_s)
    b.heard[NODE, "", "n-foreign"] = b.clock.now()
    before = {where: codec.encode(b.client.informer(where[0]).get(where[2], where[1])) for where in untouchable}
    # Pods that go may be what others wait for: some controllers need as many rounds as there are pods.
    for key in keys(b):
        await b.settle(key, 60)
    # What one key wrote may give another something to do; after a second round there is nothing left for anyone.
    for key in keys(b):
        await b.settle(key)
    assert [key for key in keys(b) if writes(b.plan(key))] == []
    after = {where: codec.encode(b.client.informer(where[0]).get(where[2], where[1])) for where in untouchable}
    assert after == before
    made = {kind for verb, kind, _ in b.client.calls if verb == "create"} - {"controllerrevisions"}
    assert len(made - {"persistentvolumeclaims"}) <= 1, f"{spec.name} makes objects of several kinds: {made}"


class _Crash(Exception):
    """The process ends before this write."""


def _crashing(b: Bench, chance: random.Random) -> Callable[[str, Kind[Any], str], None]:
    """Now and then a write is the first that does not happen, and no other does before the next start."""
    left = 25

    def refuse(verb: str, _kind: Kind[Any], _name: str) -> None:
        nonlocal left
        if verb in ("get", "list"):
            return
        if b.down or (left and chance.random() < 0.3):
            left -= not b.down
            b.down = True
            raise _Crash

    return refuse


async def _settled(b: Bench) -> Counter[tuple[str, ...]]:
    """What there is when every key is at rest, a process that ended being started again: without what it remembered."""
    for _ in range(2):
        for key in keys(b):
            while True:
                try:
                    await b.settle(key, 60)
                    break
                except _Crash:
                    b.down = False
                    b.memory.clear()
                    b.tallies.clear()
    return Counter(
        (kind.plural, meta.namespace, meta.generate_name or meta.name, *(owner.name for owner in meta.owner_references))
        for kind in KINDS
        for meta in (obj.metadata for obj in b.client.all(kind))
    )


@pytest.mark.parametrize("spec", CONTROLLERS, ids=lambda spec: spec.name)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
async def test_a_crash_between_any_two_writes_changes_nothing_in_the_end(spec: ControllerSpec[Any], seed: int) -> None:
    pictures = []
    for crashes in (False, True):
        b = Bench(spec)
        populate(b, seed)
        await b.clock.advance(400)
        b.heard[NODE, "", "n-foreign"] = b.clock.now()
        if crashes:
            b.client.refuse = _crashing(b, random.Random(seed))
        pictures.append(await _settled(b))
    assert pictures[1] == pictures[0]


@pytest.mark.parametrize("spec", CONTROLLERS, ids=lambda spec: spec.name)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
async def test_planning_changes_nothing_that_is_shared(spec: ControllerSpec[Any], seed: int) -> None:
    b = Bench(spec)
    populate(b, seed)
    everything = [(obj, copy_of(obj)) for kind in KINDS for obj in b.client.all(kind)]
    for key in keys(b):
        first, second = b.plan(key), b.plan(key)
        assert first == second, "a plan is a value, and a function of its world"
    assert all(obj == copy for obj, copy in everything)
    assert b.client.calls == []


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
async def test_replica_sets_never_have_more_pods_than_asked_for(seed: int) -> None:
    spec = next(spec for spec in CONTROLLERS if spec.name == "replicaset-controller")
    b = Bench(spec)
    populate(b, seed)
    for key in keys(b):
        await b.settle(key)
        wanted = b.client.informer(REPLICASET).get(key.name, key.namespace)
        if wanted is None:
            continue
        active = [
            pod
            for pod in b.listers.owned(POD, wanted)
            if pod.metadata.deletion_timestamp is None and pod.status.phase not in ("Succeeded", "Failed")
        ]
        assert len(active) == wanted.spec.replicas


def test_names_are_upstreams_and_selection_is_as_its_flag() -> None:
    everyone = [spec.name for spec in selected(CONTROLLERS, ("*",))]
    assert everyone == [spec.name for spec in CONTROLLERS if spec.on_by_default]
    without = [spec.name for spec in selected(CONTROLLERS, ("*", "-garbagecollector"))]
    assert set(everyone) - set(without) == {"garbage-collector-controller"}
    assert [spec.name for spec in selected(CONTROLLERS, ("deployment",))] == ["deployment-controller"]
    with pytest.raises(ValueError, match="'nonsense' is not in the list of known controllers"):
        selected(CONTROLLERS, ("nonsense",))
