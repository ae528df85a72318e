"""What the machine has: cores, memory, disk. Read once; a node does not grow while it runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tiphys.api.meta.schema import Quantity
from tiphys.base.quantity import from_milli, from_value


@dataclass(frozen=True, slots=True)
class Capacity:
    """The node's resources and identity."""

    cpu_milli: int
    memory_bytes: int
    disk_bytes: int
    max_pods: int

    def quantities(self) -> dict[str, Quantity]:
        """As `status.capacity` has it."""
        return {
            "cpu": Quantity(from_milli(self.cpu_milli)),
            "ephemeral-storage": Quantity(f"{self.disk_bytes // 1024}Ki"),
            "hugepages-1Gi": Quantity("0"),
            "hugepages-2Mi": Quantity("0"),
            "memory": Quantity(f"{self.memory_bytes // 1024}Ki"),
            "pods": Quantity(str(self.max_pods)),
        }

    def allocatable(self) -> dict[str, Quantity]:
        """What pods may take: nothing is reserved but the eviction margins (100 MiB of memory, a tenth of the disk)."""
        made = self.quantities()
        made["memory"] = Quantity(f"{max(self.memory_bytes - (100 << 20), 0) // 1024}Ki")
        made["ephemeral-storage"] = Quantity(from_value(self.disk_bytes * 9 // 10))
        return made


def read_capacity(root: Path, max_pods: int) -> Capacity:
    """Of this machine; `root` names the file system that counts."""
    memory = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) * 1024
    disk = os.statvfs(root)
    cores = len(os.sched_getaffinity(0))
    return Capacity(cores * 1000, memory, disk.f_blocks * disk.f_frsize, max_pods)
