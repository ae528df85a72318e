"""All that is allocated to pods one by one, behind one door: asked at admission, at each container's start, at the end.

Source: pkg/kubelet/cm/container_manager_linux.go, topologymanager/scope_container.go.
"""

from __future__ import annotations

from collections.abc import Collection

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
from tiphys.kubelet.resources.hints import Affinity, Misaligned, merge


class NodeResources:
    """Owned by the kubelet, used by every pod's worker."""

    def __init__(
        self,
        devices: DevicePlugins,
        claims: ClaimedDevices,
        cdi: CdiDevices,
        cpus: ExclusiveCpus | None,
        topology: tuple[str, Collection[int]],
    ) -> None:
        """`cpus`: None where all processors are shared; `topology`: the policy, and the NUMA nodes."""
        self.devices, self.claims, self.cpus, self._cdi = devices, claims, cpus, cdi
        self._policy, self._nodes = topology

    async def admit(self, pod: Pod) -> Rejection | None:
        """Give a new pod what it asks for; why not, where it cannot have it."""
        try:
            await self.devices.allocate(pod, lambda container: self._affinity(pod, container))
            if self.cpus is not None:
                self.cpus.allocate(pod, lambda container: self._affinity(pod, container))
        except Misaligned as error:
            self.free(pod.metadata.uid)
            return "TopologyAffinityError", str(error)
        except NotAllocated as error:
            self.free(pod.metadata.uid)
            return "UnexpectedAdmissionError", f"Allocate failed due to {error}, which is unexpected"
        return None

    def _affinity(self, pod: Pod, container: Container) -> Affinity:
        """The NUMA nodes that suit all that the container asks for. Raises Misaligned."""
        wishes = self.devices.hints(pod, container)
        if self.cpus is not None:
            wishes.append(self.cpus.hints(pod, container))
        return merge(self._policy, self._nodes, wishes)

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
        return given

    def free(self, uid: str) -> None:
        """The pod has ended: others may have what was its own."""
        self.devices.release(uid)
        if self.cpus is not None:
            self.cpus.release(uid)

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
        if self.cpus is not None:
            self.cpus.retain(uids)
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
