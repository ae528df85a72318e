"""How a pod fares. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kinds.core.pod.containers import ResourceRequirements
from tiphys.api.meta.schema import Int32, Quantity, Struct, Time, empty_list, field, proto


class ContainerStateWaiting(Struct):
    """The container is not running yet or not now, and why."""

    reason: Annotated[str, proto(1)] = ""
    message: Annotated[str, proto(2)] = ""


class ContainerStateRunning(Struct):
    """The container is running."""

    started_at: Annotated[Time | None, proto(1)] = None


class ContainerStateTerminated(Struct):
    """The container ended, how and when."""

    exit_code: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    signal: Annotated[Int32, proto(2)] = 0
    reason: Annotated[str, proto(3)] = ""
    message: Annotated[str, proto(4)] = ""
    started_at: Annotated[Time | None, proto(5)] = None
    finished_at: Annotated[Time | None, proto(6)] = None
    container_id: Annotated[str, proto(7)] = ""


class ContainerState(Struct):
    """One of waiting, running, terminated."""

    waiting: Annotated[ContainerStateWaiting | None, proto(1)] = None
    running: Annotated[ContainerStateRunning | None, proto(2)] = None
    terminated: Annotated[ContainerStateTerminated | None, proto(3)] = None


class ImageVolumeStatus(Struct):
    """Which image a volume holds."""

    image_ref: Annotated[str, proto(1, required=True)] = ""


class VolumeStatus(Struct):
    """How a mounted volume fares."""

    image: Annotated[ImageVolumeStatus | None, proto(1)] = None


class VolumeMountStatus(Struct):
    """How a mount turned out."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    mount_path: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    read_only: Annotated[bool, proto(3)] = False
    recursive_read_only: Annotated[str | None, proto(4)] = None
    volume_status: Annotated[VolumeStatus | None, proto(5)] = None


class LinuxContainerUser(Struct):
    """The ids a container's first process got."""

    uid: Annotated[int, proto(1, required=True)] = field(default_factory=int)
    gid: Annotated[int, proto(2, required=True)] = field(default_factory=int)
    supplemental_groups: Annotated[list[int], proto(3, list_type="atomic")] = []


class ContainerUser(Struct):
    """As whom a container's first process runs."""

    linux: Annotated[LinuxContainerUser | None, proto(1)] = None


class ResourceHealth(Struct):
    """How one device fares."""

    resource_id: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    health: Annotated[str, proto(2)] = ""
    message: Annotated[str | None, proto(6)] = None


class ResourceStatus(Struct):
    """How the devices of one resource fare."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    resources: Annotated[list[ResourceHealth], proto(2, list_type="map", list_map_keys=("resourceID",))] = []


class ContainerStatus(Struct):
    """How a container fares: state, restarts, readiness."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    state: Annotated[ContainerState, proto(2)] = field(default_factory=ContainerState)
    last_state: Annotated[ContainerState, proto(3)] = field(default_factory=ContainerState)
    ready: Annotated[bool, proto(4, required=True)] = field(default_factory=bool)
    restart_count: Annotated[Int32, proto(5, required=True)] = field(default_factory=int)
    image: Annotated[str, proto(6, required=True)] = field(default_factory=str)
    image_id: Annotated[str, proto(7, required=True)] = field(default_factory=str)
    container_id: Annotated[str, proto(8)] = ""
    started: Annotated[bool | None, proto(9)] = None
    allocated_resources: Annotated[dict[str, Quantity], proto(10)] = {}
    resources: Annotated[ResourceRequirements | None, proto(11)] = None
    volume_mounts: Annotated[
        list[VolumeMountStatus], proto(12, merge_key="mountPath", list_type="map", list_map_keys=("mountPath",))
    ] = []
    user: Annotated[ContainerUser | None, proto(13)] = None
    allocated_resources_status: Annotated[
        list[ResourceStatus], proto(14, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = []
    stop_signal: Annotated[str | None, proto(15)] = None


class PodCondition(Struct):
    """One aspect of a pod's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    observed_generation: Annotated[int, proto(7)] = 0
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_probe_time: Annotated[Time | None, proto(3)] = None
    last_transition_time: Annotated[Time | None, proto(4)] = None
    reason: Annotated[str, proto(5)] = ""
    message: Annotated[str, proto(6)] = ""


class PodIP(Struct):
    """An address of the pod."""

    ip: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class HostIP(Struct):
    """An address of the pod's node."""

    ip: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class PodResourceClaimStatus(Struct):
    """The claim that was made for the pod."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    resource_claim_name: Annotated[str | None, proto(2)] = None


class ContainerExtendedResourceRequest(Struct):
    """Which device request stands for an extended resource of a container."""

    container_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    resource_name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    request_name: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class PodExtendedResourceClaimStatus(Struct):
    """The claim that serves the pod's extended resources."""

    request_mappings: Annotated[list[ContainerExtendedResourceRequest], proto(1, required=True, list_type="atomic")] = (
        field(default_factory=empty_list)
    )
    resource_claim_name: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class NodeAllocatableResourceClaimStatus(Struct):
    """What a claim takes of the node's own resources."""

    resource_claim_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    containers: Annotated[list[str], proto(2, list_type="set")] = []
    resources: Annotated[dict[str, Quantity], proto(3, required=True)] = {}


class PodStatus(Struct):
    """Phase, conditions, addresses and containers of a pod."""

    observed_generation: Annotated[int, proto(17)] = 0
    phase: Annotated[str, proto(1)] = ""
    conditions: Annotated[list[PodCondition], proto(2, merge_key="type", list_type="map", list_map_keys=("type",))] = []
    message: Annotated[str, proto(3)] = ""
    reason: Annotated[str, proto(4)] = ""
    nominated_node_name: Annotated[str, proto(11)] = ""
    host_ip: Annotated[str, proto(5)] = ""
    host_ips: Annotated[list[HostIP], proto(16, merge_key="ip", list_type="atomic")] = []
    pod_ip: Annotated[str, proto(6)] = ""
    pod_ips: Annotated[list[PodIP], proto(12, merge_key="ip", list_type="map", list_map_keys=("ip",))] = []
    start_time: Annotated[Time | None, proto(7)] = None
    init_container_statuses: Annotated[list[ContainerStatus], proto(10, list_type="atomic")] = []
    container_statuses: Annotated[list[ContainerStatus], proto(8, list_type="atomic")] = []
    qos_class: Annotated[str, proto(9)] = ""
    ephemeral_container_statuses: Annotated[list[ContainerStatus], proto(13, list_type="atomic")] = []
    resize: Annotated[str, proto(14)] = ""
    resource_claim_statuses: Annotated[
        list[PodResourceClaimStatus],
        proto(15, merge_key="name", retain_keys=True, list_type="map", list_map_keys=("name",)),
    ] = []
    extended_resource_claim_status: Annotated[PodExtendedResourceClaimStatus | None, proto(18)] = None
    allocated_resources: Annotated[dict[str, Quantity], proto(19)] = {}
    resources: Annotated[ResourceRequirements | None, proto(20)] = None
    node_allocatable_resource_claim_statuses: Annotated[
        list[NodeAllocatableResourceClaimStatus], proto(21, gate="DRANodeAllocatableResources", list_type="atomic")
    ] = []
