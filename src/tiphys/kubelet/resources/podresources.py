"""The pod resources API (`pod-resources/kubelet.sock`, v1): monitoring agents ask which pod has which device.

Source: staging/src/k8s.io/kubelet/pkg/apis/podresources/v1/api.proto, pkg/kubelet/apis/podresources/server_v1.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.facts import is_sidecar
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import Struct, proto
from tiphys.client.sockets import Method, Refused, SocketServer
from tiphys.kubelet.resources.allocator import NodeResources
from tiphys.kubelet.resources.claims.ledger import PreparedClaim
from tiphys.kubelet.resources.devices.messages import CDIDevice, NumaNode, TopologyInfo
from tiphys.kubelet.resources.memory.banks import Block

SERVICE = "/v1.PodResourcesLister/"


class Empty(Struct):
    """A request for all."""


class ContainerDevices(Struct):
    resource_name: Annotated[str, proto(1)] = ""
    device_ids: Annotated[list[str], proto(2)] = []
    topology: Annotated[TopologyInfo | None, proto(3)] = None


class ContainerMemory(Struct):
    memory_type: Annotated[str, proto(1)] = ""
    size: Annotated[int, proto(2)] = 0
    topology: Annotated[TopologyInfo | None, proto(3)] = None


class ClaimResource(Struct):
    cdi_devices: Annotated[list[CDIDevice], proto(1)] = []
    driver_name: Annotated[str, proto(2)] = ""
    pool_name: Annotated[str, proto(3)] = ""
    device_name: Annotated[str, proto(4)] = ""
    share_id: Annotated[str | None, proto(5)] = None


class DynamicResource(Struct):
    claim_name: Annotated[str, proto(2)] = ""
    claim_namespace: Annotated[str, proto(3)] = ""
    claim_resources: Annotated[list[ClaimResource], proto(4)] = []


class ContainerResources(Struct):
    name: Annotated[str, proto(1)] = ""
    devices: Annotated[list[ContainerDevices], proto(2)] = []
    cpu_ids: Annotated[list[int], proto(3)] = []
    memory: Annotated[list[ContainerMemory], proto(4)] = []
    dynamic_resources: Annotated[list[DynamicResource], proto(5)] = []


class PodResources(Struct):
    name: Annotated[str, proto(1)] = ""
    namespace: Annotated[str, proto(2)] = ""
    containers: Annotated[list[ContainerResources], proto(3)] = []


class ListAnswer(Struct):
    pod_resources: Annotated[list[PodResources], proto(1)] = []


class AllocatableAnswer(Struct):
    devices: Annotated[list[ContainerDevices], proto(1)] = []
    cpu_ids: Annotated[list[int], proto(2)] = []
    memory: Annotated[list[ContainerMemory], proto(3)] = []


class GetRequest(Struct):
    pod_name: Annotated[str, proto(1)] = ""
    pod_namespace: Annotated[str, proto(2)] = ""


class GetAnswer(Struct):
    pod_resources: Annotated[PodResources | None, proto(1)] = None


class PodResourcesApi:
    """Serves what `resources` knows of the pods that run here."""

    def __init__(self, root_dir: Path, resources: NodeResources, pods: Callable[[], Iterable[Pod]]) -> None:
        self._resources, self._pods = resources, pods
        self._server = SocketServer(
            root_dir / "pod-resources" / "kubelet.sock",
            {
                SERVICE + "List": Method(Empty, self._list),
                SERVICE + "GetAllocatableResources": Method(Empty, self._allocatable),
                SERVICE + "Get": Method(GetRequest, self._get),
            },
        )

    async def run(self) -> None:
        """Until cancelled. Raises OSError."""
        try:
            await self._server.start()
            await asyncio.Event().wait()
        finally:
            await self._server.stop()

    async def _list(self, _: Struct) -> Struct:
        return ListAnswer(pod_resources=[self._of(pod) for pod in self._pods()])

    async def _get(self, request: GetRequest) -> Struct:
        for pod in self._pods():
            if (pod.metadata.namespace, pod.metadata.name) == (request.pod_namespace, request.pod_name):
                return GetAnswer(pod_resources=self._of(pod))
        raise Refused("UNKNOWN", f"pod {request.pod_name} in namespace {request.pod_namespace} not found")

    async def _allocatable(self, _: Struct) -> Struct:
        ledger, cpus, memory = self._resources.devices.ledger, self._resources.cpus, self._resources.memory
        devices = [self._device(resource, name) for resource in ledger.resources for name in ledger.healthy(resource)]
        return AllocatableAnswer(
            devices=devices,
            cpu_ids=sorted(cpus.allocatable) if cpus is not None else [],
            memory=[_memory(block) for block in memory.allocatable] if memory is not None else [],
        )

    def _of(self, pod: Pod) -> PodResources:
        containers = [*filter(is_sidecar, pod.spec.init_containers), *pod.spec.containers]
        meta = pod.metadata
        return PodResources(meta.name, meta.namespace, [self._container(pod, container) for container in containers])

    def _container(self, pod: Pod, container: Container) -> ContainerResources:
        uid, cpus, claims = pod.metadata.uid, self._resources.cpus, self._resources.claims
        memory = self._resources.memory
        given = self._resources.devices.ledger.of(uid, container.name)
        return ContainerResources(
            name=container.name,
            devices=[self._device(resource, name) for resource, assigned in given.items() for name in assigned.ids],
            cpu_ids=sorted(cpus.alone(uid, container.name)) if cpus is not None else [],
            memory=[_memory(block) for block in memory.of(uid, container.name)] if memory is not None else [],
            dynamic_resources=[_claimed(claim, request) for claim, request in claims.used(pod, container)],
        )

    def _device(self, resource: str, name: str) -> ContainerDevices:
        """One device at a time: each may be near other NUMA nodes."""
        nodes = self._resources.devices.ledger.nodes_of(resource, name)
        return ContainerDevices(resource_name=resource, device_ids=[name], topology=_topology(sorted(nodes)))


def _topology(nodes: Sequence[int]) -> TopologyInfo | None:
    return TopologyInfo(nodes=[NumaNode(id=node) for node in nodes]) if nodes else None


def _memory(block: Block) -> ContainerMemory:
    return ContainerMemory(block.type, block.size, _topology(block.numa_affinity))


def _claimed(claim: PreparedClaim, request: str) -> DynamicResource:
    resources = [
        ClaimResource(
            cdi_devices=[CDIDevice(name=name) for name in device.cdi_device_ids],
            driver_name=driver,
            pool_name=device.pool_name,
            device_name=device.device_name,
            share_id=device.share_id,
        )
        for driver, device in claim.devices_for(request)
    ]
    return DynamicResource(claim_name=claim.name, claim_namespace=claim.namespace, claim_resources=resources)
