"""The machine's processors, and sets of them in the kernel's notation (`0-2,5`).

Source: pkg/kubelet/cm/cpumanager/topology; Documentation/admin-guide/cputopology.rst of Linux.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

Cpus = frozenset[int]


@dataclass(frozen=True, slots=True)
class Processor:
    """One logical processor, and where it is."""

    id: int
    core: int
    socket: int
    node: int
    """NUMA node."""
    cache: int = 0
    """Its last-level cache."""


def parse(text: str) -> Cpus:
    """Raises ValueError."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if low < 0 or high < low or high > 1 << 16:
            raise ValueError(f"{text!r} is not a list of processors")
        found.update(range(low, high + 1))
    return frozenset(found)


def written(cpus: Collection[int]) -> str:
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in _runs(sorted(cpus)))


def _runs(cpus: list[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for index in range(1, len(cpus) + 1):
        if index == len(cpus) or cpus[index] != cpus[index - 1] + 1:
            yield cpus[start], cpus[index - 1]
            start = index


def read_processors(system: Path = Path("/sys/devices/system")) -> list[Processor]:
    """Those that are online. Raises OSError."""
    nodes = {
        cpu: int(path.name.removeprefix("node"))
        for path in (system / "node").glob("node[0-9]*")
        for cpu in parse((path / "cpulist").read_text())
    }

    def stated(cpu: int, name: str) -> int:
        return int((system / "cpu" / f"cpu{cpu}" / "topology" / name).read_text())

    def cache(cpu: int) -> int:
        """The lowest processor below it; the socket where the machine does not tell."""
        shared = system / "cpu" / f"cpu{cpu}" / "cache" / "index3" / "shared_cpu_list"
        return min(parse(shared.read_text())) if shared.exists() else stated(cpu, "physical_package_id")

    return [
        Processor(cpu, stated(cpu, "core_id"), stated(cpu, "physical_package_id"), nodes.get(cpu, 0), cache(cpu))
        for cpu in sorted(parse((system / "cpu" / "online").read_text()))
    ]


def read_distances(system: Path = Path("/sys/devices/system")) -> dict[int, dict[int, int]]:
    """From each NUMA node to each, as the firmware tells. Raises OSError."""
    nodes = sorted(int(path.name.removeprefix("node")) for path in (system / "node").glob("node[0-9]*"))
    return {
        node: dict(
            zip(nodes, map(int, (system / "node" / f"node{node}" / "distance").read_text().split()), strict=True)
        )
        for node in nodes
    }
