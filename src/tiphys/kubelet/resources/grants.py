"""What one container is given, as it enters its configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tiphys.kubelet.cri.common import Mount
from tiphys.kubelet.cri.containers import Device


class NotAllocated(Exception):
    """A pod cannot have what it asks for. `str()` is as upstream words it."""


@dataclass(slots=True)
class Grant:
    """Added to a container's configuration; what the pod says itself wins."""

    environment: dict[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    cdi_devices: list[str] = field(default_factory=list)
    """Qualified names, `vendor.com/class=name`."""
    cpuset: str = ""
    """Processors, as the kernel lists them (`0-2,5`); empty: all."""
    alone: bool = False
    """They are this container's only, so their time needs no bound."""

    def add(self, other: Grant) -> None:
        self.environment |= other.environment
        self.mounts += (mount for mount in other.mounts if mount not in self.mounts)
        self.devices += (device for device in other.devices if device not in self.devices)
        self.annotations |= other.annotations
        self.cdi_devices += (name for name in other.cdi_devices if name not in self.cdi_devices)
        self.cpuset, self.alone = self.cpuset or other.cpuset, self.alone or other.alone


def merged(grants: Iterable[Grant]) -> Grant:
    whole = Grant()
    for grant in grants:
        whole.add(grant)
    return whole
