"""StorageVersionMigration. Source: staging/src/k8s.io/api/storagemigration/v1beta1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, required
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, copy_of, field, proto
from tiphys.api.meta.types import Condition, GroupResource
from tiphys.api.meta.validation import each, immutable, validate_conditions


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


_ENDS = ("Running", "Failed", "Succeeded")


def _validate(obj: StorageVersionMigration, old: StorageVersionMigration | None) -> Iterator[FieldError]:
    resource = obj.spec.resource
    if not resource.resource:
        yield required("spec.resource.resource")
    if resource.group:
        yield from each("spec.resource.group", resource.group, names.dns_subdomain(resource.group))
    if old is not None:
        yield from immutable("spec", obj.spec, old.spec)


def _validate_status(obj: StorageVersionMigration, _old: StorageVersionMigration | None) -> Iterator[FieldError]:
    yield from validate_conditions(obj.status.conditions, "status.conditions")
    states = {condition.type: condition.status == "True" for condition in obj.status.conditions}
    if states.get("Succeeded") and states.get("Failed"):
        yield invalid(
            "status.conditions",
            obj.status.conditions,
            "Both success and failed conditions cannot be true at the same time",
        )


def _resource(obj: StorageVersionMigration) -> str:
    resource = obj.spec.resource
    return f"{resource.resource}.{resource.group}" if resource.group else resource.resource


def _state(obj: StorageVersionMigration) -> str:
    true = [condition.type for condition in obj.status.conditions if condition.status == "True"]
    return next((state for state in reversed(true) if state in _ENDS), "Unknown")


COLUMNS: tuple[Column[StorageVersionMigration], ...] = (
    NAME,
    Column("Resource", "string", _resource, "What is written again."),
    Column("Status", "string", _state, "How far it is."),
)


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
    validate=_validate,
    validate_status=_validate_status,
    columns=COLUMNS,
    prepare_status=_prepare_status,
)
