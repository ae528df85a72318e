"""Identity service and plugin registration."""

from typing import Annotated

from tiphys.api.meta.schema import Struct, proto


class Empty(Struct):
    """Requests and answers without fields."""


class PluginInfo(Struct):
    """Registration: what a plugin says of itself."""

    type: Annotated[str, proto(1)] = ""
    name: Annotated[str, proto(2)] = ""
    endpoint: Annotated[str, proto(3)] = ""
    supported_versions: Annotated[list[str], proto(4)] = []


class RegistrationStatus(Struct):
    """Registration: what the kubelet answers."""

    plugin_registered: Annotated[bool, proto(1)] = False
    error: Annotated[str, proto(2)] = ""


class GetPluginInfoResponse(Struct):
    name: Annotated[str, proto(1)] = ""
    vendor_version: Annotated[str, proto(2)] = ""
    manifest: Annotated[dict[str, str], proto(3)] = {}


class CapabilityType(Struct):
    """A number of an enumeration, wrapped as every CSI capability is."""

    type: Annotated[int, proto(1)] = 0


class PluginCapability(Struct):
    service: Annotated[CapabilityType | None, proto(1)] = None
    """1 CONTROLLER_SERVICE, 2 VOLUME_ACCESSIBILITY_CONSTRAINTS, 3 GROUP_CONTROLLER_SERVICE"""
    volume_expansion: Annotated[CapabilityType | None, proto(2)] = None
    """1 ONLINE, 2 OFFLINE"""


class GetPluginCapabilitiesResponse(Struct):
    capabilities: Annotated[list[PluginCapability], proto(1)] = []


class BoolValue(Struct):
    value: Annotated[bool, proto(1)] = False


class ProbeResponse(Struct):
    ready: Annotated[BoolValue | None, proto(1)] = None


class ServiceCapability(Struct):
    """Of the controller or the node service."""

    rpc: Annotated[CapabilityType | None, proto(1)] = None


class GetCapabilitiesResponse(Struct):
    """Answer of ControllerGetCapabilities and NodeGetCapabilities."""

    capabilities: Annotated[list[ServiceCapability], proto(1)] = []


CONTROLLER_SERVICE, ACCESSIBILITY_CONSTRAINTS = 1, 2
CREATE_DELETE, PUBLISH_UNPUBLISH, GET_CAPACITY, CREATE_DELETE_SNAPSHOT, LIST_SNAPSHOTS, CLONE = 1, 2, 4, 5, 6, 7
EXPAND, CONTROLLER_SINGLE_NODE_MULTI_WRITER, MODIFY = 9, 13, 14
STAGE_UNSTAGE, NODE_STATS, NODE_EXPAND, NODE_SINGLE_NODE_MULTI_WRITER, VOLUME_MOUNT_GROUP = 1, 2, 3, 5, 6


def numbers(answer: GetCapabilitiesResponse) -> frozenset[int]:
    """The capabilities by number."""
    return frozenset(each.rpc.type for each in answer.capabilities if each.rpc is not None)


def capabilities(*wanted: int) -> GetCapabilitiesResponse:
    """The answer that names these."""
    return GetCapabilitiesResponse(capabilities=[ServiceCapability(rpc=CapabilityType(type=each)) for each in wanted])
