"""VolumeAttachment. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid, required, too_long
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core.persistentvolume import PersistentVolumeSpec
from tiphys.api.kinds.core.volume_sources import csi_driver_name
from tiphys.api.kinds.core.volume_validation import validate_inline_spec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto
from tiphys.api.meta.validation import each, immutable


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


_MAX_METADATA_BYTES, _MAX_ERROR_BYTES = 256 * 1024, 1024
_ONE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def _validate(obj: VolumeAttachment, old: VolumeAttachment | None) -> Iterator[FieldError]:
    spec = obj.spec
    yield from csi_driver_name("spec.attacher", spec.attacher)
    yield from _validate_source(spec.source, "spec.source")
    yield from each("spec.nodeName", spec.node_name, names.dns_subdomain(spec.node_name))
    yield from _validate_status(obj, old)
    if old is not None:
        yield from immutable("spec", spec, old.spec)


def _validate_source(source: VolumeAttachmentSource, path: str) -> Iterator[FieldError]:
    name, inline = source.persistent_volume_name, source.inline_volume_spec
    if (name is None) == (inline is None):
        yield required(path, _ONE) if name is None else forbidden(path, _ONE)
    elif name == "":
        yield required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")
    elif inline is not None:
        yield from validate_inline_spec(inline, f"{path}.inlineVolumeSpec")
    if name is not None:
        yield from each(f"{path}.persistentVolumeName", name, names.dns_subdomain(name))


def _validate_status(obj: VolumeAttachment, _old: VolumeAttachment | None) -> Iterator[FieldError]:
    status, path = obj.status, "status"
    size = sum(len(key.encode()) + len(value.encode()) for key, value in status.attachment_metadata.items())
    if size > _MAX_METADATA_BYTES:
        yield too_long(f"{path}.attachmentMetadata", _MAX_METADATA_BYTES)
    for name, error in (("attachError", status.attach_error), ("detachError", status.detach_error)):
        if error is None:
            continue
        if len(error.message.encode()) > _MAX_ERROR_BYTES:
            yield too_long(f"{path}.{name}.message", _MAX_METADATA_BYTES)  # upstream names this limit
        if error.error_code is not None and error.error_code < 0:
            yield invalid(f"{path}.{name}.errorCode", error.error_code, "must be between 0 and 2147483647, inclusive")


COLUMNS: tuple[Column[VolumeAttachment], ...] = (
    NAME,
    Column("Attacher", "string", lambda obj: obj.spec.attacher, "The driver.", format="name"),
    Column("PV", "string", lambda obj: obj.spec.source.persistent_volume_name or "", "The volume."),
    Column("Node", "string", lambda obj: obj.spec.node_name, "The node."),
    Column("Attached", "boolean", lambda obj: obj.status.attached, "Whether the volume is attached."),
    AGE,
)


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
    validate=_validate,
    validate_status=_validate_status,
    columns=COLUMNS,
    prepare_status=_prepare_status,
)
