"""What every pod's worker shares on this node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.service import Service
from tiphys.base.clock import Clock
from tiphys.client.events import Recorder
from tiphys.client.interface import Client, Informer
from tiphys.kubelet.actions import Actions
from tiphys.kubelet.backoff import RestartBackoff
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.cgroups import CgroupTree, container_resources
from tiphys.kubelet.cri.client import CriClient
from tiphys.kubelet.cri.common import LinuxContainerResources
from tiphys.kubelet.hosts import Resolver
from tiphys.kubelet.images.puller import ImagePuller
from tiphys.kubelet.images.volumes import ImageVolumes
from tiphys.kubelet.metrics import KubeletMetrics
from tiphys.kubelet.probes import Prober
from tiphys.kubelet.references import References
from tiphys.kubelet.resources.allocator import NodeResources
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.statuswriter import StatusWriter
from tiphys.kubelet.turns import Turns
from tiphys.kubelet.volumes.persistent import NodeVolumes
from tiphys.kubelet.volumes.rendered import Rendered
from tiphys.kubelet.volumes.tokens import Tokens


@dataclass(frozen=True, slots=True)
class NodeContext:
    """Built once by `Kubelet.run`."""

    settings: KubeletSettings
    client: Client
    clock: Clock
    recorder: Recorder
    cri: CriClient
    cgroups: CgroupTree
    capacity: Capacity
    resolver: Resolver
    references: References
    tokens: Tokens
    volumes: NodeVolumes
    resources: NodeResources
    rendered: Rendered
    puller: ImagePuller
    image_volumes: ImageVolumes
    actions: Actions
    prober: Prober
    statuses: StatusWriter
    metrics: KubeletMetrics
    restarts: RestartBackoff
    services: Informer[Service]
    turns: Turns
    network_problem: Callable[[], str]
    """Why pods cannot have a network yet; empty: they can."""
    image_ready: asyncio.Event
    """Set once the sandbox image is there."""
    node: Callable[[], Node | None]
    neighbours: Callable[[], Iterable[Pod]]
    """The pods that hold resources here, with what they were promised."""

    @property
    def node_ips(self) -> tuple[str, ...]:
        return tuple(self.settings.node_ip.split(","))

    def container_resources(self, pod: Pod, container: Container) -> LinuxContainerResources:
        """What the runtime writes into the container's cgroup, on this node."""
        swap = self.settings.swap_behaviour if self.cgroups.swap_limited else ""
        return container_resources(pod, container, self.capacity, unified=self.cgroups.unified, swap=swap)
