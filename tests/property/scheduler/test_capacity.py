"""The strategies of NodeResourcesFit and the balance over any resources, held to upstream's arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.scheduler.reference.world import World
from tests.property.scheduler.test_vectorised import clusters, waiting_pods

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.facts import amounts
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.scheduler.config import args as a
from tiphys.scheduler.plugins import node_resources_balanced, node_resources_fit
from tiphys.scheduler.resources import is_scalar

RESOURCES = ("cpu", "memory", "ephemeral-storage", "example.com/gpu")
resources = st.lists(
    st.builds(a.ResourceSpec, st.sampled_from(RESOURCES), st.integers(1, 5)),
    min_size=1,
    max_size=4,
    unique_by=lambda r: r.name,
).map(tuple)
shapes = (
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 10)), min_size=1, max_size=4, unique_by=lambda p: p[0])
    .map(sorted)
    .map(lambda points: tuple(a.UtilizationShapePoint(x, y) for x, y in points))
)


def _facts(world: World, node: Node, name: str, *, scored: bool) -> tuple[int, int, int] | None:
    """(capacity, used, asked) of a resource that counts; None of one that does not."""
    shape = world.pod.shape
    asked = (shape.scored if scored else shape.requests).get(name, 0)
    capacity = amounts(node.status.allocatable).get(name, 0)
    if not capacity or (not asked and is_scalar(name)):
        return None
    on = world.on[node.metadata.name]
    filled = scored and name in ("cpu", "memory")
    used = sum((pod.shape.scored if filled else pod.shape.requests).get(name, 0) for pod in on)
    return capacity, used, asked


def _line(points: Sequence[a.UtilizationShapePoint], at: int) -> int:
    for index, point in enumerate(points):
        if at <= point.utilization:
            if not index:
                return point.score * 10
            last = points[index - 1]
            rise = (point.score - last.score) * 10 * (at - last.utilization)
            return last.score * 10 + math.trunc(rise / (point.utilization - last.utilization))
    return points[-1].score * 10


def _expected(world: World, node: Node, strategy: a.ScoringStrategy) -> int:
    total = weights = 0
    for resource in strategy.resources:
        found = _facts(world, node, resource.name, scored=True)
        if found is None:
            continue
        capacity, requested = found[0], found[1] + found[2]
        if strategy.type == a.LEAST:
            score = (capacity - requested) * 100 // capacity if requested <= capacity else 0
        elif strategy.type == a.MOST:
            score = min(requested, capacity) * 100 // capacity
        else:
            assert strategy.requested_to_capacity_ratio is not None
            points = strategy.requested_to_capacity_ratio.shape
            score = _line(points, 100 if requested > capacity else requested * 100 // capacity)
            if score <= 0:
                continue
        total += score * resource.weight
        weights += resource.weight
    if not weights:
        return 0
    return math.floor(total / weights + 0.5) if strategy.type == a.RATIO else total // weights


@given(clusters(), waiting_pods(), resources, st.sampled_from([a.LEAST, a.MOST, a.RATIO]), shapes)
@settings(max_examples=150, deadline=None)
def test_strategies_agree(
    cluster: tuple[list[Node], list[Pod]],
    pod: Pod,
    chosen: tuple[a.ResourceSpec, ...],
    strategy: str,
    shape: tuple[a.UtilizationShapePoint, ...],
) -> None:
    world = World(*cluster, pod)
    ratio = a.RequestedToCapacityRatioParam(shape) if strategy == a.RATIO else None
    stated = a.ScoringStrategy(strategy, chosen, ratio)
    plugin = node_resources_fit.build(a.NodeResourcesFitArgs(scoring_strategy=stated))
    assert plugin.score is not None
    assert plugin.score_row is not None
    expected = [_expected(world, node, stated) for node in world.nodes]
    assert plugin.score(world.table, world.pod, world.every).tolist() == expected
    assert [plugin.score_row(world.table, world.pod, row) for row in range(len(expected))] == expected


def _even(parts: Sequence[float]) -> int:
    if len(parts) == 2:
        deviation = abs((parts[0] - parts[1]) / 2)
    elif len(parts) > 2:
        mean = sum(parts) / len(parts)
        deviation = math.sqrt(sum((part - mean) * (part - mean) for part in parts) / len(parts))
    else:
        deviation = 0.0
    return int((1 - deviation) * 100)


@given(clusters(), waiting_pods(), resources)
@settings(max_examples=150, deadline=None)
def test_the_balance_over_any_resources_agrees(
    cluster: tuple[list[Node], list[Pod]], pod: Pod, chosen: tuple[a.ResourceSpec, ...]
) -> None:
    world = World(*cluster, pod)
    plugin = node_resources_balanced.build(a.NodeResourcesBalancedAllocationArgs(resources=chosen))
    assert plugin.score is not None
    assert plugin.score_row is not None
    if not plugin.scores(world.pod):
        return
    expected = []
    for node in world.nodes:
        facts = [_facts(world, node, resource.name, scored=False) for resource in chosen]
        there = [fact for fact in facts if fact is not None]
        before = _even([min(used / capacity, 1.0) for capacity, used, _ in there])
        after = _even([min((used + asked) / capacity, 1.0) for capacity, used, asked in there])
        expected.append(50 + (50 + after - before) // 2)
    assert plugin.score(world.table, world.pod, world.every).tolist() == expected
    assert [plugin.score_row(world.table, world.pod, row) for row in range(len(expected))] == expected
