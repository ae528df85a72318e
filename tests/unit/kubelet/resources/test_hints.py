from __future__ import annotations

import pytest

from tiphys.kubelet.resources.hints import Affinity, Hint, Misaligned, merge, ranges


def hint(*nodes: int, preferred: bool = True) -> Hint:
    return Hint(frozenset(nodes), preferred)


def test_ranges_are_preferred_where_no_fewer_nodes_could_do() -> None:
    assert ranges([0, 0, 1, 1], [0, 1, 1], 2) == [hint(1), hint(0, 1, preferred=False)]
    assert ranges([0, 0, 1, 1], [0, 1, 1], 3) == [hint(0, 1)]
    assert ranges([0, 0], [0], 2) == []


NEAR_0, NEAR_1, SPREAD = [hint(0)], [hint(1)], [hint(0, 1, preferred=False)]


@pytest.mark.parametrize(
    ("policy", "wishes", "found"),
    [
        ("none", [NEAR_0, NEAR_1], None),
        ("best-effort", [NEAR_0, [hint(0), hint(1)]], frozenset({0})),
        ("best-effort", [NEAR_0, NEAR_1], None),
        ("best-effort", [None], None),
        ("best-effort", [NEAR_0, []], frozenset({0})),
        ("restricted", [NEAR_1, [hint(0), hint(1)]], frozenset({1})),
        ("restricted", [[hint(0, 1)]], None),
        ("single-numa-node", [NEAR_1, None], frozenset({1})),
        ("single-numa-node", [None], None),
    ],
)
def test_merged(policy: str, wishes: list[list[Hint] | None], found: Affinity) -> None:
    assert merge(policy, [0, 1], wishes) == found


@pytest.mark.parametrize(
    ("policy", "wishes"),
    [
        ("restricted", [NEAR_0, NEAR_1]),
        ("restricted", [SPREAD]),
        ("restricted", [[]]),
        ("single-numa-node", [[hint(0, 1)]]),
        ("single-numa-node", [NEAR_0, NEAR_1]),
    ],
)
def test_refused(policy: str, wishes: list[list[Hint] | None]) -> None:
    with pytest.raises(Misaligned, match="Resources cannot be allocated with Topology locality"):
        merge(policy, [0, 1], wishes)
