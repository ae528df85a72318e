"""ResourceSlice. Source: staging/src/k8s.io/api/resource/v1/types.go."""

from typing import Annotated

from msgspec.structs import replace

from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core.references import NodeSelector
from tiphys.api.kinds.resource.slice_validation import validate_slice
from tiphys.api.kinds.resource.types import DeviceTaint
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Quantity, Struct, field, proto


class Counter(Struct):
    """An amount to draw on."""

    value: Annotated[Quantity, proto(1, required=True)] = field(default_factory=lambda: Quantity("0"))


class CounterSet(Struct):
    """Counters that several devices draw on."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    counters: Annotated[dict[str, Counter], proto(2, required=True)] = {}


class DeviceAttribute(Struct):
    """An attribute's value, of one of four types."""

    int_: Annotated[int | None, proto(2)] = None
    bool_: Annotated[bool | None, proto(3)] = None
    string: Annotated[str | None, proto(4)] = None
    version: Annotated[str | None, proto(5)] = None
    ints: Annotated[list[int], proto(6, gate="DRAListTypeAttributes", list_type="atomic")] = []
    bools: Annotated[list[bool], proto(7, gate="DRAListTypeAttributes", list_type="atomic")] = []
    strings: Annotated[list[str], proto(8, gate="DRAListTypeAttributes", list_type="atomic")] = []
    versions: Annotated[list[str], proto(9, gate="DRAListTypeAttributes", list_type="atomic")] = []


class CapacityRequestPolicyRange(Struct):
    """Amounts between two bounds, in steps."""

    min: Annotated[Quantity | None, proto(1, required=True)] = None
    max: Annotated[Quantity | None, proto(2)] = None
    step: Annotated[Quantity | None, proto(3)] = None


class CapacityRequestPolicy(Struct):
    """Which amounts may be asked for."""

    default: Annotated[Quantity | None, proto(1)] = None
    valid_values: Annotated[list[Quantity], proto(3, list_type="atomic")] = []
    valid_range: Annotated[CapacityRequestPolicyRange | None, proto(4)] = None


class DeviceCapacity(Struct):
    """An amount that a device has, and how it may be asked for."""

    value: Annotated[Quantity, proto(1, required=True)] = field(default_factory=lambda: Quantity("0"))
    request_policy: Annotated[CapacityRequestPolicy | None, proto(2)] = None


class DeviceCounterConsumption(Struct):
    """What a device draws from a set of counters."""

    counter_set: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    counters: Annotated[dict[str, Counter], proto(2, required=True)] = {}


class NodeAllocatableResourceMapping(Struct):
    """What a device takes of the node's own resources."""

    capacity_key: Annotated[str | None, proto(1)] = None
    allocation_multiplier: Annotated[Quantity | None, proto(2)] = None


class Device(Struct):
    """One device, with attributes and capacities."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    attributes: Annotated[dict[str, DeviceAttribute], proto(2)] = {}
    capacity: Annotated[dict[str, DeviceCapacity], proto(3)] = {}
    consumes_counters: Annotated[list[DeviceCounterConsumption], proto(4, list_type="atomic")] = []
    node_name: Annotated[str | None, proto(5)] = None
    node_selector: Annotated[NodeSelector | None, proto(6, atomic=True)] = None
    all_nodes: Annotated[bool | None, proto(7)] = None
    taints: Annotated[list[DeviceTaint], proto(8, list_type="atomic")] = []
    binds_to_node: Annotated[bool | None, proto(9)] = None
    binding_conditions: Annotated[list[str], proto(10, list_type="atomic")] = []
    binding_failure_conditions: Annotated[list[str], proto(11, list_type="atomic")] = []
    allow_multiple_allocations: Annotated[bool | None, proto(12)] = None
    node_allocatable_resource_mappings: Annotated[
        dict[str, NodeAllocatableResourceMapping], proto(13, gate="DRANodeAllocatableResources")
    ] = {}


class ResourcePool(Struct):
    """The pool that a slice is part of."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    generation: Annotated[int, proto(2, required=True)] = field(default_factory=int)
    resource_slice_count: Annotated[int, proto(3, required=True)] = field(default_factory=int)


class ResourceSliceSpec(Struct):
    """The driver, the pool, the devices and who reaches them."""

    driver: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    pool: Annotated[ResourcePool, proto(2, required=True)] = field(default_factory=ResourcePool)
    node_name: Annotated[str | None, proto(3)] = None
    node_selector: Annotated[NodeSelector | None, proto(4, atomic=True)] = None
    all_nodes: Annotated[bool | None, proto(5)] = None
    devices: Annotated[list[Device], proto(6, list_type="atomic")] = []
    per_device_node_selection: Annotated[bool | None, proto(7)] = None
    shared_counters: Annotated[list[CounterSet], proto(8, list_type="atomic")] = []


class ResourceSlice(Resource):
    """Devices that a driver offers, on a node or for several."""

    spec: Annotated[ResourceSliceSpec, proto(2, required=True)] = field(default_factory=ResourceSliceSpec)


def _default(obj: ResourceSlice) -> None:
    for device in obj.spec.devices:
        for mapping in device.node_allocatable_resource_mappings.values():
            if mapping.allocation_multiplier is None:
                mapping.allocation_multiplier = Quantity("1")


def _stamp(obj: ResourceSlice, _old: ResourceSlice | None, now: str) -> None:
    for device in obj.spec.devices:
        for taint in device.taints:
            taint.time_added = taint.time_added or now


COLUMNS: tuple[Column[ResourceSlice], ...] = (
    NAME,
    Column("Node", "string", lambda obj: obj.spec.node_name or "", "The node that the devices belong to."),
    Column("Driver", "string", lambda obj: obj.spec.driver, "Who offers them."),
    Column("Pool", "string", lambda obj: obj.spec.pool.name, "The pool that they are part of."),
    AGE,
)


RESOURCESLICE = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceSlice",
    plural="resourceslices",
    schema=ResourceSlice,
    default=_default,
    stamp=_stamp,
    validate=validate_slice,
    columns=COLUMNS,
    namespaced=False,
    generation=True,
    fields={"spec.nodeName": lambda obj: obj.spec.node_name or "", "spec.driver": lambda obj: obj.spec.driver},
)

RESOURCESLICE_V1BETA2 = replace(RESOURCESLICE, version="v1beta2", stored_as=RESOURCESLICE)
