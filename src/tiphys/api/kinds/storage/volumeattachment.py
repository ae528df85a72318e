"""VolumeAttachment. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.core.persistentvolume import PersistentVolumeSpec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto


class VolumeAttachmentSource(Struct):
    """The volume: a PersistentVolume, or one written out."""

    persistent_volume_name: Annotated[str | None, proto(1)] = None
    inline_volume_spec: Annotated[PersistentVolumeSpec | None, proto(2)] = None


class VolumeAttachmentSpec(Struct):
    """Which volume, to which node, by which driver."""

    attacher: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    source: Annotated[VolumeAttachmentSource, proto(2, required=True)] = field(default_factory=VolumeAttachmentSource)
    node_name: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class VolumeError(Struct):
    """What went wrong, and when."""

    time: Annotated[Time | None, proto(1)] = None
    message: Annotated[str, proto(2)] = ""
    error_code: Annotated[Int32 | None, proto(3)] = None


class VolumeAttachmentStatus(Struct):
    """Whether the volume is attached, and what went wrong."""

    attached: Annotated[bool, proto(1, required=True)] = field(default_factory=bool)
    attachment_metadata: Annotated[dict[str, str], proto(2)] = {}
    attach_error: Annotated[VolumeError | None, proto(3)] = None
    detach_error: Annotated[VolumeError | None, proto(4)] = None


class VolumeAttachment(Resource):
    """The wish that a volume be attached to a node, and whether it is."""

    spec: Annotated[VolumeAttachmentSpec, proto(2, required=True)] = field(default_factory=VolumeAttachmentSpec)
    status: Annotated[VolumeAttachmentStatus, proto(3)] = field(default_factory=VolumeAttachmentStatus)


def _prepare(obj: VolumeAttachment, old: VolumeAttachment | None) -> None:
    obj.status = copy_of(old.status) if old is not None else VolumeAttachmentStatus()


def _prepare_status(obj: VolumeAttachment, old: VolumeAttachment) -> None:
    obj.spec = copy_of(old.spec)


VOLUMEATTACHMENT = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttachment",
    plural="volumeattachments",
    schema=VolumeAttachment,
    namespaced=False,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    allow_unconditional_update=False,
    prepare=_prepare,
    prepare_status=_prepare_status,
)
