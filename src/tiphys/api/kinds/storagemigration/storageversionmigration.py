"""StorageVersionMigration. Source: staging/src/k8s.io/api/storagemigration/v1beta1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, copy_of, field, proto
from tiphys.api.meta.types import Condition, GroupResource


class StorageVersionMigrationSpec(Struct):
    """The resource."""

    resource: Annotated[GroupResource, proto(1, required=True)] = field(default_factory=GroupResource)


class StorageVersionMigrationStatus(Struct):
    """Whether the migration is done."""

    conditions: Annotated[list[Condition], proto(1, merge_key="type", list_type="map", list_map_keys=("type",))] = []
    resource_version: Annotated[str, proto(2)] = ""


class StorageVersionMigration(Resource):
    """Writes all objects of a resource again, in the present storage version."""

    spec: Annotated[StorageVersionMigrationSpec, proto(2)] = field(default_factory=StorageVersionMigrationSpec)
    status: Annotated[StorageVersionMigrationStatus, proto(3)] = field(default_factory=StorageVersionMigrationStatus)


def _prepare(obj: StorageVersionMigration, old: StorageVersionMigration | None) -> None:
    obj.status = copy_of(old.status) if old is not None else StorageVersionMigrationStatus()


def _prepare_status(obj: StorageVersionMigration, old: StorageVersionMigration) -> None:
    obj.spec = copy_of(old.spec)


STORAGEVERSIONMIGRATION = Kind(
    group="storagemigration.k8s.io",
    version="v1beta1",
    kind="StorageVersionMigration",
    plural="storageversionmigrations",
    schema=StorageVersionMigration,
    namespaced=False,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    allow_unconditional_update=False,
    prepare=_prepare,
    prepare_status=_prepare_status,
)
