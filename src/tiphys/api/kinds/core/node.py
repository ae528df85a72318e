"""DOC:kinds/core/node.py"""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.core.references import Taint
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Quantity, Struct, Time, empty_list, field, proto


class ConfigMapNodeConfigSource(Struct):
    """DOC:core.ConfigMapNodeConfigSource"""

    namespace: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    uid: Annotated[str, proto(3)] = ""
    resource_version: Annotated[str, proto(4)] = ""
    kubelet_config_key: Annotated[str, proto(5, required=True)] = field(default_factory=str)


class NodeConfigSource(Struct):
    """DOC:core.NodeConfigSource"""

    config_map: Annotated[ConfigMapNodeConfigSource | None, proto(2)] = None


class NodeSpec(Struct):
    """DOC:core.NodeSpec"""

    pod_cidr: Annotated[str, proto(1)] = ""
    pod_cidrs: Annotated[list[str], proto(7, merge=True, list_type="set")] = []
    provider_id: Annotated[str, proto(3)] = ""
    unschedulable: Annotated[bool, proto(4)] = False
    taints: Annotated[list[Taint], proto(5, list_type="atomic")] = []
    config_source: Annotated[NodeConfigSource | None, proto(6)] = None
    external_id: Annotated[str, proto(2)] = ""


class NodeAddress(Struct):
    """DOC:core.NodeAddress"""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    address: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class DaemonEndpoint(Struct):
    """DOC:core.DaemonEndpoint"""

    port: Annotated[Int32, proto(1, required=True)] = field(default_factory=int, name="Port")


class NodeDaemonEndpoints(Struct):
    """DOC:core.NodeDaemonEndpoints"""

    kubelet_endpoint: Annotated[DaemonEndpoint, proto(1)] = field(default_factory=DaemonEndpoint)


class NodeCondition(Struct):
    """DOC:core.NodeCondition"""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_heartbeat_time: Annotated[Time | None, proto(3)] = None
    last_transition_time: Annotated[Time | None, proto(4)] = None
    reason: Annotated[str, proto(5)] = ""
    message: Annotated[str, proto(6)] = ""


class NodeSwapStatus(Struct):
    """DOC:core.NodeSwapStatus"""

    capacity: Annotated[int | None, proto(1)] = None


class NodeSystemInfo(Struct):
    """DOC:core.NodeSystemInfo"""

    machine_id: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    system_uuid: Annotated[str, proto(2, required=True)] = field(default_factory=str, name="systemUUID")
    boot_id: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    kernel_version: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    os_image: Annotated[str, proto(5, required=True)] = field(default_factory=str)
    container_runtime_version: Annotated[str, proto(6, required=True)] = field(default_factory=str)
    kubelet_version: Annotated[str, proto(7, required=True)] = field(default_factory=str)
    kube_proxy_version: Annotated[str, proto(8, required=True)] = field(default_factory=str)
    operating_system: Annotated[str, proto(9, required=True)] = field(default_factory=str)
    architecture: Annotated[str, proto(10, required=True)] = field(default_factory=str)
    swap: Annotated[NodeSwapStatus | None, proto(11)] = None


class ContainerImage(Struct):
    """DOC:core.ContainerImage"""

    names: Annotated[list[str], proto(1, list_type="atomic")] = field(default_factory=empty_list)
    size_bytes: Annotated[int, proto(2)] = 0


class AttachedVolume(Struct):
    """DOC:core.AttachedVolume"""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    device_path: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class NodeConfigStatus(Struct):
    """DOC:core.NodeConfigStatus"""

    assigned: Annotated[NodeConfigSource | None, proto(1)] = None
    active: Annotated[NodeConfigSource | None, proto(2)] = None
    last_known_good: Annotated[NodeConfigSource | None, proto(3)] = None
    error: Annotated[str, proto(4)] = ""


class NodeRuntimeHandlerFeatures(Struct):
    """DOC:core.NodeRuntimeHandlerFeatures"""

    recursive_read_only_mounts: Annotated[bool | None, proto(1)] = None
    user_namespaces: Annotated[bool | None, proto(2)] = None


class NodeRuntimeHandler(Struct):
    """DOC:core.NodeRuntimeHandler"""

    name: Annotated[str, proto(1)] = field(default_factory=str)
    features: Annotated[NodeRuntimeHandlerFeatures | None, proto(2)] = None


class NodeFeatures(Struct):
    """DOC:core.NodeFeatures"""

    supplemental_groups_policy: Annotated[bool | None, proto(1)] = None


class NodeStatus(Struct):
    """DOC:core.NodeStatus"""

    capacity: Annotated[dict[str, Quantity], proto(1)] = {}
    allocatable: Annotated[dict[str, Quantity], proto(2)] = {}
    phase: Annotated[str, proto(3)] = ""
    conditions: Annotated[
        list[NodeCondition], proto(4, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []
    addresses: Annotated[list[NodeAddress], proto(5, merge_key="type", list_type="map", list_map_keys=("type",))] = []
    daemon_endpoints: Annotated[NodeDaemonEndpoints, proto(6)] = field(default_factory=NodeDaemonEndpoints)
    node_info: Annotated[NodeSystemInfo, proto(7)] = field(default_factory=NodeSystemInfo)
    images: Annotated[list[ContainerImage], proto(8, list_type="atomic")] = []
    volumes_in_use: Annotated[list[str], proto(9, list_type="atomic")] = []
    volumes_attached: Annotated[list[AttachedVolume], proto(10, list_type="atomic")] = []
    config: Annotated[NodeConfigStatus | None, proto(11)] = None
    runtime_handlers: Annotated[list[NodeRuntimeHandler], proto(12, list_type="atomic")] = []
    features: Annotated[NodeFeatures | None, proto(13)] = None
    declared_features: Annotated[list[str], proto(14, list_type="atomic")] = []


class Node(Resource):
    """DOC:core.Node"""

    spec: Annotated[NodeSpec, proto(2)] = field(default_factory=NodeSpec)
    status: Annotated[NodeStatus, proto(3)] = field(default_factory=NodeStatus)


NODE = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    schema=Node,
    namespaced=False,
    short_names=("no",),
    storage_name="minions",
    subresources=(
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), "NodeProxyOptions"),
        Subresource("status", ("get", "patch", "update")),
    ),
)
