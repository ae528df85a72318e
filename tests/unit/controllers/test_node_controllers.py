from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.kinds import LEASE, NODE, POD
from tiphys.api.kinds.core.node import NodeCondition
from tiphys.api.kinds.core.references import Taint, Toleration
from tiphys.controllers import node_ipam, node_lifecycle, taint_eviction
from tiphys.controllers._actions import Remember, RequeueAfter
from tiphys.controllers._spec import Key
from tiphys.controllers.settings import ControllerSettings

from . import objects
from .memory import Bench, writes

N1 = Key("", "n1")
POD_KEY = Key("default", "web")


def bench(ready: str = "True", others: int = 1) -> Bench:
    b = Bench(node_lifecycle.SPEC)
    b.client.put(NODE, objects.node("n1", ready))
    for number in range(others):
        b.client.put(NODE, objects.node(f"other-{number}"))
    return b


def taints(b: Bench) -> set[tuple[str, str]]:
    node = b.client.informer(NODE).get("n1")
    return {(taint.key.removeprefix("node.kubernetes.io/"), taint.effect) for taint in node.spec.taints}


async def test_a_silent_node_becomes_unknown_and_is_tainted() -> None:
    b = bench()
    b.client.put(POD, objects.pod("web", node="n1", ready=True))
    (wait,) = (action for action in b.plan(N1) if isinstance(action, RequeueAfter))
    assert 50 < wait.delay_s < 50.1
    await b.clock.advance(wait.delay_s)
    await b.settle(N1)
    node = b.client.informer(NODE).get("n1")
    ready = node.status.conditions[0]
    assert (ready.status, ready.reason, ready.message) == (
        "Unknown",
        "NodeStatusUnknown",
        "Kubelet stopped posting node status.",
    )
    never = {each.type: each.reason for each in node.status.conditions[1:]}
    assert never == dict.fromkeys(("MemoryPressure", "DiskPressure", "PIDPressure"), "NodeStatusNeverUpdated")
    assert taints(b) == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
    assert all(taint.time_added for taint in node.spec.taints)
    assert ("n1", "Normal", "NodeNotReady", "Node n1 status is now: NodeNotReady") in b.events.events
    assert ("web", "Warning", "NodeNotReady", "Node is not ready") in b.events.events
    assert b.client.all(POD)[0].status.conditions[0].status == "False"


async def test_a_renewed_lease_is_a_heartbeat() -> None:
    b = bench()
    await b.clock.advance(49)
    b.heard[LEASE, "kube-node-lease", "n1"] = b.clock.now()
    await b.clock.advance(49)
    assert writes(b.plan(N1)) == []
    await b.clock.advance(2)
    assert writes(b.plan(N1))


@pytest.mark.parametrize(
    ("conditions", "unschedulable", "expected"),
    [
        ({"Ready": "True"}, False, set()),
        ({"Ready": "False"}, False, {("not-ready", "NoSchedule"), ("not-ready", "NoExecute")}),
        ({"Ready": "Unknown"}, False, {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}),
        ({"Ready": "True", "MemoryPressure": "True"}, False, {("memory-pressure", "NoSchedule")}),
        ({"Ready": "True", "DiskPressure": "True"}, False, {("disk-pressure", "NoSchedule")}),
        ({"Ready": "True", "NetworkUnavailable": "True"}, False, {("network-unavailable", "NoSchedule")}),
        ({"Ready": "True"}, True, {("unschedulable", "NoSchedule")}),
    ],
)
async def test_taints_follow_conditions(conditions: dict[str, str], unschedulable: bool, expected: Any) -> None:
    b = bench("")

    def edit(node: Any) -> None:
        node.status.conditions = [NodeCondition(type=kind, status=status) for kind, status in conditions.items()]
        node.spec.unschedulable = unschedulable

    b.client.edit(NODE, "n1", "", edit)
    await b.settle(N1)
    assert taints(b) == expected


async def test_taints_of_others_stay_and_ours_go() -> None:
    b = bench("False")
    b.client.edit(
        NODE, "n1", "", lambda node: node.spec.taints.append(Taint(key="gpu", value="yes", effect="NoExecute"))
    )
    await b.settle(N1)
    assert taints(b) == {("gpu", "NoExecute"), ("not-ready", "NoSchedule"), ("not-ready", "NoExecute")}
    b.client.edit(NODE, "n1", "", lambda node: setattr(node.status.conditions[0], "status", "True"))
    await b.settle(N1)
    assert taints(b) == {("gpu", "NoExecute")}


async def test_nobody_is_evicted_when_no_node_is_ready() -> None:
    b = bench("False", others=0)
    await b.settle(N1)
    assert taints(b) == {("not-ready", "NoSchedule")}


def test_only_the_first_ready_node_and_the_loss_of_the_last_wake_the_others() -> None:
    watch = node_lifecycle.SPEC.watches[1]
    lost, ready = objects.node("n1", "Unknown"), objects.node("n1", "True")
    assert watch.when is not None
    assert watch.when(lost, ready)
    assert watch.when(ready, None)
    assert not watch.when(ready, ready)
    for others, woken in ((0, ["n0"]), (1, ["n0"]), (2, [])):
        b = bench("Unknown", others)
        b.client.put(NODE, objects.node("n0", "False"))
        b.client.drop(NODE, "n1")
        assert [key.name for key in watch.keys(b.listers, lost)] == woken


# --- eviction


def eviction(*tolerations: Toleration, added: str = objects.NOW) -> Bench:
    b = Bench(taint_eviction.SPEC)
    node = objects.node("n1", "Unknown")
    node.spec.taints = [
        Taint(key="node.kubernetes.io/unreachable", effect="NoExecute", time_added=added or None),
        Taint(key="node.kubernetes.io/unreachable", effect="NoSchedule"),
    ]
    b.client.put(NODE, node)
    pod = objects.pod("web", node="n1", ready=True)
    pod.spec.tolerations = list(tolerations)
    b.client.put(POD, pod)
    return b


def tolerate(seconds: int | None = None, operator: str = "Exists", key: str = "") -> Toleration:
    return Toleration(key=key, operator=operator, effect="NoExecute", toleration_seconds=seconds)


async def test_without_toleration_a_pod_goes_at_once() -> None:
    b = eviction()
    await b.settle(POD_KEY)
    pod = b.client.all(POD)[0]
    assert pod.metadata.deletion_timestamp
    reasons = {condition.type: condition.reason for condition in pod.status.conditions}
    assert reasons["DisruptionTarget"] == "DeletionByTaintManager"
    assert b.events.events == [("web", "Normal", "TaintManagerEviction", "Marking for deletion Pod default/web")]


@pytest.mark.parametrize("added", [objects.NOW, ""])
async def test_a_toleration_ends_after_its_seconds(added: str) -> None:
    b = eviction(tolerate(300), added=added)
    assert b.plan(POD_KEY) == [Remember(True), RequeueAfter(300.0)]
    await b.clock.advance(300)
    assert writes(b.plan(POD_KEY))


def test_the_shortest_toleration_counts_and_an_endless_one_does_not() -> None:
    assert eviction(tolerate()).plan(POD_KEY) == []
    b = eviction(tolerate(10), tolerate(300))
    b.client.edit(
        NODE, "n1", "", lambda node: node.spec.taints.append(Taint(key="x", effect="NoExecute", time_added=objects.NOW))
    )
    assert b.plan(POD_KEY) == [Remember(True), RequeueAfter(10.0)]


def test_a_taint_that_is_gone_ends_the_matter() -> None:
    b = eviction()
    b.client.edit(NODE, "n1", "", lambda node: node.spec.taints.clear())
    assert b.plan(POD_KEY) == []


async def test_two_families_get_a_range_each() -> None:
    b = Bench(node_ipam.SPEC, ControllerSettings(cluster_cidr="10.244.0.0/23,fd00:10:244::/63"))
    for number in range(3):
        b.client.put(NODE, objects.node(f"n{number}"))
        await b.settle(Key("", f"n{number}"))
    found = [node.spec.pod_cidrs for node in b.client.all(NODE)]
    assert found == [["10.244.0.0/24", "fd00:10:244::/64"], ["10.244.1.0/24", "fd00:10:244:1::/64"], []]
    assert [node.spec.pod_cidr for node in b.client.all(NODE)][:2] == ["10.244.0.0/24", "10.244.1.0/24"]


async def test_an_eviction_that_is_called_off_is_told_once() -> None:
    b = Bench(taint_eviction.SPEC)
    node = objects.node("n1")
    node.spec.taints = [Taint(key="x", effect="NoExecute", time_added=objects.NOW)]
    b.client.put(NODE, node)
    pod = objects.pod("p", node="n1")
    pod.spec.tolerations = [Toleration(key="x", operator="Exists", toleration_seconds=300)]
    b.client.put(POD, pod)
    key = Key("default", "p")
    assert await b.apply(key) == 300
    b.client.edit(NODE, "n1", "", lambda each: setattr(each.spec, "taints", []))
    await b.apply(key)
    await b.apply(key)
    told = ("TaintManagerEviction", "Cancelling deletion of Pod default/p")
    assert [event[2:] for event in b.events.events] == [told]
