"""Messages of device plugins. Field numbers are facts of `v1beta1`.

Source: staging/src/k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1/api.proto.
"""

from typing import Annotated

from tiphys.api.meta.schema import Struct, proto

VERSION = "v1beta1"
HEALTHY = "Healthy"
REGISTER = "/v1beta1.Registration/Register"
PLUGIN = "/v1beta1.DevicePlugin/"


class Empty(Struct):
    """Nothing."""


class DevicePluginOptions(Struct):
    pre_start_required: Annotated[bool, proto(1)] = False
    get_preferred_allocation_available: Annotated[bool, proto(2)] = False


class RegisterRequest(Struct):
    version: Annotated[str, proto(1)] = ""
    endpoint: Annotated[str, proto(2)] = ""
    """Name of the plugin's socket, in the kubelet's directory for them."""
    resource_name: Annotated[str, proto(3)] = ""
    options: Annotated[DevicePluginOptions | None, proto(4)] = None


class NumaNode(Struct):
    id: Annotated[int, proto(1)] = 0


class TopologyInfo(Struct):
    nodes: Annotated[list[NumaNode], proto(1)] = []


class PluginDevice(Struct):
    id: Annotated[str, proto(1)] = ""
    health: Annotated[str, proto(2)] = ""
    topology: Annotated[TopologyInfo | None, proto(3)] = None


class ListAndWatchResponse(Struct):
    devices: Annotated[list[PluginDevice], proto(1)] = []


class PreStartContainerRequest(Struct):
    devices_ids: Annotated[list[str], proto(1)] = []


class ContainerPreferredAllocationRequest(Struct):
    available_device_ids: Annotated[list[str], proto(1)] = []
    must_include_device_ids: Annotated[list[str], proto(2)] = []
    allocation_size: Annotated[int, proto(3)] = 0


class PreferredAllocationRequest(Struct):
    container_requests: Annotated[list[ContainerPreferredAllocationRequest], proto(1)] = []


class ContainerPreferredAllocationResponse(Struct):
    device_ids: Annotated[list[str], proto(1)] = []


class PreferredAllocationResponse(Struct):
    container_responses: Annotated[list[ContainerPreferredAllocationResponse], proto(1)] = []


class ContainerAllocateRequest(Struct):
    devices_ids: Annotated[list[str], proto(1)] = []


class AllocateRequest(Struct):
    container_requests: Annotated[list[ContainerAllocateRequest], proto(1)] = []


class PluginMount(Struct):
    container_path: Annotated[str, proto(1)] = ""
    host_path: Annotated[str, proto(2)] = ""
    read_only: Annotated[bool, proto(3)] = False


class DeviceSpec(Struct):
    container_path: Annotated[str, proto(1)] = ""
    host_path: Annotated[str, proto(2)] = ""
    permissions: Annotated[str, proto(3)] = ""


class CDIDevice(Struct):
    name: Annotated[str, proto(1)] = ""


class ContainerAllocateResponse(Struct):
    envs: Annotated[dict[str, str], proto(1)] = {}
    mounts: Annotated[list[PluginMount], proto(2)] = []
    devices: Annotated[list[DeviceSpec], proto(3)] = []
    annotations: Annotated[dict[str, str], proto(4)] = {}
    cdi_devices: Annotated[list[CDIDevice], proto(5)] = []


class AllocateResponse(Struct):
    container_responses: Annotated[list[ContainerAllocateResponse], proto(1)] = []
