"""PersistentVolumeClaim. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.core.pod.volumes import PersistentVolumeClaimSpec
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


def _prepare_status(obj: PersistentVolumeClaim, old: PersistentVolumeClaim) -> None:
    obj.spec = copy_of(old.spec)


PERSISTENTVOLUMECLAIM = Kind(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    schema=PersistentVolumeClaim,
    short_names=("pvc",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    prepare=_prepare,
    prepare_status=_prepare_status,
)
