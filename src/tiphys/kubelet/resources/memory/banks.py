"""What each NUMA node has of memory and huge pages, what is left of it, and where a request could be served. Pure.

A request is served by one node, or by a group of them. A node that is part of a group serves no single request, and no
other group, until the group's requests have ended.

Source: pkg/kubelet/cm/memorymanager/policy_static.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tiphys.base.quantity import from_value
from tiphys.kubelet.resources.hints import Hint, subsets

Asked = Mapping[str, int]
"""Bytes by resource: `memory`, `hugepages-2Mi`."""


class Block(msgspec.Struct, rename="camel"):
    """So many bytes of one resource, from these NUMA nodes."""

    numa_affinity: list[int]
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Bank:
    """One resource of one NUMA node, in bytes."""

    total: int
    reserved: int = 0
    """Not for pods."""
    elsewhere: int = 0
    """Set aside as huge pages, of memory."""

    @property
    def allocatable(self) -> int:
        return max(self.total - self.reserved - self.elsewhere, 0)


Banks = Mapping[int, Mapping[str, Bank]]
"""By NUMA node and resource."""


@dataclass(slots=True)
class NodeUse:
    """How one NUMA node is used."""

    free: dict[str, int]
    group: frozenset[int]
    """The nodes that it serves requests with; itself alone at first."""
    served: int = 0
    taken: dict[str, int] = field(default_factory=dict)


Use = Mapping[int, NodeUse]


def used(banks: Banks, blocks: Iterable[Block]) -> Use:
    """What these blocks leave. Raises ValueError for one that the machine has no place for."""
    use = {
        node: NodeUse({name: bank.allocatable for name, bank in has.items()}, frozenset((node,)))
        for node, has in banks.items()
    }
    for block in blocks:
        left = block.size
        for node in block.numa_affinity:
            if node not in use or block.type not in use[node].free:
                raise ValueError(f"the memory assignment uses {block.type} of NUMA node {node}, which does not exist")
            one = use[node]
            one.served += 1
            one.group = frozenset(block.numa_affinity)
            part = min(left, one.free[block.type])
            one.free[block.type] -= part
            one.taken[block.type] = one.taken.get(block.type, 0) + part
            left -= part
    return use


def hints(banks: Banks, use: Use, asked: Asked, reusable: Mapping[frozenset[int], Asked]) -> list[Hint]:
    """Sets of NUMA nodes that could serve the request. `reusable`: what the pod has of such sets already, to spare."""
    able = [
        nodes
        for nodes in subsets(frozenset(banks))
        if all(sum(_allocatable(banks, node, name) for node in nodes) >= size for name, size in asked.items())
    ]
    fewest = min(map(len, able), default=0)
    return [
        Hint(nodes, len(nodes) == fewest)
        for nodes in able
        if may_group(use, nodes) and suffices(use, nodes, asked, reusable.get(nodes, {}))
    ]


def may_group(use: Use, nodes: frozenset[int]) -> bool:
    """Whether these nodes serve nothing in another company."""
    if len(nodes) == 1:
        return all(len(use[node].group) == 1 for node in nodes)
    return all(not use[node].served or use[node].group == nodes for node in nodes)


def suffices(use: Use, nodes: frozenset[int], asked: Asked, reusable: Asked) -> bool:
    """Whether that much is free there."""
    return all(
        sum(use[node].free.get(name, 0) for node in nodes) + reusable.get(name, 0) >= size
        for name, size in asked.items()
    )


def best(found: Iterable[Hint]) -> Hint | None:
    """A preferred one, of as few nodes as can be."""
    return min(found, key=lambda hint: (not hint.preferred, len(hint.nodes or ())), default=None)


def _allocatable(banks: Banks, node: int, name: str) -> int:
    bank = banks[node].get(name)
    return bank.allocatable if bank is not None else 0


def read_banks(reserved: Mapping[int, Asked], system: Path = Path("/sys/devices/system/node")) -> Banks:
    """Of this machine. Raises OSError; ValueError for a reservation on a NUMA node that there is not."""
    found: dict[int, dict[str, Bank]] = {}
    for path in sorted(system.glob("node[0-9]*")):
        node = int(path.name.removeprefix("node"))
        kept = reserved.get(node, {})
        pages = {}
        for sort in sorted((path / "hugepages").glob("hugepages-*kB")):
            size = int(sort.name.removeprefix("hugepages-").removesuffix("kB")) << 10
            name = f"hugepages-{from_value(size, binary=True)}"
            pages[name] = Bank(size * int((sort / "nr_hugepages").read_text()), kept.get(name, 0))
        total = next(
            int(line.split()[3]) << 10 for line in (path / "meminfo").read_text().splitlines() if "MemTotal:" in line
        )
        memory = Bank(total, kept.get("memory", 0), sum(bank.total for bank in pages.values()))
        found[node] = {"memory": memory, **pages}
    for node in reserved:
        if node not in found:
            what = f"references a NUMA node {node} that does not exist on this machine"
            raise ValueError(f"the reserved memory configuration {what}")
    return found
