"""Node service."""

from typing import Annotated

from tiphys.api.csi.volume import CapacityRange, Topology, VolumeCapability
from tiphys.api.meta.schema import Struct, proto


class NodeStageVolumeRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    publish_context: Annotated[dict[str, str], proto(2)] = {}
    staging_target_path: Annotated[str, proto(3)] = ""
    volume_capability: Annotated[VolumeCapability | None, proto(4)] = None
    secrets: Annotated[dict[str, str], proto(5)] = {}
    volume_context: Annotated[dict[str, str], proto(6)] = {}


class NodeUnstageVolumeRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    staging_target_path: Annotated[str, proto(2)] = ""


class NodePublishVolumeRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    publish_context: Annotated[dict[str, str], proto(2)] = {}
    staging_target_path: Annotated[str, proto(3)] = ""
    target_path: Annotated[str, proto(4)] = ""
    volume_capability: Annotated[VolumeCapability | None, proto(5)] = None
    readonly: Annotated[bool, proto(6)] = False
    secrets: Annotated[dict[str, str], proto(7)] = {}
    volume_context: Annotated[dict[str, str], proto(8)] = {}


class NodeUnpublishVolumeRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    target_path: Annotated[str, proto(2)] = ""


class NodeGetVolumeStatsRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    volume_path: Annotated[str, proto(2)] = ""
    staging_target_path: Annotated[str, proto(3)] = ""


class VolumeUsage(Struct):
    available: Annotated[int, proto(1)] = 0
    total: Annotated[int, proto(2)] = 0
    used: Annotated[int, proto(3)] = 0
    unit: Annotated[int, proto(4)] = 0
    """1 BYTES, 2 INODES"""


class NodeGetVolumeStatsResponse(Struct):
    usage: Annotated[list[VolumeUsage], proto(1)] = []


class NodeExpandVolumeRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    volume_path: Annotated[str, proto(2)] = ""
    capacity_range: Annotated[CapacityRange | None, proto(3)] = None
    staging_target_path: Annotated[str, proto(4)] = ""
    volume_capability: Annotated[VolumeCapability | None, proto(5)] = None
    secrets: Annotated[dict[str, str], proto(6)] = {}


class NodeExpandVolumeResponse(Struct):
    capacity_bytes: Annotated[int, proto(1)] = 0


class NodeGetInfoResponse(Struct):
    node_id: Annotated[str, proto(1)] = ""
    max_volumes_per_node: Annotated[int, proto(2)] = 0
    accessible_topology: Annotated[Topology | None, proto(3)] = None
