"""containerd's own services for snapshots and content: what its CRI of before 2.1 has no word for.

Source: containerd api/services/snapshots/v1/snapshots.proto, api/services/content/v1/content.proto,
api/types/mount.proto.
"""

from typing import Annotated

from tiphys.api.meta.schema import Struct, proto


class SnapshotMount(Struct):
    type: Annotated[str, proto(1)] = ""
    source: Annotated[str, proto(2)] = ""
    target: Annotated[str, proto(3)] = ""
    options: Annotated[list[str], proto(4)] = []


class ViewRequest(Struct):
    """A read-only snapshot under `key`, with the layers of `parent`."""

    snapshotter: Annotated[str, proto(1)] = ""
    key: Annotated[str, proto(2)] = ""
    parent: Annotated[str, proto(3)] = ""
    labels: Annotated[dict[str, str], proto(4)] = {}


class KeyRequest(Struct):
    """Mounts and Remove."""

    snapshotter: Annotated[str, proto(1)] = ""
    key: Annotated[str, proto(2)] = ""


class MountsAnswer(Struct):
    mounts: Annotated[list[SnapshotMount], proto(1)] = []


class ContentInfoRequest(Struct):
    digest: Annotated[str, proto(1)] = ""


class ContentInfo(Struct):
    digest: Annotated[str, proto(1)] = ""
    size: Annotated[int, proto(2)] = 0
    labels: Annotated[dict[str, str], proto(5)] = {}


class ContentInfoAnswer(Struct):
    info: Annotated[ContentInfo | None, proto(1)] = None


class Empty(Struct):
    """google.protobuf.Empty."""
