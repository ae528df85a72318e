"""Processors in equal parts from as few NUMA nodes as can give them (`distribute-cpus-across-numa`). Pure.

What cannot be parted evenly comes, a group at a time, from those nodes that leave all nodes' free processors most
alike. Source: KEP-2902; pkg/kubelet/cm/cpumanager/cpu_assignment.go (takeByTopologyNUMADistributed).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import pstdev

from tiphys.kubelet.resources.cpus.choosing import take
from tiphys.kubelet.resources.cpus.topology import Cpus, Processor

Shares = Mapping[int, int]
"""How many processors each NUMA node gives."""


def take_evenly(machine: Sequence[Processor], free: Cpus, count: int, group: int) -> Cpus:
    """`count` of the `free` ones, `group` of them at a time; packed where they cannot be parted.

    Raises NotAllocated.
    """
    shares = _shares(machine, free, count, group) if count <= len(free) and count % group == 0 else None
    if shares is None:
        return take(machine, free, count)
    return frozenset[int]().union(
        *(take(machine, free & _of_node(machine, node), share) for node, share in shares.items())
    )


def _of_node(machine: Sequence[Processor], node: int) -> Cpus:
    return frozenset(cpu.id for cpu in machine if cpu.node == node)


def _shares(machine: Sequence[Processor], free: Cpus, count: int, group: int) -> Shares | None:
    room = Counter(cpu.node for cpu in machine if cpu.id in free)
    for size in range(1, len(room) + 1):
        found = [
            (balance, shares)
            for nodes in itertools.combinations(sorted(room), size)
            for balance, shares in _parted(room, nodes, count, group)
        ]
        if found:
            return min(found, key=lambda each: each[0])[1]
    return None


def _parted(room: Shares, nodes: Sequence[int], count: int, group: int) -> Iterator[tuple[float, Shares]]:
    """The best way to part `count` among these nodes, if there is one, with how unlike it leaves what is free."""
    each = count // len(nodes) // group * group
    if any(room[node] < each for node in nodes) or sum(room[node] // group * group for node in nodes) < count:
        return
    rest = count - each * len(nodes)
    able = [node for node in nodes if room[node] - each >= group]
    ways = []
    for size in range(len(able), 0, -1) if rest else (0,):
        for extra in itertools.combinations(able, size):
            shares = _with_rest(room, dict.fromkeys(nodes, each), extra, rest, group)
            if shares is not None:
                ways.append((pstdev(free - shares.get(node, 0) for node, free in room.items()), shares))
    if ways:
        yield min(ways, key=lambda way: way[0])


def _with_rest(
    room: Shares, shares: dict[int, int], extra: Sequence[int], rest: int, group: int
) -> dict[int, int] | None:
    """`rest` more, a group from each of `extra` in turn; None where they have not got it."""
    while rest:
        before = rest
        for node in extra:
            if rest and room[node] - shares[node] >= group:
                shares[node] += group
                rest -= group
        if rest == before:
            return None
    return shares
