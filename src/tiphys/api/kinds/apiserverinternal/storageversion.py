"""StorageVersion. Source: staging/src/k8s.io/api/apiserverinternal/v1alpha1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, Time, copy_of, field, proto


class StorageVersionSpec(Struct):
    """Nothing yet."""


class ServerStorageVersion(Struct):
    """The versions that one server writes, reads and serves."""

    api_server_id: Annotated[str, proto(1, required=True)] = ""
    encoding_version: Annotated[str, proto(2, required=True)] = ""
    decodable_versions: Annotated[list[str], proto(3, required=True, list_type="set")] = []
    served_versions: Annotated[list[str], proto(4, list_type="set")] = []


class StorageVersionCondition(Struct):
    """One aspect of a StorageVersion's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    observed_generation: Annotated[int, proto(3)] = 0
    last_transition_time: Annotated[Time | None, proto(4)] = None
    reason: Annotated[str, proto(5, required=True)] = field(default_factory=str)
    message: Annotated[str, proto(6, required=True)] = ""


class StorageVersionStatus(Struct):
    """The versions, by server, and whether they agree."""

    storage_versions: Annotated[
        list[ServerStorageVersion], proto(1, list_type="map", list_map_keys=("apiServerID",))
    ] = []
    common_encoding_version: Annotated[str | None, proto(2)] = None
    conditions: Annotated[list[StorageVersionCondition], proto(3, list_type="map", list_map_keys=("type",))] = []


class StorageVersion(Resource):
    """In which version each API server writes a resource."""

    spec: Annotated[StorageVersionSpec, proto(2)] = field(default_factory=StorageVersionSpec)
    status: Annotated[StorageVersionStatus, proto(3)] = field(default_factory=StorageVersionStatus)


def _prepare(obj: StorageVersion, old: StorageVersion | None) -> None:
    obj.status = copy_of(old.status) if old is not None else StorageVersionStatus()


def _prepare_status(obj: StorageVersion, old: StorageVersion) -> None:
    obj.spec = copy_of(old.spec)


STORAGEVERSION = Kind(
    group="internal.apiserver.k8s.io",
    version="v1alpha1",
    kind="StorageVersion",
    plural="storageversions",
    schema=StorageVersion,
    namespaced=False,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    allow_unconditional_update=False,
    prepare=_prepare,
    prepare_status=_prepare_status,
)
