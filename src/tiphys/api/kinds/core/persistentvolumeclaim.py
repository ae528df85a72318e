"""PersistentVolumeClaim. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME, access_modes_text, or_unset
from tiphys.api.kinds.core.claim_validation import CLASS_ANNOTATION, validate_claim, validate_claim_status
from tiphys.api.kinds.core.pod.volumes import PersistentVolumeClaimSpec
from tiphys.api.kinds.core.references import TypedLocalObjectReference, TypedObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Quantity, Struct, Time, copy_of, field, proto


class ModifyVolumeStatus(Struct):
    """How far a change of the volume's attributes has come."""

    target_volume_attributes_class_name: Annotated[str, proto(1)] = ""
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class PersistentVolumeClaimCondition(Struct):
    """One aspect of a claim's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_probe_time: Annotated[Time | None, proto(3)] = None
    last_transition_time: Annotated[Time | None, proto(4)] = None
    reason: Annotated[str, proto(5)] = ""
    message: Annotated[str, proto(6)] = ""


class PersistentVolumeClaimStatus(Struct):
    """Whether the claim is bound, and what it really got."""

    phase: Annotated[str, proto(1)] = ""
    access_modes: Annotated[list[str], proto(2, list_type="atomic")] = []
    capacity: Annotated[dict[str, Quantity], proto(3)] = {}
    conditions: Annotated[
        list[PersistentVolumeClaimCondition], proto(4, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []
    allocated_resources: Annotated[dict[str, Quantity], proto(5)] = {}
    allocated_resource_statuses: Annotated[dict[str, str], proto(7)] = {}
    current_volume_attributes_class_name: Annotated[str | None, proto(8)] = None
    modify_volume_status: Annotated[ModifyVolumeStatus | None, proto(9)] = None


class PersistentVolumeClaim(Resource):
    """A user's wish for storage, and the volume that meets it."""

    spec: Annotated[PersistentVolumeClaimSpec, proto(2)] = field(default_factory=PersistentVolumeClaimSpec)
    status: Annotated[PersistentVolumeClaimStatus, proto(3)] = field(default_factory=PersistentVolumeClaimStatus)


def _prepare(obj: PersistentVolumeClaim, old: PersistentVolumeClaim | None) -> None:
    obj.status = copy_of(old.status) if old is not None else PersistentVolumeClaimStatus()
    _data_sources(obj.spec, old.spec if old is not None else None)


def _prepare_status(obj: PersistentVolumeClaim, old: PersistentVolumeClaim) -> None:
    obj.spec = copy_of(old.spec)


_SNAPSHOTS = "snapshot.storage.k8s.io"


def default_claim(obj: PersistentVolumeClaim) -> None:
    """Also for the claims that a StatefulSet makes."""
    obj.status.phase = obj.status.phase or "Pending"
    if obj.spec.volume_mode is None:
        obj.spec.volume_mode = "Filesystem"


def _data_sources(spec: PersistentVolumeClaimSpec, before: PersistentVolumeClaimSpec | None) -> None:
    """The old field and the new one say the same; what only the new one may hold is dropped from the old."""
    source, reference = spec.data_source, spec.data_source_ref
    if reference is not None and reference.namespace is not None:
        reference = spec.data_source_ref = None  # across namespaces: not a feature that is on
    in_use = before is not None and (before.data_source is not None or before.data_source_ref is not None)
    if source is not None and reference is None and not in_use and not _may_be_source(source):
        source = spec.data_source = None
    if source is not None and reference is None:
        spec.data_source_ref = TypedObjectReference(api_group=source.api_group, kind=source.kind, name=source.name)
    elif source is None and reference is not None:
        spec.data_source = TypedLocalObjectReference(
            api_group=reference.api_group, kind=reference.kind, name=reference.name
        )


def _may_be_source(source: TypedLocalObjectReference) -> bool:
    return (source.kind == "PersistentVolumeClaim" and not source.api_group) or (
        source.kind == "VolumeSnapshot" and source.api_group == _SNAPSHOTS
    )


def _phase(obj: PersistentVolumeClaim) -> str:
    return "Terminating" if obj.metadata.deletion_timestamp else obj.status.phase


def class_of(obj: PersistentVolumeClaim) -> str:
    """The storage class, which an annotation named once."""
    return obj.metadata.annotations.get(CLASS_ANNOTATION, obj.spec.storage_class_name or "")


def _capacity(obj: PersistentVolumeClaim) -> str:
    return str(obj.status.capacity.get("storage", "0")) if obj.spec.volume_name else ""


COLUMNS: tuple[Column[PersistentVolumeClaim], ...] = (
    NAME,
    Column("Status", "string", _phase, "Whether it is bound."),
    Column("Volume", "string", lambda obj: obj.spec.volume_name, "Its volume."),
    Column("Capacity", "string", _capacity, "How large its volume is."),
    Column(
        "Access Modes",
        "string",
        lambda obj: access_modes_text(obj.status.access_modes) if obj.spec.volume_name else "",
        "How its volume may be mounted.",
    ),
    Column("StorageClass", "string", class_of, "Its storage class."),
    Column(
        "VolumeAttributesClass",
        "string",
        lambda obj: or_unset(obj.spec.volume_attributes_class_name),
        "The settings of its volume.",
    ),
    AGE,
    Column(
        "VolumeMode",
        "string",
        lambda obj: or_unset(obj.spec.volume_mode),
        "File system or block device.",
        wide=True,
    ),
)


PERSISTENTVOLUMECLAIM = Kind(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    schema=PersistentVolumeClaim,
    short_names=("pvc",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default_claim,
    prepare=_prepare,
    validate=validate_claim,
    validate_status=validate_claim_status,
    columns=COLUMNS,
    prepare_status=_prepare_status,
)
