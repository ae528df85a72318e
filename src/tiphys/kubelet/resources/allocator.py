"""All that is allocated to pods one by one, behind one door: asked at admission, at each container's start, at the end.

Source: pkg/kubelet/cm/container_manager_linux.go, topologymanager/scope_container.go.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import ResourceHealth, ResourceStatus
from tiphys.api.meta.schema import Quantity
from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.resources.cdi import CdiDevices
from tiphys.kubelet.resources.claims.prepared import ClaimedDevices
from tiphys.kubelet.resources.cpus.static import ExclusiveCpus
from tiphys.kubelet.resources.cpus.topology import written
from tiphys.kubelet.resources.devices.messages import HEALTHY, PluginDevice
from tiphys.kubelet.resources.devices.plugins import DevicePlugins
from tiphys.kubelet.resources.grants import Grant, NotAllocated, merged
from tiphys.kubelet.resources.hints import Hint, Topology, Wishes, merge
from tiphys.kubelet.resources.memory.static import PinnedMemory


class Pinned(Protocol):
    """What is given to containers as they are admitted, near certain NUMA nodes."""

    def hints(self, pod: Pod, container: Container) -> list[Hint] | None:
        """Sets of NUMA nodes that could serve the container; None: it does not care."""

    def hints_of_pod(self, pod: Pod) -> list[Hint] | None:
        """The same for all its containers together."""

    def allocate(self, pod: Pod, container: Container, near: Hint) -> None:
        """Raises NotAllocated."""

    def release(self, uid: str) -> None: ...

    def retain(self, uids: set[str]) -> None: ...


class NodeResources:
    """Owned by the kubelet, used by every pod's worker."""

    def __init__(
        self,
        devices: DevicePlugins,
        claims: ClaimedDevices,
        cdi: CdiDevices,
        cpus: ExclusiveCpus | None,
        memory: PinnedMemory | None,
        topology: Topology,
    ) -> None:
        """`cpus`: None where all processors are shared; `memory`: None where it comes from anywhere."""
        self.devices, self.claims, self.cpus, self.memory, self._cdi = devices, claims, cpus, memory, cdi
        self._pinned: list[Pinned] = [each for each in (cpus, memory) if each is not None]
        self._topology = topology
        self._turn = asyncio.Lock()

    async def admit(self, pod: Pod) -> Rejection | None:
        """Give a new pod what it asks for; why not, where it cannot have it. One pod at a time."""
        containers = (*pod.spec.init_containers, *pod.spec.containers)
        if not self._pinned and not any(self.devices.wanted(pod, container) for container in containers):
            return None
        async with self._turn:
            try:
                near = self._near(self._wishes_of_pod(pod)) if self._topology.by_pod else None
                for container in containers:
                    await self._allocate(pod, container, near or self._near(self._wishes(pod, container)))
            except NotAllocated as error:
                self.free(pod.metadata.uid)
                return error.rejection
            except BaseException:
                self.free(pod.metadata.uid)
                raise
        return None

    async def _allocate(self, pod: Pod, container: Container, near: Hint) -> None:
        await self.devices.allocate(pod, container, near)
        for each in self._pinned:
            each.allocate(pod, container, near)

    def _near(self, wishes: Wishes) -> Hint:
        """The NUMA nodes that suit all. Raises Misaligned."""
        return merge(self._topology, wishes)

    def _wishes(self, pod: Pod, container: Container) -> Wishes:
        return [*self.devices.hints(pod, container), *(each.hints(pod, container) for each in self._pinned)]

    def _wishes_of_pod(self, pod: Pod) -> Wishes:
        return [*self.devices.hints_of_pod(pod), *(each.hints_of_pod(pod) for each in self._pinned)]

    async def prepare(self, pod: Pod) -> None:
        """Before its sandbox is made. Raises NotAllocated, OSError."""
        await self.claims.prepare(pod)

    async def grant(self, pod: Pod, container: Container | EphemeralContainer) -> Grant:
        """What enters the container's configuration. Raises NotAllocated."""
        given = merged((await self.devices.grant(pod, container.name), self.claims.grant(pod, container)))
        names, given.cdi_devices = given.cdi_devices, []
        given.add(self._cdi.resolve(names))
        if self.cpus is not None:
            uid = pod.metadata.uid
            given.cpuset = written(self.cpus.of(uid, container.name))
            given.alone = bool(self.cpus.alone(uid, container.name))
        if self.memory is not None:
            given.memory_nodes = written(self.memory.nodes_of(pod.metadata.uid, container.name))
        return given

    def free(self, uid: str) -> None:
        """The pod has ended: others may have what was its own."""
        self.devices.release(uid)
        for each in self._pinned:
            each.release(uid)

    async def release(self, uid: str) -> None:
        """Its containers are gone. Raises OSError."""
        self.free(uid)
        try:
            await self.claims.undo(uid)
        except NotAllocated as error:
            raise OSError(str(error)) from None

    def left_behind(self, uids: set[str]) -> set[str]:
        """At start: frees what pods other than these had; those with claims, which drivers have yet to undo."""
        self.devices.retain(uids)
        for each in self._pinned:
            each.retain(uids)
        return set(self.claims.ledger.holders()) - uids

    def amounts(self) -> tuple[dict[str, Quantity], dict[str, Quantity]]:
        """More of the node's capacity, and of what pods may take of it."""
        found = self.devices.amounts()
        capacity = {name: Quantity(str(whole)) for name, (whole, _) in found.items()}
        return capacity, {name: Quantity(str(healthy)) for name, (_, healthy) in found.items()}

    def health(self, uid: str) -> dict[str, list[ResourceStatus]]:
        """By container name: how its devices fare."""
        ledger = self.devices.ledger
        return {
            container: [
                ResourceStatus(
                    name=resource,
                    resources=[
                        ResourceHealth(resource_id=name, health=_health(ledger.devices(resource).get(name)))
                        for name in assigned.ids
                    ],
                )
                for resource, assigned in given.items()
            ]
            for container, given in ledger.of_pod(uid).items()
        }


def _health(device: PluginDevice | None) -> str:
    """A device that is not listed any more is not known to be ill."""
    return "Healthy" if device is None or device.health == HEALTHY else "Unhealthy"
