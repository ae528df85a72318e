from __future__ import annotations

import pytest

from tiphys.kubelet.resources.hints import ANYWHERE, Hint, Misaligned, Topology, Wishes, merge, ranges, topology_options


def hint(*nodes: int, preferred: bool = True) -> Hint:
    return Hint(frozenset(nodes), preferred)


def test_ranges_are_preferred_where_no_fewer_nodes_could_do() -> None:
    assert ranges([0, 0, 1, 1], [0, 1, 1], 2) == [hint(1), hint(0, 1, preferred=False)]
    assert ranges([0, 0, 1, 1], [0, 1, 1], 3) == [hint(0, 1)]
    assert ranges([0, 0], [0], 2) == []


def test_units_that_are_kept_must_be_within() -> None:
    assert ranges([0, 0, 1, 1], [1], 2, [0]) == [hint(0, 1, preferred=False)]
    assert ranges([0, 0, 1, 1], [0, 1, 1], 2, [1]) == [hint(1), hint(0, 1, preferred=False)]


NEAR_0, NEAR_1, SPREAD = [hint(0)], [hint(1)], [hint(0, 1, preferred=False)]
EITHER = [hint(0), hint(1)]


def of(policy: str) -> Topology:
    return Topology(policy, frozenset((0, 1)))


@pytest.mark.parametrize(
    ("policy", "wishes", "found"),
    [
        ("none", [NEAR_0, NEAR_1], ANYWHERE),
        ("best-effort", [NEAR_0, EITHER], hint(0)),
        ("best-effort", [NEAR_0, NEAR_1], hint(0, 1, preferred=False)),
        ("best-effort", [None], hint(0, 1)),
        ("best-effort", [NEAR_0, []], hint(0, preferred=False)),
        # As many nodes as the most demanding one needs.
        ("best-effort", [SPREAD, [*EITHER, *SPREAD]], hint(0, 1, preferred=False)),
        ("restricted", [NEAR_1, EITHER], hint(1)),
        ("restricted", [[hint(0, 1)]], hint(0, 1)),
        ("single-numa-node", [NEAR_1, None], hint(1)),
        ("single-numa-node", [None], Hint(None, preferred=True)),
    ],
)
def test_merged(policy: str, wishes: Wishes, found: Hint) -> None:
    assert merge(of(policy), wishes) == found


@pytest.mark.parametrize(
    ("policy", "wishes"),
    [
        ("restricted", [NEAR_0, NEAR_1]),
        ("restricted", [[hint(0, 1)], NEAR_0]),  # preferred by each, but not the same
        ("restricted", [SPREAD]),
        ("restricted", [[]]),
        ("single-numa-node", [[hint(0, 1)]]),
        ("single-numa-node", [NEAR_0, NEAR_1]),
    ],
)
def test_refused(policy: str, wishes: Wishes) -> None:
    with pytest.raises(Misaligned) as refused:
        merge(of(policy), wishes)
    told = "Resources cannot be allocated with Topology locality"
    assert refused.value.rejection == ("TopologyAffinityError", told)


def test_nearer_nodes_where_distances_count() -> None:
    wishes: Wishes = [[hint(0, 1), hint(0, 2), hint(1, 2)]]
    apart = {0: {0: 10, 1: 20, 2: 12}, 1: {0: 20, 1: 10, 2: 20}, 2: {0: 12, 1: 20, 2: 10}}
    assert merge(Topology("restricted", frozenset(range(3))), wishes) == hint(0, 1)
    assert merge(Topology("restricted", frozenset(range(3)), apart), wishes) == hint(0, 2)


def test_options() -> None:
    assert topology_options({}) == (False, 8)
    assert topology_options({"prefer-closest-numa-nodes": "true", "max-allowable-numa-nodes": "12"}) == (True, 12)


@pytest.mark.parametrize("options", [{"x": "1"}, {"max-allowable-numa-nodes": "7"}, {"max-allowable-numa-nodes": "a"}])
def test_wrong_options(options: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        topology_options(options)
