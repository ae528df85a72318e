"""DeviceClass. Source: staging/src/k8s.io/api/resource/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid
from tiphys.api.kind import Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.resource import checks
from tiphys.api.kinds.resource.types import DeviceSelector, OpaqueDeviceConfiguration
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class DeviceClassConfiguration(Struct):
    """Settings for devices of the class."""

    opaque: Annotated[OpaqueDeviceConfiguration | None, proto(1, 1)] = None


class DeviceClassSpec(Struct):
    """Which devices belong to the class, and their settings."""

    selectors: Annotated[list[DeviceSelector], proto(1, list_type="atomic")] = []
    config: Annotated[list[DeviceClassConfiguration], proto(2, list_type="atomic")] = []
    extended_resource_name: Annotated[str | None, proto(4)] = None


class DeviceClass(Resource):
    """A named sort of device, with settings."""

    spec: Annotated[DeviceClassSpec, proto(2, required=True)] = field(default_factory=DeviceClassSpec)


def _validate(obj: DeviceClass, _old: DeviceClass | None) -> Iterator[FieldError]:
    spec, path = obj.spec, "spec"

    def config(given: DeviceClassConfiguration, at: str) -> Iterator[FieldError]:
        return checks.opaque(at, given.opaque)

    yield from checks.selectors(f"{path}.selectors", spec.selectors)
    yield from checks.items(f"{path}.config", spec.config, checks.MAX_CONFIGS, config)
    name = spec.extended_resource_name
    if name is not None and ("/" not in name or "kubernetes.io/" in name or names.qualified_name(name)):
        yield invalid(f"{path}.extendedResourceName", name, "must be a valid extended resource name")


DEVICECLASS = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="DeviceClass",
    plural="deviceclasses",
    schema=DeviceClass,
    validate=_validate,
    columns=(NAME, AGE),
    namespaced=False,
    generation=True,
)

DEVICECLASS_V1BETA2 = replace(DEVICECLASS, version="v1beta2", stored_as=DEVICECLASS)

DEVICECLASS_V1BETA1 = replace(DEVICECLASS, version="v1beta1", stored_as=DEVICECLASS)
