"""What users read when nothing fits, and which of the nodes that fit is taken."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.containers import ContainerRestartRule
from tiphys.api.kinds.core.pod.placement import TopologySpreadConstraint
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of_map
from tiphys.api.meta.types import LabelSelector
from tiphys.scheduler.cycle import Cycle, Decision, Rotation
from tiphys.scheduler.pods import Group
from tiphys.scheduler.profile import DEFAULT
from tiphys.scheduler.table import NodeTable
from tiphys.testing import builders as b


def decide(pod: Pod, nodes: Sequence[Node], bound: Sequence[Pod] = (), group: Group | None = None) -> Decision:
    table = NodeTable()
    for node in nodes:
        table.set_node(node)
    for other in bound:
        table.set_pod(table.record(other))
    record = table.record(pod)
    record.group = group
    return Cycle(table, DEFAULT.plugins, lambda _count: 0).decide(record)


def message(pod: Pod, nodes: Sequence[Node], bound: Sequence[Pod] = ()) -> str:
    decision = decide(pod, nodes, bound)
    assert decision.node == ""
    assert decision.diagnosis is not None
    return decision.diagnosis.message()


def test_no_nodes() -> None:
    assert message(b.pod(), []) == "no nodes available to schedule pods"


def test_reasons_are_counted_and_sorted_as_upstream_does() -> None:
    nodes = [b.node("n1", cpu="1"), b.node("n2", taints=[b.taint("gpu")]), b.node("n3", taints=[b.taint("gpu")])]
    assert message(b.pod(cpu="2"), nodes) == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)."
    )


def test_one_node_may_lack_several_things() -> None:
    text = message(b.pod(cpu="8", memory="64Gi", requests={"example.com/gpu": "1"}), [b.node(pods="0")])
    assert text.startswith(
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient example.com/gpu, 1 Insufficient memory, "
        "1 Too many pods."
    )


def test_each_filter_has_upstreams_words() -> None:
    cases = {
        "node(s) were unschedulable": message(b.pod(), [b.node(unschedulable=True)]),
        "node(s) didn't match Pod's node affinity/selector": message(b.pod(node_selector={"a": "b"}), [b.node()]),
        "node(s) didn't have free ports for the requested pod ports": message(
            b.pod(host_ports=[80]), [b.node()], [b.pod("p", host_ports=[80], node="node-1")]
        ),
        "node(s) didn't match the requested node name": message(b.pod(node="elsewhere"), [b.node()]),
    }
    for reason, text in cases.items():
        assert text == f"0/1 nodes are available: 1 {reason}.", text


def test_a_pod_runs_where_the_node_declares_what_it_needs() -> None:
    pod = b.pod()
    pod.spec.containers[0].restart_policy_rules = [ContainerRestartRule(action="RestartAllContainers")]
    old, able = b.node("old"), b.node("able")
    able.status.declared_features = ["ExtendWebSocketsToKubelet", "RestartAllContainersOnContainerExits"]
    assert message(pod, [old]).startswith("0/1 nodes are available: 1 node(s) didn't match Pod's required features.")
    assert decide(pod, [old, able]).node == "able"
    own = b.pod()
    own.spec.host_network = True
    own.spec.host_users = False
    assert "required features" in message(own, [able])


def test_pods_that_name_nodes_hear_of_the_others_too() -> None:
    affinity = b.node_affinity([b.term(names=["n1"])])
    nodes = [b.node("n1", unschedulable=True), b.node("n2"), b.node("n3")]
    assert message(b.pod(affinity=affinity), nodes).startswith(
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
    both = b.term(names=["n1", "n2"])
    assert message(b.pod(affinity=b.node_affinity([both])), nodes).startswith(
        "0/3 nodes are available: pod affinity terms conflict."
    )


def test_hard_spreading_refuses_with_its_own_words() -> None:
    def spread(key: str) -> Pod:
        pod = b.pod(labels={"app": "web"})
        pod.spec.topology_spread_constraints = [
            TopologySpreadConstraint(
                max_skew=1,
                topology_key=key,
                when_unsatisfiable="DoNotSchedule",
                label_selector=LabelSelector(match_labels={"app": "web"}),
            )
        ]
        return pod

    nodes = [b.node("n1", cpu="4"), b.node("n2", cpu="0")]
    bound = [b.pod("p", labels={"app": "web"}, node="n1")]
    pod = spread("kubernetes.io/hostname")
    pod.spec.containers[0].resources.requests = b.quantities(cpu="1")
    assert "1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints." in message(pod, nodes, bound)
    assert "2 node(s) didn't match pod topology spread constraints (missing required label)." in message(
        spread("rack"), nodes
    )


def test_the_emptier_node_is_better() -> None:
    nodes = [b.node("n1"), b.node("n2")]
    assert decide(b.pod(cpu="1"), nodes, [b.pod("p", cpu="2", memory="8Gi", node="n1")]).node == "n2"


def test_unpreferred_taints_count_more_than_free_room() -> None:
    nodes = [b.node("n1"), b.node("n2", taints=[b.taint("slow", "PreferNoSchedule")])]
    assert decide(b.pod(cpu="1"), nodes, [b.pod("p", cpu="2", node="n1")]).node == "n1"


def test_preferred_affinity_attracts() -> None:
    nodes = [b.node("n1"), b.node("n2", labels={"disk": "ssd"})]
    affinity = b.node_affinity(preferred=[(1, b.term(("disk", "In", ["ssd"])))])
    assert decide(b.pod(cpu="1", affinity=affinity), nodes, [b.pod("p", cpu="1", node="n2")]).node == "n2"


def test_a_group_spreads_over_hosts_and_zones_by_default() -> None:
    nodes = [b.node("n1", zone="a"), b.node("n2", zone="a"), b.node("n3", zone="b", cpu="3")]
    bound = [b.pod("p", labels={"app": "web"}, node="n1")]
    group = Group("default", (selector_of_map({"app": "web"}),))
    assert decide(b.pod(labels={"app": "web"}), nodes, bound, group).node == "n3"
    assert decide(b.pod(labels={"app": "web"}), nodes, bound).node == "n2"


def test_equally_good_nodes_take_turns() -> None:
    table = NodeTable()
    for i in range(3):
        table.set_node(b.node(f"n{i}"))
    cycle = Cycle(table, DEFAULT.plugins, Rotation())
    record = table.record(b.pod(cpu="1"))
    assert {cycle.decide(record).node for _ in range(3)} == {"n0", "n1", "n2"}


def test_sidecars_and_init_containers_count_at_their_peak() -> None:
    init = [b.container("first", cpu="3"), b.container("side", cpu="1", sidecar=True), b.container("last", cpu="2")]
    pod = b.pod(cpu="1", init_containers=init)
    assert decide(pod, [b.node(cpu="3")]).node == "node-1"
    assert decide(pod, [b.node(cpu="2900m")]).node == ""
    pod.spec.overhead = b.quantities(cpu="1")
    assert decide(pod, [b.node(cpu="3")]).node == ""
