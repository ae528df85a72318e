"""ResourceClaim, ResourceClaimTemplate and ResourceSlice as v1beta1 has them.

Source: staging/src/k8s.io/api/resource/v1beta1/types.go.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from msgspec.structs import replace

from tiphys.api.kind import Kind
from tiphys.api.kinds.core.references import NodeSelector
from tiphys.api.kinds.resource import resourceclaim, resourceclaimtemplate, resourceslice
from tiphys.api.kinds.resource import types as v1
from tiphys.api.kinds.resource.resourceclaim import ResourceClaimStatus
from tiphys.api.kinds.resource.resourceslice import (
    CounterSet,
    DeviceAttribute,
    DeviceCapacity,
    DeviceCounterConsumption,
    NodeAllocatableResourceMapping,
    ResourcePool,
)
from tiphys.api.kinds.resource.types import (
    CapacityRequirements,
    DeviceClaimConfiguration,
    DeviceConstraint,
    DeviceSelector,
    DeviceTaint,
    DeviceToleration,
)
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, empty_list, field, proto
from tiphys.api.meta.types import ObjectMeta


class DeviceSubRequest(Struct):
    """One of several alternatives."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    device_class_name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    selectors: Annotated[list[DeviceSelector], proto(3, list_type="atomic")] = []
    allocation_mode: Annotated[str, proto(4)] = ""
    count: Annotated[int, proto(5)] = 0
    tolerations: Annotated[list[DeviceToleration], proto(7, list_type="atomic")] = []
    capacity: Annotated[CapacityRequirements | None, proto(8)] = None


class DeviceRequest(Struct):
    """One request: so many devices of a class, or the first of several alternatives."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    device_class_name: Annotated[str, proto(2)] = field(default_factory=str)
    selectors: Annotated[list[DeviceSelector], proto(3, list_type="atomic")] = []
    allocation_mode: Annotated[str, proto(4)] = ""
    count: Annotated[int, proto(5)] = 0
    admin_access: Annotated[bool | None, proto(6)] = None
    first_available: Annotated[list[DeviceSubRequest], proto(7, list_type="atomic")] = []
    tolerations: Annotated[list[DeviceToleration], proto(8, list_type="atomic")] = []
    capacity: Annotated[CapacityRequirements | None, proto(9)] = None


class DeviceClaim(Struct):
    """The requests, what must hold between them, and settings."""

    requests: Annotated[list[DeviceRequest], proto(1, list_type="atomic")] = field(default_factory=empty_list)
    constraints: Annotated[list[DeviceConstraint], proto(2, list_type="atomic")] = []
    config: Annotated[list[DeviceClaimConfiguration], proto(3, list_type="atomic")] = []


class ResourceClaimSpec(Struct):
    """What is wished for."""

    devices: Annotated[DeviceClaim, proto(1)] = field(default_factory=DeviceClaim)


class ResourceClaim(Resource):
    """A wish for devices, and the devices that meet it."""

    spec: Annotated[ResourceClaimSpec, proto(2, required=True)] = field(default_factory=ResourceClaimSpec)
    status: Annotated[ResourceClaimStatus, proto(3)] = field(default_factory=ResourceClaimStatus)


class ResourceClaimTemplateSpec(Struct):
    """The claim that is made for each pod."""

    metadata: Annotated[ObjectMeta, proto(1)] = field(default_factory=ObjectMeta)
    spec: Annotated[ResourceClaimSpec, proto(2, required=True)] = field(default_factory=ResourceClaimSpec)


class ResourceClaimTemplate(Resource):
    """A claim to copy for each pod."""

    spec: Annotated[ResourceClaimTemplateSpec, proto(2, required=True)] = field(
        default_factory=ResourceClaimTemplateSpec
    )


class BasicDevice(Struct):
    """What is known of a device."""

    attributes: Annotated[dict[str, DeviceAttribute], proto(1)] = {}
    capacity: Annotated[dict[str, DeviceCapacity], proto(2)] = {}
    consumes_counters: Annotated[list[DeviceCounterConsumption], proto(3, list_type="atomic")] = []
    node_name: Annotated[str | None, proto(4)] = None
    node_selector: Annotated[NodeSelector | None, proto(5, atomic=True)] = None
    all_nodes: Annotated[bool | None, proto(6)] = None
    taints: Annotated[list[DeviceTaint], proto(7, list_type="atomic")] = []
    binds_to_node: Annotated[bool | None, proto(8)] = None
    binding_conditions: Annotated[list[str], proto(9, list_type="atomic")] = []
    binding_failure_conditions: Annotated[list[str], proto(10, list_type="atomic")] = []
    allow_multiple_allocations: Annotated[bool | None, proto(11)] = None
    node_allocatable_resource_mappings: Annotated[
        dict[str, NodeAllocatableResourceMapping], proto(12, gate="DRANodeAllocatableResources")
    ] = {}


class Device(Struct):
    """One device, by name."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    basic: Annotated[BasicDevice | None, proto(2)] = None


class ResourceSliceSpec(Struct):
    """The driver, the pool, the devices and who reaches them."""

    driver: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    pool: Annotated[ResourcePool, proto(2, required=True)] = field(default_factory=ResourcePool)
    node_name: Annotated[str, proto(3)] = ""
    node_selector: Annotated[NodeSelector | None, proto(4, atomic=True)] = None
    all_nodes: Annotated[bool, proto(5)] = False
    devices: Annotated[list[Device], proto(6, list_type="atomic")] = []
    per_device_node_selection: Annotated[bool | None, proto(7)] = None
    shared_counters: Annotated[list[CounterSet], proto(8, list_type="atomic")] = []


class ResourceSlice(Resource):
    """Devices that a driver offers, on a node or for several."""

    spec: Annotated[ResourceSliceSpec, proto(2, required=True)] = field(default_factory=ResourceSliceSpec)


_S = TypeVar("_S", bound=Struct)


def _like(schema: type[_S], source: Struct, **changed: Any) -> _S:
    """A struct with the fields that both have, sharing their values."""
    shared = set(schema.__struct_fields__) & set(source.__struct_fields__) - changed.keys()
    return schema(**{name: getattr(source, name) for name in shared}, **changed)


def _request_to_v1(request: DeviceRequest) -> v1.DeviceRequest:
    flat = _like(v1.ExactDeviceRequest, request)
    return v1.DeviceRequest(
        name=request.name,
        exactly=flat if flat != v1.ExactDeviceRequest() else None,
        first_available=[_like(v1.DeviceSubRequest, each) for each in request.first_available],
    )


def _request_from_v1(request: v1.DeviceRequest) -> DeviceRequest:
    alternatives = [_like(DeviceSubRequest, each) for each in request.first_available]
    flat = request.exactly or v1.ExactDeviceRequest()
    return _like(DeviceRequest, flat, name=request.name, first_available=alternatives)


def _spec_to_v1(spec: ResourceClaimSpec) -> v1.ResourceClaimSpec:
    requests = [_request_to_v1(request) for request in spec.devices.requests]
    return v1.ResourceClaimSpec(devices=_like(v1.DeviceClaim, spec.devices, requests=requests))


def _spec_from_v1(spec: v1.ResourceClaimSpec) -> ResourceClaimSpec:
    requests = [_request_from_v1(request) for request in spec.devices.requests]
    return ResourceClaimSpec(devices=_like(DeviceClaim, spec.devices, requests=requests))


def claim_to_v1(claim: ResourceClaim) -> resourceclaim.ResourceClaim:
    """The same claim as v1 has it; both share parts, as in all that follow."""
    return _like(resourceclaim.ResourceClaim, claim, api_version=_V1, spec=_spec_to_v1(claim.spec))


def claim_from_v1(claim: resourceclaim.ResourceClaim) -> ResourceClaim:
    return _like(ResourceClaim, claim, api_version=_V1BETA1, spec=_spec_from_v1(claim.spec))


def template_to_v1(template: ResourceClaimTemplate) -> resourceclaimtemplate.ResourceClaimTemplate:
    spec = _like(resourceclaimtemplate.ResourceClaimTemplateSpec, template.spec, spec=_spec_to_v1(template.spec.spec))
    return _like(resourceclaimtemplate.ResourceClaimTemplate, template, api_version=_V1, spec=spec)


def template_from_v1(template: resourceclaimtemplate.ResourceClaimTemplate) -> ResourceClaimTemplate:
    spec = _like(ResourceClaimTemplateSpec, template.spec, spec=_spec_from_v1(template.spec.spec))
    return _like(ResourceClaimTemplate, template, api_version=_V1BETA1, spec=spec)


def slice_to_v1(obj: ResourceSlice) -> resourceslice.ResourceSlice:
    devices = [
        _like(resourceslice.Device, device.basic or BasicDevice(), name=device.name) for device in obj.spec.devices
    ]
    spec = _like(
        resourceslice.ResourceSliceSpec,
        obj.spec,
        devices=devices,
        node_name=obj.spec.node_name or None,
        all_nodes=obj.spec.all_nodes or None,
    )
    return _like(resourceslice.ResourceSlice, obj, api_version=_V1, spec=spec)


def slice_from_v1(obj: resourceslice.ResourceSlice) -> ResourceSlice:
    devices = [Device(name=device.name, basic=_like(BasicDevice, device)) for device in obj.spec.devices]
    spec = _like(
        ResourceSliceSpec,
        obj.spec,
        devices=devices,
        node_name=obj.spec.node_name or "",
        all_nodes=obj.spec.all_nodes or False,
    )
    return _like(ResourceSlice, obj, api_version=_V1BETA1, spec=spec)


_V1, _V1BETA1 = "resource.k8s.io/v1", "resource.k8s.io/v1beta1"


def _older(kind: Kind[Any], schema: type[Any], to_v1: Callable[[Any], Any], from_v1: Callable[[Any], Any]) -> Kind[Any]:
    """The kind in v1beta1: all its rules are v1's, seen through the conversion."""

    def change(obj: Any, rule: Callable[..., None], *old: Any) -> None:
        newer = to_v1(obj)
        rule(newer, *(each and to_v1(each) for each in old))
        changed = from_v1(newer)
        for name in obj.__struct_fields__:
            setattr(obj, name, getattr(changed, name))

    stamp = kind.stamp
    return replace(
        kind,
        version="v1beta1",
        schema=schema,
        stored_as=kind,
        to_stored=to_v1,
        from_stored=from_v1,
        default=lambda obj: change(obj, kind.default),
        stamp=None if stamp is None else lambda obj, _old, now: change(obj, lambda newer: stamp(newer, None, now)),
        prepare=lambda obj, old: change(obj, kind.prepare, old),
        prepare_status=lambda obj, old: change(obj, kind.prepare_status, old),
        validate=lambda obj, old: kind.validate(to_v1(obj), old and to_v1(old)),
        validate_status=lambda obj, old: kind.validate_status(to_v1(obj), old and to_v1(old)),
        fields={name: lambda obj, get=get: get(to_v1(obj)) for name, get in kind.fields.items()},
        columns=tuple(replace(column, cell=lambda obj, cell=column.cell: cell(to_v1(obj))) for column in kind.columns),
    )


RESOURCECLAIM_V1BETA1 = _older(resourceclaim.RESOURCECLAIM, ResourceClaim, claim_to_v1, claim_from_v1)
RESOURCECLAIMTEMPLATE_V1BETA1 = _older(
    resourceclaimtemplate.RESOURCECLAIMTEMPLATE, ResourceClaimTemplate, template_to_v1, template_from_v1
)
RESOURCESLICE_V1BETA1 = _older(resourceslice.RESOURCESLICE, ResourceSlice, slice_to_v1, slice_from_v1)
