"""Array functions, row functions and plain restatements of the rules agree, on random clusters."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.scheduler.reference import affinity, local, spreading
from tests.property.scheduler.reference.world import World

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.containers import ContainerRestartRule
from tiphys.api.kinds.core.pod.placement import (
    Affinity,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of_map
from tiphys.api.meta.types import LabelSelector
from tiphys.scheduler.cycle import Cycle
from tiphys.scheduler.plugins import inter_pod_affinity, pod_topology_spread
from tiphys.scheduler.pods import Group
from tiphys.scheduler.profile import DEFAULT
from tiphys.scheduler.table import NodeTable
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
    for node in nodes:
        node.status.declared_features = draw(st.sampled_from([[], ["RestartAllContainersOnContainerExits"]]))
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
    pod.spec.containers[0].restart_policy_rules = draw(
        st.sampled_from([[], [ContainerRestartRule(action="RestartAllContainers")]])
    )
    return pod


def test_every_local_function_has_a_reference() -> None:
    assert {p.name for p in DEFAULT.plugins if p.filter} == set(local.FILTERS)
    assert {p.name for p in DEFAULT.plugins if p.score} == set(local.SCORES)


@given(clusters(), waiting_pods(), st.sampled_from(["", "", "n0", "n1"]))
@settings(max_examples=150, deadline=None)
def test_filters_agree(cluster: tuple[list[Node], list[Pod]], pod: Pod, wanted: str) -> None:
    pod.spec.node_name = wanted
    world = World(*cluster, pod)
    for plugin in DEFAULT.plugins:
        if plugin.filter is None or plugin.filter_row is None or not plugin.applies(world.pod):
            continue
        expected = [local.FILTERS[plugin.name](world, node) for node in world.nodes]
        assert plugin.filter(world.table, world.pod, world.every).tolist() == expected, plugin.name
        some = np.arange(0, len(expected), 2)
        assert plugin.filter(world.table, world.pod, some).tolist() == expected[::2], plugin.name
        rows = [plugin.filter_row(world.table, world.pod, row) for row in range(len(expected))]
        assert rows == expected, plugin.name


@given(clusters(), waiting_pods())
@settings(max_examples=150, deadline=None)
def test_local_scores_agree(cluster: tuple[list[Node], list[Pod]], pod: Pod) -> None:
    world = World(*cluster, pod)
    for plugin in DEFAULT.plugins:
        if plugin.score is None or plugin.score_row is None:
            continue
        expected = [local.SCORES[plugin.name](world, node) for node in world.nodes]
        assert plugin.score(world.table, world.pod, world.every).tolist() == expected, plugin.name
        rows = [plugin.score_row(world.table, world.pod, row) for row in range(len(expected))]
        assert rows == expected, plugin.name


@given(clusters(), waiting_pods(), st.data())
@settings(max_examples=120, deadline=None)
def test_spreading_agrees(cluster: tuple[list[Node], list[Pod]], pod: Pod, data: st.DataObject) -> None:
    world = World(*cluster, pod)
    size = len(world.nodes)
    feasible = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    mask = np.array(feasible, dtype=np.bool_)
    plugin = pod_topology_spread.SPEC
    assert plugin.score_among is not None
    assert plugin.filter_among is not None
    assert plugin.filter_row is not None
    if plugin.scores(world.pod):
        scores = plugin.score_among(world.table, world.pod, mask)
        expected = spreading.score(world, feasible)
        assert (scores.tolist() if scores is not None else [0] * size) == expected
    wanted = [spreading.passes(world, node) for node in world.nodes]
    passed = plugin.filter_among(world.table, world.pod, mask)
    assert (passed.tolist() if passed is not None else [True] * size) == wanted
    assert [plugin.filter_row(world.table, world.pod, row) for row in range(size)] == wanted


selectors = st.sampled_from([{"app": "web"}, {"app": "db"}, {"tier": "x"}, {}])
pod_terms = st.builds(
    lambda selector, key, namespaces, chosen: PodAffinityTerm(
        label_selector=LabelSelector(match_labels=selector),
        topology_key=key,
        namespaces=namespaces,
        namespace_selector=None if chosen is None else LabelSelector(match_labels=chosen),
    ),
    selectors,
    st.sampled_from(["topology.kubernetes.io/zone", "kubernetes.io/hostname", "disk"]),
    st.sampled_from([[], ["default"], ["other"]]),
    st.sampled_from([None, {}, {"team": "b"}]),
)
weighted = st.builds(
    lambda weight, term: WeightedPodAffinityTerm(weight=weight, pod_affinity_term=term), st.integers(1, 100), pod_terms
)


@st.composite
def social_pods(draw: st.DrawFn, name: str, nodes: list[Node] | None = None) -> Pod:
    """Pods with opinions on other pods."""
    short = st.lists(pod_terms, max_size=2)
    made = b.pod(
        name,
        draw(st.sampled_from(["default", "other"])),
        labels=draw(st.sampled_from([{}, {"app": "web"}, {"app": "db", "tier": "x"}])),
        node=draw(st.sampled_from([n.metadata.name for n in nodes])) if nodes else "",
    )
    made.spec.affinity = Affinity(
        pod_affinity=PodAffinity(
            required_during_scheduling_ignored_during_execution=draw(short),
            preferred_during_scheduling_ignored_during_execution=draw(st.lists(weighted, max_size=2)),
        ),
        pod_anti_affinity=PodAntiAffinity(
            required_during_scheduling_ignored_during_execution=draw(short),
            preferred_during_scheduling_ignored_during_execution=draw(st.lists(weighted, max_size=2)),
        ),
    )
    return made


@given(clusters(), st.data())
@settings(max_examples=200, deadline=None)
def test_affinity_agrees(cluster: tuple[list[Node], list[Pod]], data: st.DataObject) -> None:
    nodes = cluster[0]
    bound = [data.draw(social_pods(f"bound-{i}", nodes)) for i in range(data.draw(st.integers(0, 4)))]
    world = World(nodes, bound, data.draw(social_pods("waiting")))
    size = len(nodes)
    feasible = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    mask = np.array(feasible, dtype=np.bool_)
    plugin = inter_pod_affinity.SPEC
    assert plugin.score_among is not None
    assert plugin.filter_among is not None
    assert plugin.filter_row is not None
    wanted = [affinity.passes(world, node) for node in nodes]
    passed = plugin.filter_among(world.table, world.pod, mask)
    assert (passed.tolist() if passed is not None else [True] * size) == wanted
    assert [plugin.filter_row(world.table, world.pod, row) for row in range(size)] == wanted
    scores = plugin.score_among(world.table, world.pod, mask)
    expected = affinity.score(world, feasible, hard_weight=1)
    for row in np.flatnonzero(mask).tolist():
        assert (0 if scores is None else scores[row]) == expected[row]
    gone = data.draw(st.sampled_from(bound)) if bound else None
    if gone is not None:  # counts follow pods that leave
        record = world.table.remove_pod(gone.metadata.uid)
        assert record is not None
        world.on[record.node] = [p for p in world.on[record.node] if p.uid != record.uid]
        passed = plugin.filter_among(world.table, world.pod, mask)
        wanted = [affinity.passes(world, node) for node in nodes]
        assert (passed.tolist() if passed is not None else [True] * size) == wanted


@given(clusters(), st.lists(waiting_pods(), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_shared_evaluations_decide_as_fresh_ones(cluster: tuple[list[Node], list[Pod]], pods: list[Pod]) -> None:
    """Reusing work between equal pods, row by row, never changes a decision."""
    nodes, bound = cluster
    world = World(nodes, bound, pods[0])
    first = Cycle(world.table, DEFAULT.plugins, lambda _count: 0)
    for pod in pods + pods:
        record = world.table.record(pod)
        record.uid = b.uid()
        record.group = world.pod.group
        shared = first.decide(record)
        fresh = Cycle(world.table, DEFAULT.plugins, lambda _count: 0).decide(record)
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
    assert {k: len(v) for k, v in table.held.ports.items()} == {k: len(v) for k, v in rebuilt.held.ports.items()}
