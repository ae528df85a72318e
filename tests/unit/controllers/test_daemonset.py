from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tiphys.api.kinds import CONTROLLERREVISION, DAEMONSET, NODE, POD
from tiphys.api.kinds.apps.daemonset import DaemonSetUpdateStrategy, RollingUpdateDaemonSet
from tiphys.api.kinds.core.pod.placement import Affinity, NodeAffinity
from tiphys.api.kinds.core.references import (
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Taint,
    Toleration,
)
from tiphys.controllers import daemonset
from tiphys.controllers._actions import RequeueAfter
from tiphys.controllers._daemon_pods import GENERATION, Fit, Placement, node_of, with_daemon_tolerations
from tiphys.controllers._daemon_update import failure_delay_s
from tiphys.controllers._spec import Key, Tally

from . import objects
from .memory import Bench

KEY = Key("default", "agent")


def bench(nodes: int = 3, edit: Callable[[Any], None] = lambda obj: None) -> Bench:
    b = Bench(daemonset.SPEC)
    for number in range(nodes):
        b.client.put(NODE, objects.node(f"n{number}"))
    wanted = objects.daemon_set()
    edit(wanted)
    b.client.put(DAEMONSET, wanted)
    return b


def strategy(unavailable: Any = 1, surge: Any = 0) -> Callable[[Any], None]:
    rolling = RollingUpdateDaemonSet(max_unavailable=unavailable, max_surge=surge)
    wanted = DaemonSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling)
    return lambda obj: setattr(obj.spec, "update_strategy", wanted)


def kubelet(b: Bench) -> bool:
    moved = False
    for pod in b.client.all(POD):
        name = pod.metadata.name
        if pod.metadata.deletion_timestamp:
            b.client.drop(POD, name, "default")
        elif not pod.spec.node_name:
            b.client.edit(POD, name, "default", lambda obj: setattr(obj.spec, "node_name", node_of(obj)))
        elif pod.status.phase == "Pending":
            b.client.edit(POD, name, "default", objects.make_ready)
        else:
            continue
        moved = True
    return moved


async def run(b: Bench) -> list[int]:
    """How many pods are ready at each step until nothing moves."""
    seen = []
    for _ in range(60):
        await b.settle(KEY)
        seen.append(
            sum(pod.status.phase == "Running" and not pod.metadata.deletion_timestamp for pod in b.client.all(POD))
        )
        if not kubelet(b):
            return seen
    raise AssertionError("no end")


def change(b: Bench, image: str) -> None:
    def edit(obj: Any) -> None:
        obj.spec.template.spec.containers[0].image = image
        obj.metadata.generation += 1
        obj.metadata.annotations[GENERATION] = str(obj.metadata.generation)

    b.client.edit(DAEMONSET, "agent", "default", edit)


def by_node(b: Bench) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pod in b.client.all(POD):
        found.setdefault(node_of(pod), []).append(pod.spec.containers[0].image)
    return found


async def test_each_node_gets_one_that_names_it_and_tolerates_its_troubles() -> None:
    b = bench()
    await run(b)
    assert by_node(b) == {f"n{number}": ["agent:1"] for number in range(3)}
    pod = b.client.all(POD)[0]
    required = pod.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
    assert required.node_selector_terms[0].match_fields[0].values == [pod.spec.node_name]
    assert {each.key for each in pod.spec.tolerations} >= {"node.kubernetes.io/unschedulable"}
    (revision,) = b.client.all(CONTROLLERREVISION)
    assert pod.metadata.labels["controller-revision-hash"] == revision.metadata.labels["controller-revision-hash"]
    assert pod.metadata.labels["pod-template-generation"] == "1"
    status = b.client.all(DAEMONSET)[0].status
    assert (status.desired_number_scheduled, status.number_available, status.updated_number_scheduled) == (3, 3, 3)


async def test_nodes_that_come_and_go_are_followed() -> None:
    b = bench()
    await run(b)
    b.client.put(NODE, objects.node("n9"))
    await run(b)
    assert "n9" in by_node(b)
    b.client.edit(NODE, "n9", "", lambda node: setattr(node.spec, "taints", [Taint(key="x", effect="NoExecute")]))
    await run(b)
    assert "n9" not in by_node(b)


def fit(node: Any, edit: Callable[[Any], None] = lambda obj: None) -> Fit:
    wanted = objects.daemon_set()
    edit(wanted)
    return Placement(wanted).fit(node)


def tainted(effect: str, key: str = "example.com/x") -> Any:
    node = objects.node("n1", zone="a", cores="8")
    node.spec.taints = [Taint(key=key, effect=effect)]
    return node


def requires(*requirements: NodeSelectorRequirement) -> Callable[[Any], None]:
    selector = NodeSelector(node_selector_terms=[NodeSelectorTerm(match_expressions=list(requirements))])
    affinity = Affinity(node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=selector))
    return lambda obj: setattr(obj.spec.template.spec, "affinity", affinity)


@pytest.mark.parametrize(
    ("node", "edit", "expected"),
    [
        (objects.node("n1"), lambda obj: None, Fit.RUN),
        (tainted("PreferNoSchedule"), lambda obj: None, Fit.RUN),
        (tainted("NoSchedule"), lambda obj: None, Fit.STAY),
        (tainted("NoExecute"), lambda obj: None, Fit.LEAVE),
        (tainted("NoSchedule", "node.kubernetes.io/unschedulable"), lambda obj: None, Fit.RUN),
        (tainted("NoExecute", "node.kubernetes.io/not-ready"), lambda obj: None, Fit.RUN),
        (tainted("NoSchedule", "node.kubernetes.io/network-unavailable"), lambda obj: None, Fit.STAY),
        (
            tainted("NoSchedule", "node.kubernetes.io/network-unavailable"),
            lambda obj: setattr(obj.spec.template.spec, "host_network", True),
            Fit.RUN,
        ),
        (
            tainted("NoExecute"),
            lambda obj: setattr(obj.spec.template.spec, "tolerations", [Toleration(operator="Exists")]),
            Fit.RUN,
        ),
        (objects.node("n1"), lambda obj: setattr(obj.spec.template.spec, "node_name", "n2"), Fit.LEAVE),
        (objects.node("n1", a="b"), lambda obj: obj.spec.template.spec.node_selector.update(a="b"), Fit.RUN),
        (objects.node("n1", a="c"), lambda obj: obj.spec.template.spec.node_selector.update(a="b"), Fit.LEAVE),
        (objects.node("n1", c="9"), requires(NodeSelectorRequirement(key="c", operator="Gt", values=["8"])), Fit.RUN),
        (objects.node("n1", c="8"), requires(NodeSelectorRequirement(key="c", operator="Gt", values=["8"])), Fit.LEAVE),
        (objects.node("n1"), requires(NodeSelectorRequirement(key="c", operator="NotIn", values=["8"])), Fit.RUN),
        (objects.node("n1"), requires(NodeSelectorRequirement(key="c", operator="Exists")), Fit.LEAVE),
        (objects.node("n1"), requires(), Fit.LEAVE),
    ],
)
def test_which_nodes_suit(node: Any, edit: Callable[[Any], None], expected: Fit) -> None:
    assert fit(node, edit) is expected


def test_a_toleration_of_the_template_for_the_same_taint_is_replaced() -> None:
    spec = objects.daemon_set().spec.template.spec
    spec.tolerations = [
        Toleration(key="node.kubernetes.io/not-ready", operator="Exists", effect="NoExecute", toleration_seconds=5)
    ]
    assert len(with_daemon_tolerations(spec)) == 6
    assert with_daemon_tolerations(spec)[0].toleration_seconds is None


@pytest.mark.parametrize(("unavailable", "least"), [(1, 4), (2, 3), ("50%", 2), ("100%", 0)])
async def test_rolls_within_unavailability(unavailable: Any, least: int) -> None:
    b = bench(5, strategy(unavailable))
    await run(b)
    change(b, "agent:2")
    seen = await run(b)
    assert min(seen) >= least
    assert by_node(b) == {f"n{number}": ["agent:2"] for number in range(5)}


async def test_surging_keeps_a_pod_ready_on_each_node() -> None:
    b = bench(4, strategy(0, 2))
    await run(b)
    change(b, "agent:2")
    seen = await run(b)
    assert min(seen) >= 4
    assert max(len(pods) for pods in by_node(b).values()) == 1
    assert by_node(b) == {f"n{number}": ["agent:2"] for number in range(4)}


async def test_on_delete_waits_for_the_user() -> None:
    b = bench(2, lambda obj: setattr(obj.spec, "update_strategy", DaemonSetUpdateStrategy(type="OnDelete")))
    await run(b)
    change(b, "agent:2")
    await run(b)
    assert by_node(b) == {"n0": ["agent:1"], "n1": ["agent:1"]}


async def test_a_rollback_does_not_touch_pods_of_the_old_template() -> None:
    b = bench(3)
    await run(b)
    uids = {pod.metadata.uid for pod in b.client.all(POD)}
    change(b, "broken:1")
    await b.settle(KEY)
    kubelet(b)
    await b.settle(KEY)
    change(b, "agent:1")
    await run(b)
    kept = uids & {pod.metadata.uid for pod in b.client.all(POD)}
    assert len(kept) == 2
    assert by_node(b) == {f"n{number}": ["agent:1"] for number in range(3)}
    assert sorted(each.revision for each in b.client.all(CONTROLLERREVISION)) == [2, 3]


async def test_a_failed_pod_is_replaced_at_once_and_then_ever_later() -> None:
    b = bench(1)
    await run(b)
    name = b.client.all(POD)[0].metadata.name
    b.client.edit(POD, name, "default", lambda pod: setattr(pod.status, "phase", "Failed"))
    await b.settle(KEY)
    assert b.client.all(POD)[0].metadata.deletion_timestamp
    assert "FailedDaemonPod" in [reason for _, _, reason, _ in b.events.events]
    await run(b)
    pod = b.client.all(POD)[0]
    b.client.edit(POD, pod.metadata.name, "default", lambda pod: setattr(pod.status, "phase", "Failed"))
    where = next(
        watch.tally(pod, b.client.all(POD)[0])  # type: ignore[misc] # the only watch on pods counts
        for watch in daemonset.SPEC.watches
        if watch.kind is POD
    )
    b.tallies[where] = Tally(4, b.clock.now() - timedelta(seconds=1))
    await b.settle(KEY)
    assert not b.client.all(POD)[0].metadata.deletion_timestamp
    assert RequeueAfter(3.0) in b.plan(KEY)


def test_waits_after_failures_grow_to_a_quarter_of_an_hour() -> None:
    assert [failure_delay_s(count) for count in (0, 1, 2, 3, 4, 11, 12, 10**6)] == [0, 0, 1, 2, 4, 512, 900, 900]


async def test_an_empty_selector_does_nothing_and_says_so() -> None:
    b = bench(1, lambda obj: setattr(obj.spec.selector, "match_labels", {}))
    await b.apply(KEY)
    assert b.client.calls == []
    assert b.events.events[0][2] == "SelectingAll"


async def test_unbound_pods_of_lost_nodes_go() -> None:
    b = bench(2)
    await b.settle(KEY)
    b.client.drop(NODE, "n1")
    await b.settle(KEY)
    assert set(by_node(b)) == {"n0"}
