"""What both services say of volumes."""

from collections.abc import Sequence
from typing import Annotated

from tiphys.api.csi.identity import Empty
from tiphys.api.meta.schema import Struct, proto


class AccessMode(Struct):
    mode: Annotated[int, proto(1)] = 0


class MountVolume(Struct):
    fs_type: Annotated[str, proto(1)] = ""
    mount_flags: Annotated[list[str], proto(2)] = []
    volume_mount_group: Annotated[str, proto(3)] = ""


class VolumeCapability(Struct):
    """How a volume is to be used: as a block device or mounted, and by how many."""

    block: Annotated[Empty | None, proto(1)] = None
    mount: Annotated[MountVolume | None, proto(2)] = None
    access_mode: Annotated[AccessMode | None, proto(3)] = None


class CapacityRange(Struct):
    required_bytes: Annotated[int, proto(1)] = 0
    limit_bytes: Annotated[int, proto(2)] = 0


class Topology(Struct):
    segments: Annotated[dict[str, str], proto(1)] = {}


class TopologyRequirement(Struct):
    requisite: Annotated[list[Topology], proto(1)] = []
    preferred: Annotated[list[Topology], proto(2)] = []


class SnapshotSource(Struct):
    snapshot_id: Annotated[str, proto(1)] = ""


class VolumeSource(Struct):
    volume_id: Annotated[str, proto(1)] = ""


class ContentSource(Struct):
    snapshot: Annotated[SnapshotSource | None, proto(1)] = None
    volume: Annotated[VolumeSource | None, proto(2)] = None


class CsiVolume(Struct):
    capacity_bytes: Annotated[int, proto(1)] = 0
    volume_id: Annotated[str, proto(2)] = ""
    volume_context: Annotated[dict[str, str], proto(3)] = {}
    content_source: Annotated[ContentSource | None, proto(4)] = None
    accessible_topology: Annotated[list[Topology], proto(5)] = []


_MULTI = {"ReadWriteMany": 5, "ReadOnlyMany": 3}
"""MULTI_NODE_MULTI_WRITER, MULTI_NODE_READER_ONLY"""
_SINGLE_WRITER, _SINGLE_NODE_SINGLE_WRITER, _SINGLE_NODE_MULTI_WRITER = 1, 6, 7


def access_mode(modes: Sequence[str], *, distinguishes_writers: bool) -> AccessMode:
    """CSI's one mode for a volume's modes. `distinguishes_writers`: the driver has SINGLE_NODE_MULTI_WRITER.

    Source: pkg/volume/csi/csi_client.go (asCSIAccessModeV1, asSingleNodeMultiWriterCapableCSIAccessModeV1).
    """
    for mode, number in _MULTI.items():
        if mode in modes:
            return AccessMode(mode=number)
    if not distinguishes_writers:
        return AccessMode(mode=_SINGLE_WRITER)
    return AccessMode(mode=_SINGLE_NODE_SINGLE_WRITER if "ReadWriteOncePod" in modes else _SINGLE_NODE_MULTI_WRITER)
