"""Which NUMA nodes would serve all that a container asks for: the topology manager's policies. Pure.

Source: pkg/kubelet/cm/topologymanager/policy*.go.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiphys.kubelet.resources.grants import NotAllocated

Affinity = frozenset[int] | None
"""NUMA nodes; None: any."""

POLICIES = ("none", "best-effort", "restricted", "single-numa-node")


@dataclass(frozen=True, slots=True)
class Hint:
    """Nodes that could serve a request. Preferred: no fewer could, were nothing in use."""

    nodes: Affinity
    preferred: bool


class Misaligned(NotAllocated):
    """The policy does not let the pod in."""


def ranges(all_units: Sequence[int], free_units: Sequence[int], count: int) -> list[Hint]:
    """The hints for `count` units of something, given the node of each unit: all, and those that are free."""
    has, free = Counter(all_units), Counter(free_units)
    sets = [frozenset(some) for size in range(1, len(has) + 1) for some in itertools.combinations(sorted(has), size)]
    fewest = min((len(some) for some in sets if sum(has[node] for node in some) >= count), default=0)
    return [Hint(some, len(some) == fewest) for some in sets if sum(free[node] for node in some) >= count]


def merge(policy: str, nodes: Iterable[int], wishes: Sequence[list[Hint] | None]) -> Affinity:
    """The nodes to take all from. `wishes` has the hints of each resource, None for one that does not care; an empty
    list is one that cannot be had. Raises Misaligned."""
    every = frozenset(nodes)
    if policy == "none":
        return None
    choices = [[Hint(None, True)] if wish is None else wish or [Hint(None, False)] for wish in wishes]
    if policy == "single-numa-node":
        choices = [
            [hint for hint in each if hint.preferred and (hint.nodes is None or len(hint.nodes) == 1)]
            for each in choices
        ]
    best = Hint(every, False)
    for combination in itertools.product(*choices):
        common = every.intersection(*(hint.nodes for hint in combination if hint.nodes is not None))
        if common:
            found = Hint(common, all(hint.preferred for hint in combination))
            if (not found.preferred, len(common)) < (not best.preferred, len(best.nodes or ())):
                best = found
    if not best.preferred and policy != "best-effort":
        raise Misaligned("Resources cannot be allocated with Topology locality")
    return None if best.nodes == every else best.nodes
