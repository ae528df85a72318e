"""VolumeAttributesClass. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from msgspec.structs import replace

from tiphys.api.errors import FieldError, forbidden, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.storage.checks import validate_parameters, validate_provisioner
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import field, proto


class VolumeAttributesClass(Resource):
    """Named settings of volumes that may change while in use."""

    driver_name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    parameters: Annotated[dict[str, str], proto(3)] = {}


def _validate(obj: VolumeAttributesClass, old: VolumeAttributesClass | None) -> Iterator[FieldError]:
    if old is not None:
        if obj.driver_name != old.driver_name:
            yield forbidden("driverName", "updates to driverName are forbidden.")
        if obj.parameters != old.parameters:
            yield forbidden("parameters", "updates to parameters are forbidden.")
    yield from validate_provisioner("driverName", obj.driver_name)
    yield from validate_parameters("parameters", obj.parameters)
    if not obj.parameters:
        yield required("parameters", "must contain at least one key/value pair")


COLUMNS: tuple[Column[VolumeAttributesClass], ...] = (
    NAME,
    Column("DriverName", "string", lambda obj: obj.driver_name, "The driver that knows the settings."),
    AGE,
)


VOLUMEATTRIBUTESCLASS = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttributesClass",
    plural="volumeattributesclasses",
    schema=VolumeAttributesClass,
    validate=_validate,
    columns=COLUMNS,
    namespaced=False,
    short_names=("vac",),
)

VOLUMEATTRIBUTESCLASS_V1BETA1 = replace(VOLUMEATTRIBUTESCLASS, version="v1beta1", stored_as=VOLUMEATTRIBUTESCLASS)
