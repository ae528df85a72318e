"""What a simulated node looks like: its Node object and its Lease."""

from __future__ import annotations

import ipaddress
from collections import deque

from tiphys.api.kind import new
from tiphys.api.kinds import LEASE, NODE
from tiphys.api.kinds.coordination.lease import Lease, LeaseSpec
from tiphys.api.kinds.core.node import (
    DaemonEndpoint,
    Node,
    NodeAddress,
    NodeCondition,
    NodeDaemonEndpoints,
    NodeStatus,
    NodeSystemInfo,
)
from tiphys.api.kinds.core.resource_names import is_extended
from tiphys.api.meta.schema import Quantity
from tiphys.api.meta.types import OwnerReference
from tiphys.simulate.settings import SimulationSettings

LEASE_NAMESPACE = "kube-node-lease"
SIMULATED = "tiphys.dev/simulated"
"""Label of every simulated node."""

_DECLARED_FEATURES = (
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "RestartAllContainersOnContainerExits",
)
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def names(settings: SimulationSettings) -> list[str]:
    width = len(str(max(settings.nodes - 1, 0)))
    return [f"{settings.name_prefix}-{i:0{width}d}" for i in range(settings.nodes)]


def node_object(
    settings: SimulationSettings, index: int, name: str, address: str, now: str, kubelet: tuple[str, int] | None = None
) -> Node:
    """The Node as its kubelet would register it, Ready from the start.

    Where there is a `kubelet` API (address, port), its address comes first: that is where API servers call. Names come
    to them before addresses, by upstream's order of preference, and ours lead nowhere: then none is told.
    """
    node = new(NODE, name)
    node.metadata.labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": "amd64",
        SIMULATED: "true",
        **({"topology.kubernetes.io/zone": settings.zones[index % len(settings.zones)]} if settings.zones else {}),
        **settings.labels,
    }
    capacity = {resource: Quantity(amount) for resource, amount in settings.capacity.items()}
    node.status = NodeStatus(
        capacity=capacity,
        allocatable=dict(capacity),
        conditions=[
            NodeCondition(
                type=type_,
                status=status,
                reason=reason,
                message=message,
                last_heartbeat_time=now,
                last_transition_time=now,
            )
            for type_, status, reason, message in _CONDITIONS
        ],
        addresses=_addresses(name, address, kubelet),
        declared_features=list(_DECLARED_FEATURES),
        daemon_endpoints=NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=kubelet[1] if kubelet else 0)),
        node_info=NodeSystemInfo(
            architecture="amd64",
            operating_system="linux",
            os_image="Simulated",
            kernel_version="0.0.0-simulated",
            container_runtime_version="simulated://0.1.0",
            kubelet_version=settings.kubelet_version,
            machine_id=name,
            system_uuid=name,
            boot_id=name,
        ),
    )
    return node


def allocatable(status: NodeStatus) -> dict[str, Quantity]:
    """What pods may have: of extended resources, which others write into the capacity, all.

    Source: pkg/kubelet/nodestatus/setters.go (MachineInfo).
    """
    found = {name: amount for name, amount in status.allocatable.items() if not is_extended(name)}
    return found | {name: amount for name, amount in status.capacity.items() if is_extended(name)}


def _addresses(name: str, address: str, kubelet: tuple[str, int] | None) -> list[NodeAddress]:
    if kubelet is None:
        return [NodeAddress(type="InternalIP", address=address), NodeAddress(type="Hostname", address=name)]
    return [NodeAddress(type="InternalIP", address=each) for each in (kubelet[0], address)]


def lease_object(settings: SimulationSettings, node: Node, now: str) -> Lease:
    """The node's Lease, owned by the Node so that it goes with it. `now` is a micro-time."""
    lease: Lease = new(LEASE, node.metadata.name, LEASE_NAMESPACE)
    lease.metadata.owner_references = [
        OwnerReference(api_version="v1", kind="Node", name=node.metadata.name, uid=node.metadata.uid)
    ]
    lease.spec = LeaseSpec(
        holder_identity=node.metadata.name, lease_duration_seconds=settings.lease_duration_s, renew_time=now
    )
    return lease


class Addresses:
    """Hands out the addresses of a network, lowest first, then returned ones, oldest first. Raises OverflowError when
    all are out."""

    def __init__(self, network: str) -> None:
        self._network = ipaddress.ip_network(network)
        self._next = 1
        self._free: deque[str] = deque()
        self._taken: set[str] = set()

    def take(self) -> str:
        while self._next < self._network.num_addresses - 1:
            address = str(self._network[self._next])
            self._next += 1
            if address not in self._taken:
                self._taken.add(address)
                return address
        if not self._free:
            raise OverflowError(f"all addresses of {self._network} are in use")
        address = self._free.popleft()
        self._taken.add(address)
        return address

    def reserve(self, address: str) -> None:
        """`address` is in use already, from before a restart."""
        self._taken.add(address)

    def give_back(self, address: str) -> None:
        """Frees `address`; one that was never taken is ignored."""
        if address in self._taken:
            self._taken.discard(address)
            if ipaddress.ip_address(address) in self._network:
                self._free.append(address)
