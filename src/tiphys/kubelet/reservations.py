"""What of the machine pods may not have: what is reserved for the system, and the margins that eviction keeps free.

Source: pkg/kubelet/cm/node_container_manager_linux.go (getNodeAllocatableAbsolute), memorymanager/memory_manager.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tiphys.base.quantity import from_value, milli, value
from tiphys.kubelet.eviction.thresholds import parse_amount
from tiphys.kubelet.settings import KubeletSettings

RESERVABLE = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class Reservations:
    """Of a node's capacity."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0


NOTHING = Reservations()


def reservations(settings: KubeletSettings, memory_bytes: int, disk_bytes: int, reserved_cpus: int) -> Reservations:
    """`reserved_cpus`: processors named in the settings, which count instead of amounts. Raises ValueError."""

    def margin(signal: str, capacity: int) -> int:
        return parse_amount(signal, settings.eviction_hard.get(signal, "0")).of(capacity)

    return Reservations(
        reserved_cpus * 1000 or _amount(settings, "cpu"),
        _amount(settings, "memory") + margin("memory.available", memory_bytes),
        _amount(settings, "ephemeral-storage") + margin("nodefs.available", disk_bytes),
    )


def _amount(settings: KubeletSettings, resource: str) -> int:
    read = milli if resource == "cpu" else value
    return sum(read(given.get(resource, "0")) for given in (settings.kube_reserved, settings.system_reserved))


def check_memory(reserved: Mapping[int, Mapping[str, int]], whole: Reservations) -> None:
    """What NUMA nodes keep must add up to what the node keeps. Raises ValueError."""
    names = {"memory"}.union(*reserved.values())
    for name in sorted(names):
        total = sum(has.get(name, 0) for has in reserved.values())
        due = whole.memory_bytes if name == "memory" else 0
        if total != due:
            amounts = f'"{from_value(total, binary=True)}" of type "{name}"'
            what = f'is not equal to the value "{from_value(due, binary=True)}" determined by Node Allocatable feature'
            raise ValueError(f"the total amount {amounts} {what}")
