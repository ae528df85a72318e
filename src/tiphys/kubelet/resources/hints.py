"""Which NUMA nodes would serve all that is asked for together: the topology manager's policies. Pure.

Source: pkg/kubelet/cm/topologymanager/{policy*,numa_info,policy_options}.go.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from tiphys.kubelet.resources.grants import Inadmissible

POLICIES = ("none", "best-effort", "restricted", "single-numa-node")
SCOPES = ("container", "pod")
MAX_NODES = 8
"""More of them make too many combinations to look at, unless the configuration says otherwise."""

CLOSEST, MOST_NODES = "prefer-closest-numa-nodes", "max-allowable-numa-nodes"


@dataclass(frozen=True, slots=True)
class Hint:
    """Nodes that could serve a request. Preferred: no fewer could, were nothing in use."""

    nodes: frozenset[int] | None
    """None: any."""
    preferred: bool


ANYWHERE = Hint(None, preferred=False)
"""No policy has an opinion."""

Wishes = list[list[Hint] | None]
"""The hints of each resource; None for one that does not care, an empty list for one that cannot be had."""


class Misaligned(Inadmissible):
    """The policy does not let the pod in."""

    reason = "TopologyAffinityError"


@dataclass(frozen=True, slots=True)
class Topology:
    """How near to each other the resources of a container, or of a pod, must be."""

    policy: str = "none"
    nodes: frozenset[int] = frozenset((0,))
    distances: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    """From a node to each; empty: of as many nodes as few, the lowest are taken."""
    by_pod: bool = False
    """All containers of a pod together, not each for itself."""


def topology_options(options: Mapping[str, str]) -> tuple[bool, int]:
    """Whether distances count, and the most NUMA nodes that a machine may have. Raises ValueError."""
    closest, most = False, MAX_NODES
    for name, text in options.items():
        if name == CLOSEST:
            closest = switched(name, text)
        elif name == MOST_NODES:
            if not text.isdecimal():
                raise ValueError(f'unable to convert policy option to integer "{name}": {text!r}')
            most = int(text)
            if most < MAX_NODES:
                raise ValueError(f'the minimum value of "{name}" should not be less than {MAX_NODES}')
        else:
            raise ValueError(f'unknown Topology Manager Policy option: "{name}"')
    return closest, most


def switched(name: str, text: str) -> bool:
    """A policy option that is on or off. Raises ValueError."""
    if text not in _ON and text not in _OFF:
        raise ValueError(f'bad value for option "{name}": strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _ON


_ON, _OFF = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


def subsets(nodes: Sequence[int] | frozenset[int]) -> list[frozenset[int]]:
    """All but the empty one, small ones first."""
    ordered = sorted(nodes)
    return [frozenset(some) for size in range(1, len(ordered) + 1) for some in itertools.combinations(ordered, size)]


def ranges(all_units: Sequence[int], free_units: Sequence[int], count: int, kept: Sequence[int] = ()) -> list[Hint]:
    """The hints for `count` units of something, given the node of each unit: all, and those that are free.

    `kept`: of units that the request takes in any case, beside the free ones.
    """
    has, free = Counter(all_units), Counter([*free_units, *kept])
    sets = subsets(frozenset(has))
    fewest = min((len(some) for some in sets if sum(has[node] for node in some) >= count), default=0)
    return [
        Hint(some, len(some) == fewest)
        for some in sets
        if some.issuperset(kept) and sum(free[node] for node in some) >= count
    ]


def merge(topology: Topology, wishes: Wishes) -> Hint:
    """The nodes to take all from. Raises Misaligned."""
    if topology.policy == "none":
        return ANYWHERE
    single = topology.policy == "single-numa-node"
    choices = [[Hint(None, True)] if wish is None else wish or [Hint(None, False)] for wish in wishes]
    if single:
        choices = [[h for h in each if h.preferred and (h.nodes is None or len(h.nodes) == 1)] for each in choices]
    found = [_common(topology.nodes, some) for some in itertools.product(*choices)]
    best = reduce(_chooser(topology, choices), (hint for hint in found if hint.nodes), Hint(None, False))
    if best.nodes is None:
        best = Hint(topology.nodes, best.preferred)
    if not best.preferred and topology.policy != "best-effort":
        raise Misaligned("Resources cannot be allocated with Topology locality")
    return Hint(None, best.preferred) if single and best.nodes == topology.nodes else best


def _common(every: frozenset[int], hints: Sequence[Hint]) -> Hint:
    """What they agree on; preferred where they want the very same."""
    wanted = [hint.nodes for hint in hints if hint.nodes is not None]
    preferred = all(hint.preferred for hint in hints) and len(set(wanted)) <= 1
    return Hint(every.intersection(*wanted), preferred)


def _chooser(topology: Topology, choices: Sequence[Sequence[Hint]]) -> Callable[[Hint, Hint], Hint]:
    """The better of two, the first one where both are as good."""
    smallest = [min((len(hint.nodes) for hint in each if hint.nodes is not None), default=0) for each in choices]
    aim = max(smallest, default=0)
    """So many nodes does the most demanding resource need; what nobody prefers should come near to it."""

    def rank(hint: Hint) -> tuple[bool, int, int, float, tuple[int, ...]]:
        nodes = hint.nodes or frozenset()
        size = len(nodes)
        distance = _distance(topology, nodes) if topology.policy != "single-numa-node" else 0.0
        narrow = (distance, tuple(sorted(nodes, reverse=True)))
        if hint.preferred:
            return (False, 0, size, *narrow)
        return (True, int(size > aim), size if size > aim else -size, *narrow)

    def better(one: Hint, other: Hint) -> Hint:
        return other if one.nodes is None or rank(other) < rank(one) else one

    return better


def _distance(topology: Topology, nodes: frozenset[int]) -> float:
    """On average between any two."""
    if not topology.distances:
        return 0.0
    return sum(topology.distances[one][other] for one in nodes for other in nodes) / len(nodes) ** 2
