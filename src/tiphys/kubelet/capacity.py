"""What the machine has: cores, memory, disk. Read once; a node does not grow while it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.api.meta.schema import Quantity
from tiphys.base.quantity import from_milli, from_value
from tiphys.kubelet.reservations import NOTHING, Reservations, reservations
from tiphys.kubelet.resources.cpus.topology import parse
from tiphys.kubelet.settings import KubeletSettings


@dataclass(frozen=True, slots=True)
class Capacity:
    """The node's resources and identity."""

    cpu_milli: int
    memory_bytes: int
    disk_bytes: int
    max_pods: int
    huge_pages: Mapping[int, int] = field(default_factory=dict)
    """Pages that are set aside, by their size in bytes."""
    reserved: Reservations = NOTHING
    """Not for pods."""
    swap_bytes: int = 0

    def quantities(self) -> dict[str, Quantity]:
        """As `status.capacity` has it."""
        return {
            "cpu": Quantity(from_milli(self.cpu_milli)),
            "ephemeral-storage": Quantity(f"{self.disk_bytes // 1024}Ki"),
            **{
                f"hugepages-{from_value(size, binary=True)}": Quantity(from_value(size * count, binary=True))
                for size, count in sorted(self.huge_pages.items())
            },
            "memory": Quantity(f"{self.memory_bytes // 1024}Ki"),
            "pods": Quantity(str(self.max_pods)),
        }

    def allocatable(self) -> dict[str, Quantity]:
        """What pods may take: all but what is reserved, and of memory what is set aside as huge pages."""
        made = self.quantities()
        made["cpu"] = Quantity(from_milli(self.cpu_milli - self.reserved.cpu_milli))
        huge = sum(size * count for size, count in self.huge_pages.items())
        made["memory"] = Quantity(f"{max(self.memory_bytes - huge - self.reserved.memory_bytes, 0) // 1024}Ki")
        made["ephemeral-storage"] = Quantity(from_value(self.disk_bytes - self.reserved.disk_bytes))
        return made


def read_capacity(settings: KubeletSettings) -> Capacity:
    """Of this machine; the file system of `root_dir` counts. Raises OSError, ValueError."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    figures = {words[0]: int(words[1]) * 1024 for words in lines}
    memory, swap = figures["MemTotal:"], figures.get("SwapTotal:", 0)
    disk = os.statvfs(settings.root_dir)
    disk_bytes = disk.f_blocks * disk.f_frsize
    cores = len(os.sched_getaffinity(0))
    pages = {
        int(path.name.removeprefix("hugepages-").removesuffix("kB")) << 10: int((path / "nr_hugepages").read_text())
        for path in Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB")
    }
    reserved = reservations(settings, memory, disk_bytes, len(parse(settings.reserved_cpus)))
    return Capacity(cores * 1000, memory, disk_bytes, settings.max_pods, pages, reserved, swap)
