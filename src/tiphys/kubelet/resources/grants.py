"""What one container is given, as it enters its configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.facts import is_sidecar
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.cri.common import Mount
from tiphys.kubelet.cri.containers import Device

Unit = TypeVar("Unit", bound=Hashable)


class NotAllocated(Exception):
    """A pod cannot have what it asks for. `str()` is as upstream words it."""

    @property
    def rejection(self) -> Rejection:
        return "UnexpectedAdmissionError", f"Allocate failed due to {self}, which is unexpected"


class Inadmissible(NotAllocated):
    """What it asks for is against a policy of this node."""

    reason: ClassVar[str]

    @property
    def rejection(self) -> Rejection:
        return self.reason, str(self)


def passes_on(pod: Pod, container: Container) -> bool:
    """Whether it is an init container that ends before the next one begins."""
    return container in pod.spec.init_containers and not is_sidecar(container)


def inherited(pod: Pod, container: Container, held: Callable[[str], Collection[Unit]]) -> set[Unit]:
    """What init containers before `container` had and no container that stays has, by `held(container name)`."""
    all_of_them = [*pod.spec.init_containers, *pod.spec.containers]
    before = all_of_them[: all_of_them.index(container)]
    passed = {unit for each in before if passes_on(pod, each) for unit in held(each.name)}
    return passed.difference(*(held(each.name) for each in before if not passes_on(pod, each)))


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
    memory_nodes: str = ""
    """NUMA nodes that its memory comes from, listed alike; empty: all."""
    alone: bool = False
    """They are this container's only, so their time needs no bound."""

    def add(self, other: Grant) -> None:
        self.environment |= other.environment
        self.mounts += (mount for mount in other.mounts if mount not in self.mounts)
        self.devices += (device for device in other.devices if device not in self.devices)
        self.annotations |= other.annotations
        self.cdi_devices += (name for name in other.cdi_devices if name not in self.cdi_devices)
        self.memory_nodes = self.memory_nodes or other.memory_nodes
        self.cpuset, self.alone = self.cpuset or other.cpuset, self.alone or other.alone


def merged(grants: Iterable[Grant]) -> Grant:
    whole = Grant()
    for grant in grants:
        whole.add(grant)
    return whole
