"""Controller service."""

from typing import Annotated

from tiphys.api.csi.volume import (
    CapacityRange,
    ContentSource,
    CsiVolume,
    Topology,
    TopologyRequirement,
    VolumeCapability,
)
from tiphys.api.meta.schema import Struct, proto


class CreateVolumeRequest(Struct):
    name: Annotated[str, proto(1)] = ""
    capacity_range: Annotated[CapacityRange | None, proto(2)] = None
    volume_capabilities: Annotated[list[VolumeCapability], proto(3)] = []
    parameters: Annotated[dict[str, str], proto(4)] = {}
    secrets: Annotated[dict[str, str], proto(5)] = {}
    volume_content_source: Annotated[ContentSource | None, proto(6)] = None
    accessibility_requirements: Annotated[TopologyRequirement | None, proto(7)] = None
    mutable_parameters: Annotated[dict[str, str], proto(8)] = {}


class CreateVolumeResponse(Struct):
    volume: Annotated[CsiVolume | None, proto(1)] = None


class DeleteVolumeRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    secrets: Annotated[dict[str, str], proto(2)] = {}


class ControllerPublishVolumeRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    node_id: Annotated[str, proto(2)] = ""
    volume_capability: Annotated[VolumeCapability | None, proto(3)] = None
    readonly: Annotated[bool, proto(4)] = False
    secrets: Annotated[dict[str, str], proto(5)] = {}
    volume_context: Annotated[dict[str, str], proto(6)] = {}


class ControllerPublishVolumeResponse(Struct):
    publish_context: Annotated[dict[str, str], proto(1)] = {}


class ControllerUnpublishVolumeRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    node_id: Annotated[str, proto(2)] = ""
    secrets: Annotated[dict[str, str], proto(3)] = {}


class ControllerExpandVolumeRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    capacity_range: Annotated[CapacityRange | None, proto(2)] = None
    secrets: Annotated[dict[str, str], proto(3)] = {}
    volume_capability: Annotated[VolumeCapability | None, proto(4)] = None


class ControllerExpandVolumeResponse(Struct):
    capacity_bytes: Annotated[int, proto(1)] = 0
    node_expansion_required: Annotated[bool, proto(2)] = False


class ControllerModifyVolumeRequest(Struct):
    volume_id: Annotated[str, proto(1)] = ""
    secrets: Annotated[dict[str, str], proto(2)] = {}
    mutable_parameters: Annotated[dict[str, str], proto(3)] = {}


class GetCapacityRequest(Struct):
    volume_capabilities: Annotated[list[VolumeCapability], proto(1)] = []
    parameters: Annotated[dict[str, str], proto(2)] = {}
    accessible_topology: Annotated[Topology | None, proto(3)] = None


class GetCapacityResponse(Struct):
    available_capacity: Annotated[int, proto(1)] = 0


class Timestamp(Struct):
    """google.protobuf.Timestamp."""

    seconds: Annotated[int, proto(1)] = 0
    nanos: Annotated[int, proto(2)] = 0


class Snapshot(Struct):
    size_bytes: Annotated[int, proto(1)] = 0
    snapshot_id: Annotated[str, proto(2)] = ""
    source_volume_id: Annotated[str, proto(3)] = ""
    creation_time: Annotated[Timestamp | None, proto(4)] = None
    ready_to_use: Annotated[bool, proto(5)] = False


class CreateSnapshotRequest(Struct):
    source_volume_id: Annotated[str, proto(1)] = ""
    name: Annotated[str, proto(2)] = ""
    secrets: Annotated[dict[str, str], proto(3)] = {}
    parameters: Annotated[dict[str, str], proto(4)] = {}


class CreateSnapshotResponse(Struct):
    snapshot: Annotated[Snapshot | None, proto(1)] = None


class DeleteSnapshotRequest(Struct):
    snapshot_id: Annotated[str, proto(1)] = ""
    secrets: Annotated[dict[str, str], proto(2)] = {}


class ListSnapshotsRequest(Struct):
    max_entries: Annotated[int, proto(1)] = 0
    starting_token: Annotated[str, proto(2)] = ""
    source_volume_id: Annotated[str, proto(3)] = ""
    snapshot_id: Annotated[str, proto(4)] = ""
    secrets: Annotated[dict[str, str], proto(5)] = {}


class ListSnapshotsEntry(Struct):
    snapshot: Annotated[Snapshot | None, proto(1)] = None


class ListSnapshotsResponse(Struct):
    entries: Annotated[list[ListSnapshotsEntry], proto(1)] = []
    next_token: Annotated[str, proto(2)] = ""
