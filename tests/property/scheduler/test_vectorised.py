"""Array functions, row functions and plain restatements of the rules agree, on random clusters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.placement import TopologySpreadConstraint
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of_map
from tiphys.api.meta.types import LabelSelector
from tiphys.scheduler.cycle import Cycle
from tiphys.scheduler.nodematch import node_matches, term_matches
from tiphys.scheduler.plugin import SCORE_MAX
from tiphys.scheduler.plugins import node_unschedulable, pod_topology_spread
from tiphys.scheduler.pods import Group, PodRecord
from tiphys.scheduler.profile import DEFAULT
from tiphys.scheduler.requests import amounts
from tiphys.scheduler.table import NodeTable
from tiphys.scheduler.tolerance import tolerates, unpreferred, untolerated
from tiphys.testing import builders as b

KEYS, VALUES = ["disk", "gen", "zone"], ["ssd", "hdd", "1", "7", "-3", "x9"]
EFFECTS = ["NoSchedule", "NoExecute", "PreferNoSchedule"]

taints = st.builds(
    b.taint, st.sampled_from(["gpu", "infra"]), st.sampled_from(EFFECTS), st.sampled_from(["", "yes", "no"])
)
tolerations = st.builds(
    b.toleration,
    st.sampled_from(["", "gpu", "infra"]),
    value=st.sampled_from(["", "yes"]),
    effect=st.sampled_from(["", *EFFECTS]),
    operator=st.sampled_from(["", "Exists", "Equal"]),
)
labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
requirements = st.tuples(
    st.sampled_from(KEYS),
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Nonsense"]),
    st.lists(st.sampled_from(VALUES), max_size=2),
)
terms = st.builds(
    lambda expressions, names: b.term(*expressions, names=names),
    st.lists(requirements, max_size=2),
    st.lists(st.sampled_from(["n0", "n1", "nowhere"]), max_size=1),
)
affinities = st.one_of(
    st.none(),
    st.builds(
        b.node_affinity,
        st.one_of(st.none(), st.lists(terms, max_size=2)),
        st.lists(st.tuples(st.integers(0, 100), terms), max_size=2),
    ),
)
ports = st.lists(st.integers(80, 82), max_size=2, unique=True)
containers = st.builds(
    b.container,
    cpu=st.sampled_from(["", "100m", "1", "3500m"]),
    memory=st.sampled_from(["", "64Mi", "3Gi"]),
    requests=st.sampled_from([{}, {"example.com/gpu": "1"}, {"ephemeral-storage": "1Gi"}]),
    host_ports=ports,
    sidecar=st.booleans(),
)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Node], list[Pod]]:
    nodes = [
        b.node(
            f"n{i}",
            cpu=draw(st.sampled_from(["0", "2", "4"])),
            memory=draw(st.sampled_from(["0", "4Gi", "8Gi"])),
            pods=draw(st.sampled_from(["1", "3", "110"])),
            resources=draw(st.sampled_from([{}, {"example.com/gpu": "2"}, {"ephemeral-storage": "2Gi"}])),
            labels=draw(labels),
            zone=draw(st.sampled_from(["", "a", "b"])),
            taints=draw(st.lists(taints, max_size=2)),
            unschedulable=draw(st.booleans()),
        )
        for i in range(draw(st.integers(1, 6)))
    ]
    bound = [
        b.pod(
            f"bound-{i}",
            containers=draw(st.lists(containers, min_size=1, max_size=2)),
            labels=draw(st.sampled_from([{}, {"app": "web"}])),
            node=draw(st.sampled_from([n.metadata.name for n in nodes])),
        )
        for i in range(draw(st.integers(0, 6)))
    ]
    return nodes, bound


@st.composite
def waiting_pods(draw: st.DrawFn) -> Pod:
    pod = b.pod(
        "waiting",
        containers=draw(st.lists(containers, min_size=1, max_size=2)),
        init_containers=draw(st.lists(containers, max_size=2)),
        labels={"app": "web"},
        node_selector=draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=1)),
        affinity=draw(affinities),
        tolerations=draw(st.lists(tolerations, max_size=2)),
    )
    for key, when in draw(
        st.lists(
            st.tuples(
                st.sampled_from(["topology.kubernetes.io/zone", "kubernetes.io/hostname"]),
                st.sampled_from(["DoNotSchedule", "ScheduleAnyway"]),
            ),
            max_size=2,
            unique=True,
        )
    ):
        pod.spec.topology_spread_constraints.append(
            TopologySpreadConstraint(
                max_skew=draw(st.integers(1, 2)),
                topology_key=key,
                when_unsatisfiable=when,
                label_selector=LabelSelector(match_labels={"app": "web"}),
                min_domains=draw(st.sampled_from([None, 2])) if when == "DoNotSchedule" else None,
                node_affinity_policy=draw(st.sampled_from([None, "Ignore"])),
                node_taints_policy=draw(st.sampled_from([None, "Honor"])),
            )
        )
    return pod


class World:
    """The table, and the same facts in plain Python."""

    def __init__(self, nodes: list[Node], bound: list[Pod], pod: Pod) -> None:
        self.nodes = nodes
        self.table = NodeTable(capacity=2)  # small, so that growing is always tried
        for node in nodes:
            self.table.set_node(node)
        self.on: dict[str, list[PodRecord]] = {node.metadata.name: [] for node in nodes}
        for other in bound:
            record = self.table.record(other)
            self.table.set_pod(record)
            self.on[record.node].append(record)
        self.pod = self.table.record(pod)
        self.pod.group = Group("default", (selector_of_map({"app": "web"}),))
        self.every = slice(0, self.table.high)

    def used(self, node: str, resource: str) -> int:
        return sum(pod.shape.requests.get(resource, 0) for pod in self.on[node])


def taint_keys(node: Node) -> list[tuple[str, str, str]]:
    return [(t.key, t.value, t.effect) for t in node.spec.taints]


def tolerated(world: World, node: Node) -> bool:
    return untolerated(world.pod.shape.tolerations, taint_keys(node)) == 0


def affine(world: World, node: Node) -> bool:
    return node_matches(world.pod.shape, node.metadata.name, node.metadata.labels)


def cordon_tolerated(world: World, node: Node) -> bool:
    return not node.spec.unschedulable or tolerates(world.pod.shape.tolerations, node_unschedulable.TAINT)


def ports_free(world: World, node: Node) -> bool:
    used = [port for pod in world.on[node.metadata.name] for port in pod.shape.host_ports]
    return not any(mine[:2] == other[:2] for mine in world.pod.shape.host_ports for other in used)


def room(world: World, node: Node) -> bool:
    name, capacity = node.metadata.name, amounts(node.status.allocatable)
    return len(world.on[name]) < capacity["pods"] and all(
        capacity.get(r, 0) - world.used(name, r) >= q for r, q in world.pod.shape.requests.items()
    )


def least_allocated(world: World, node: Node) -> int:
    capacity, shape = amounts(node.status.allocatable), world.pod.shape
    on = world.on[node.metadata.name]
    used = {
        "cpu": sum(p.shape.cpu_scored for p in on) + shape.cpu_scored,
        "memory": sum(p.shape.memory_scored for p in on) + shape.memory_scored,
    }
    shares = [max(capacity[r] - u, 0) * SCORE_MAX // capacity[r] for r, u in used.items() if capacity[r]]
    return sum(shares) // len(shares) if shares else 0


def balance(world: World, node: Node) -> int:
    capacity, name = amounts(node.status.allocatable), node.metadata.name
    asked = {"cpu": world.pod.shape.cpu_stated, "memory": world.pod.shape.memory_stated}

    def evenness(more: Mapping[str, int]) -> int:
        shares = [min((world.used(name, r) + more.get(r, 0)) / capacity[r], 1.0) for r in asked if capacity[r]]
        return int((1 - abs((shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0)) * SCORE_MAX)

    return SCORE_MAX // 2 + (SCORE_MAX // 2 + evenness(asked) - evenness({})) // 2


def preference(world: World, node: Node) -> int:
    affinity = world.pod.shape.node_affinity
    terms = affinity.preferred_during_scheduling_ignored_during_execution if affinity else []
    return sum(t.weight for t in terms if term_matches(t.preference, node.metadata.name, node.metadata.labels))


def dislike(world: World, node: Node) -> int:
    return unpreferred(world.pod.shape.tolerations, taint_keys(node))


FILTERS: dict[str, Callable[[World, Node], bool]] = {
    "NodeUnschedulable": cordon_tolerated,
    "NodeName": lambda world, node: world.pod.node in ("", node.metadata.name),
    "TaintToleration": tolerated,
    "NodeAffinity": affine,
    "NodePorts": ports_free,
    "NodeResourcesFit": room,
}
SCORES: dict[str, Callable[[World, Node], int]] = {
    "TaintToleration": dislike,
    "NodeAffinity": preference,
    "NodeResourcesFit": least_allocated,
    "NodeResourcesBalancedAllocation": balance,
}


def test_every_local_function_has_a_reference() -> None:
    assert {p.name for p in DEFAULT if p.filter} == set(FILTERS)
    assert {p.name for p in DEFAULT if p.score} == set(SCORES)


@given(clusters(), waiting_pods(), st.sampled_from(["", "", "n0", "n1"]))
@settings(max_examples=150, deadline=None)
def test_filters_agree(cluster: tuple[list[Node], list[Pod]], pod: Pod, wanted: str) -> None:
    pod.spec.node_name = wanted
    world = World(*cluster, pod)
    for plugin in DEFAULT:
        if plugin.filter is None or plugin.filter_row is None or not plugin.applies(world.pod):
            continue
        expected = [FILTERS[plugin.name](world, node) for node in world.nodes]
        assert plugin.filter(world.table, world.pod, world.every).tolist() == expected, plugin.name
        some = np.arange(0, len(expected), 2)
        assert plugin.filter(world.table, world.pod, some).tolist() == expected[::2], plugin.name
        rows = [plugin.filter_row(world.table, world.pod, row) for row in range(len(expected))]
        assert rows == expected, plugin.name


@given(clusters(), waiting_pods())
@settings(max_examples=150, deadline=None)
def test_local_scores_agree(cluster: tuple[list[Node], list[Pod]], pod: Pod) -> None:
    world = World(*cluster, pod)
    for plugin in DEFAULT:
        if plugin.score is None or plugin.score_row is None:
            continue
        expected = [SCORES[plugin.name](world, node) for node in world.nodes]
        assert plugin.score(world.table, world.pod, world.every).tolist() == expected, plugin.name
        rows = [plugin.score_row(world.table, world.pod, row) for row in range(len(expected))]
        assert rows == expected, plugin.name


def spread_reference(world: World, feasible: list[bool]) -> list[int]:
    """PodTopologySpread's score, node by node, after upstream's text."""
    soft = pod_topology_spread.constraints(world.pod, "ScheduleAnyway")
    own = bool(world.pod.shape.spread)

    def has_all(node: Node) -> bool:
        return all(c.key in node.metadata.labels for c in soft)

    candidates = [ok and (not own or has_all(node)) for ok, node in zip(feasible, world.nodes, strict=True)]
    chosen = [node for node, ok in zip(world.nodes, candidates, strict=True) if ok]

    def matching(node: Node, c: pod_topology_spread.Constraint) -> int:
        return sum(c.group.has(p) for p in world.on[node.metadata.name])

    def counts(node: Node, c: pod_topology_spread.Constraint) -> bool:
        return (
            (not own or has_all(node))
            and (not c.honor_affinity or affine(world, node))
            and (not c.honor_taints or tolerated(world, node))
        )

    raw: list[int | None] = []
    for node, ok in zip(world.nodes, candidates, strict=True):
        if not ok:
            raw.append(None)
            continue
        total = 0.0
        for c in soft:
            value = node.metadata.labels.get(c.key)
            if value is None:
                continue
            if c.key == pod_topology_spread.HOSTNAME:
                count, size = matching(node, c), len(chosen)
            else:
                size = len({n.metadata.labels.get(c.key) for n in chosen})
                count = sum(
                    matching(n, c) for n in world.nodes if n.metadata.labels.get(c.key) == value and counts(n, c)
                )
            total += count * math.log(size + 2) + (c.max_skew - 1)
        raw.append(math.floor(total + 0.5))
    known = [r for r in raw if r is not None]
    low, high = min(known, default=0), max(known, default=0)
    return [0 if r is None else SCORE_MAX if high == 0 else SCORE_MAX * (high + low - r) // high for r in raw]


def spread_filter_reference(world: World, node: Node) -> bool:
    """PodTopologySpread's filter for one node, after upstream's text."""
    hard = pod_topology_spread.constraints(world.pod, "DoNotSchedule")
    if any(c.key not in node.metadata.labels for c in hard):
        return False
    for c in hard:
        domains: dict[str, int] = {}
        for other in world.nodes:
            if any(k.key not in other.metadata.labels for k in hard):
                continue
            if c.honor_affinity and not affine(world, other):
                continue
            if c.honor_taints and not tolerated(world, other):
                continue
            value = other.metadata.labels[c.key]
            domains[value] = domains.get(value, 0) + sum(c.group.has(p) for p in world.on[other.metadata.name])
        smallest = min(domains.values()) if domains and len(domains) >= c.domains_min else 0
        if domains.get(node.metadata.labels[c.key], 0) + 1 - smallest > c.max_skew:
            return False
    return True


@given(clusters(), waiting_pods(), st.data())
@settings(max_examples=120, deadline=None)
def test_spreading_agrees(cluster: tuple[list[Node], list[Pod]], pod: Pod, data: st.DataObject) -> None:
    world = World(*cluster, pod)
    size = len(world.nodes)
    feasible = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    mask = np.array(feasible, dtype=np.bool_)
    if pod_topology_spread.scores(world.pod):
        scores = pod_topology_spread.score_among(world.table, world.pod, mask)
        assert scores.tolist() == spread_reference(world, feasible)
    passed = pod_topology_spread.filter_among(world.table, world.pod, mask)
    assert passed.tolist() == [spread_filter_reference(world, node) for node in world.nodes]


@given(clusters(), st.lists(waiting_pods(), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_shared_evaluations_decide_as_fresh_ones(cluster: tuple[list[Node], list[Pod]], pods: list[Pod]) -> None:
    """Reusing work between equal pods, row by row, never changes a decision."""
    nodes, bound = cluster
    world = World(nodes, bound, pods[0])
    first = Cycle(world.table, DEFAULT, lambda _count: 0)
    for pod in pods + pods:
        record = world.table.record(pod)
        record.uid = b.uid()
        record.group = world.pod.group
        shared = first.decide(record)
        fresh = Cycle(world.table, DEFAULT, lambda _count: 0).decide(record)
        assert (shared.node, shared.feasible) == (fresh.node, fresh.feasible)
        if shared.node:
            record.node = shared.node
            world.table.assume(record)
        else:
            assert shared.diagnosis is not None
            assert fresh.diagnosis is not None
            assert shared.diagnosis.message() == fresh.diagnosis.message()


@given(clusters(), st.data())
@settings(max_examples=80, deadline=None)
def test_incremental_columns_equal_rebuilt_ones(cluster: tuple[list[Node], list[Pod]], data: st.DataObject) -> None:
    """After any sequence of changes the columns hold what a new table, told only the end, would hold."""
    nodes, bound = cluster
    group = Group("default", (selector_of_map({"app": "web"}),))
    table = NodeTable(capacity=1)
    alive: dict[str, Node] = {}
    placed: dict[str, Pod] = {}
    table.label("zone")
    table.count_of(group)
    for step in data.draw(st.lists(st.integers(0, 3), max_size=20)):
        if step == 0:
            node = data.draw(st.sampled_from(nodes))
            table.set_node(node)
            alive[node.metadata.name] = node
        elif step == 1 and alive:
            name = data.draw(st.sampled_from(sorted(alive)))
            table.remove_node(name)
            del alive[name]
        elif step == 2 and bound:
            pod = data.draw(st.sampled_from(bound))
            if pod.metadata.uid not in placed:
                table.assume(table.record(pod))
                placed[pod.metadata.uid] = pod
        elif placed:
            uid = data.draw(st.sampled_from(sorted(placed)))
            table.remove_pod(uid)
            del placed[uid]
    rebuilt = NodeTable()
    for node in alive.values():
        rebuilt.set_node(node)
    for pod in placed.values():
        rebuilt.set_pod(rebuilt.record(pod))
    assert table.count == len(alive)
    for name in alive:
        row, other = table.rows[name], rebuilt.rows[name]
        assert table.pod_count[row] == rebuilt.pod_count[other]
        assert table.scored[:, row].tolist() == rebuilt.scored[:, other].tolist()
        for resource, index in rebuilt.resources.items():
            mine = table.resources.get(resource)
            assert (0 if mine is None else table.requested[mine, row]) == rebuilt.requested[index, other]
        assert table.count_of(group)[row] == rebuilt.count_of(group)[other]
        text = alive[name].metadata.labels.get("zone")
        column = table.label("zone")
        assert (column.texts[column.ids[row]] if column.ids[row] >= 0 else None) == text
    assert {k: len(v) for k, v in table.ports.items()} == {k: len(v) for k, v in rebuilt.ports.items()}
