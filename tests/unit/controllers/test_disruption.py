from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.kinds import DEPLOYMENT, POD, PODDISRUPTIONBUDGET, REPLICASET
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.meta.types import OwnerReference
from tiphys.base.clock import rfc3339
from tiphys.controllers import disruption
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench, writes

KEY = Key("default", "budget")


def bench(pods: int = 4, ready: int = 4, owned: bool = True, **spec: Any) -> Bench:
    b = Bench(disruption.SPEC)
    deployment = b.client.put(DEPLOYMENT, objects.deployment(replicas=pods))
    owner = objects.replica_set(replicas=pods)
    owner.metadata.owner_references = [objects.owner_reference(DEPLOYMENT, deployment)]
    owner = b.client.put(REPLICASET, owner)
    for number in range(pods):
        reference = (REPLICASET, owner) if owned else None
        b.client.put(POD, objects.pod(f"web-{number}", owner=reference, ready=number < ready))
    b.client.put(PODDISRUPTIONBUDGET, objects.budget(**spec))
    return b


def the(b: Bench) -> Any:
    return b.client.informer(PODDISRUPTIONBUDGET).get("budget", "default")


@pytest.mark.parametrize(
    ("spec", "ready", "desired", "allowed"),
    [
        ({"min_available": 3}, 4, 3, 1),
        ({"min_available": 3}, 2, 3, 0),
        ({"min_available": "50%"}, 4, 2, 2),
        ({"min_available": "51%"}, 4, 3, 1),
        ({"max_unavailable": 1}, 4, 3, 1),
        ({"max_unavailable": "30%"}, 4, 2, 2),
        ({"max_unavailable": 0}, 4, 4, 0),
        ({}, 4, 0, 0),
    ],
)
async def test_how_many_may_go(spec: dict[str, Any], ready: int, desired: int, allowed: int) -> None:
    b = bench(ready=ready, **spec)
    await b.settle(KEY)
    status = the(b).status
    assert (status.current_healthy, status.desired_healthy, status.disruptions_allowed) == (ready, desired, allowed)
    assert status.expected_pods == (4 if spec else 0)
    (condition,) = status.conditions
    assert (condition.status, condition.reason) == (
        ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    )


async def test_shares_are_of_what_the_deployment_wants_not_of_what_there_is() -> None:
    b = bench(max_unavailable=1)
    b.client.edit(DEPLOYMENT, "web", "default", lambda obj: setattr(obj.spec, "replicas", 10))
    await b.settle(KEY)
    assert (the(b).status.expected_pods, the(b).status.desired_healthy) == (10, 9)


async def test_evicted_pods_count_as_gone_until_they_are_or_two_minutes_have_passed() -> None:
    b = bench(max_unavailable=1)
    await b.settle(KEY)
    now = rfc3339(b.clock.now())
    b.client.edit(
        PODDISRUPTIONBUDGET, "budget", "default", lambda obj: obj.status.disrupted_pods.update({"web-0": now})
    )
    await b.settle(KEY)
    assert the(b).status.current_healthy == 3
    assert await b.apply(KEY) == 120
    await b.clock.advance(121)
    await b.settle(KEY)
    assert (the(b).status.current_healthy, the(b).status.disrupted_pods) == (4, {})
    assert ("web-0", "Warning", "NotDeleted", "Pod was expected by PDB default/budget to be deleted but it wasn't") in (
        b.events.events
    )


async def test_pods_of_an_unknown_controller_let_nothing_go() -> None:
    b = bench(min_available="50%")
    b.client.drop(REPLICASET, "web", "default")
    await b.settle(KEY)
    (condition,) = the(b).status.conditions
    assert (condition.reason, condition.message) == ("SyncFailed", 'found no controllers for pod "web-0"')
    assert the(b).status.disruptions_allowed == 0
    assert writes(b.plan(KEY)) == []


async def test_pods_without_a_controller_are_told() -> None:
    b = bench(owned=False, max_unavailable=1)
    await b.settle(KEY)
    assert "UnmanagedPods" in [reason for _, _, reason, _ in b.events.events]


async def test_a_mark_that_came_to_nothing_is_taken_back() -> None:
    b = bench(min_available=1)

    def mark(pod: Any) -> None:
        pod.status.conditions.append(
            PodCondition(type="DisruptionTarget", status="True", last_transition_time=rfc3339(b.clock.now()))
        )

    b.client.edit(POD, "web-0", "default", mark)
    await b.settle(KEY)
    assert await b.apply(KEY) == 120
    await b.clock.advance(120)
    await b.settle(KEY)
    conditions = {each.type: each.status for each in b.client.informer(POD).get("web-0", "default").status.conditions}
    assert conditions["DisruptionTarget"] == "False"


def test_who_is_woken() -> None:
    b = bench()
    pods, deployments = (
        next(watch for watch in disruption.SPEC.watches if watch.kind is kind) for kind in (POD, DEPLOYMENT)
    )
    assert list(pods.keys(b.listers, objects.pod("x", app="web"))) == [KEY]
    assert list(pods.keys(b.listers, objects.pod("x", app="db"))) == []
    assert list(deployments.keys(b.listers, b.client.all(DEPLOYMENT)[0])) == [KEY]


async def test_a_pod_of_two_budgets_is_told_once() -> None:
    b = Bench(disruption.SPEC)
    for name in ("one", "two"):
        b.client.put(PODDISRUPTIONBUDGET, objects.budget(name, min_available=1))
    b.client.put(POD, objects.pod("p", app="web"))
    for name in ("two", "one", "one"):
        await b.apply(Key("default", name))
    told = [event[2:] for event in b.events.events if event[2] == "MultiplePodDisruptionBudgets"]
    text = 'Pod "default"/"p" matches multiple PodDisruptionBudgets.  Chose "one" arbitrarily.'
    assert told == [("MultiplePodDisruptionBudgets", text)]


@pytest.mark.parametrize(("uid", "allowed"), [("thing", 2), ("another", 0)])
async def test_owners_of_custom_kinds_say_how_many_pods_they_want(uid: str, allowed: int) -> None:
    b = Bench(disruption.SPEC)
    resources = [{"name": "things", "kind": "Thing", "namespaced": True}, {"name": "things/scale", "kind": "Scale"}]
    b.client.answers["/apis/x.example/v1"] = {"resources": resources}
    scale = {"metadata": {"name": "t", "uid": uid}, "spec": {"replicas": 4}}
    b.client.answers["/apis/x.example/v1/namespaces/default/things/t/scale"] = scale
    owner = OwnerReference(api_version="x.example/v1", kind="Thing", name="t", uid="thing", controller=True)
    for number in range(4):
        pod = objects.pod(f"p{number}", ready=True, app="web")
        pod.metadata.owner_references = [owner]
        b.client.put(POD, pod)
    b.client.put(PODDISRUPTIONBUDGET, objects.budget(min_available="50%"))
    await b.settle(KEY)
    assert the(b).status.disruptions_allowed == allowed
