"""ResourceClaim. Source: staging/src/k8s.io/api/resource/v1/types.go."""

from typing import Annotated

from msgspec.structs import replace

from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core.references import NodeSelector
from tiphys.api.kinds.resource.claim_validation import default_claim_spec, validate_claim, validate_claim_status
from tiphys.api.kinds.resource.types import DeviceToleration, OpaqueDeviceConfiguration, ResourceClaimSpec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import JSONObject, Quantity, Struct, Time, copy_of, empty_list, field, proto
from tiphys.api.meta.types import Condition


class NetworkDeviceData(Struct):
    """A network device's name and addresses."""

    interface_name: Annotated[str, proto(1)] = ""
    ips: Annotated[list[str], proto(2, list_type="atomic")] = []
    hardware_address: Annotated[str, proto(3)] = ""


class AllocatedDeviceStatus(Struct):
    """What a driver says of a device it gave."""

    driver: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    pool: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    device: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    share_id: Annotated[str | None, proto(7)] = None
    conditions: Annotated[list[Condition], proto(4, list_type="map", list_map_keys=("type",))] = field(
        default_factory=empty_list
    )
    data: Annotated[JSONObject | None, proto(5)] = None
    network_data: Annotated[NetworkDeviceData | None, proto(6)] = None


class DeviceAllocationConfiguration(Struct):
    """Settings of given devices, from the class or the claim."""

    source: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    requests: Annotated[list[str], proto(2, list_type="atomic")] = []
    opaque: Annotated[OpaqueDeviceConfiguration | None, proto(3, 1)] = None


class DeviceRequestAllocationResult(Struct):
    """One device that was given for a request."""

    request: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    driver: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    pool: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    device: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    admin_access: Annotated[bool | None, proto(5)] = None
    tolerations: Annotated[list[DeviceToleration], proto(6, list_type="atomic")] = []
    binding_conditions: Annotated[list[str], proto(7, list_type="atomic")] = []
    binding_failure_conditions: Annotated[list[str], proto(8, list_type="atomic")] = []
    share_id: Annotated[str | None, proto(9)] = None
    consumed_capacity: Annotated[dict[str, Quantity], proto(10)] = {}


class DeviceAllocationResult(Struct):
    """The devices for each request, and their settings."""

    results: Annotated[list[DeviceRequestAllocationResult], proto(1, list_type="atomic")] = []
    config: Annotated[list[DeviceAllocationConfiguration], proto(2, list_type="atomic")] = []


class AllocationResult(Struct):
    """The devices that were given, and where they are."""

    devices: Annotated[DeviceAllocationResult, proto(1)] = field(default_factory=DeviceAllocationResult)
    node_selector: Annotated[NodeSelector | None, proto(3, atomic=True)] = None
    allocation_timestamp: Annotated[Time | None, proto(5)] = None


class ResourceClaimConsumerReference(Struct):
    """An object that uses the claim."""

    api_group: Annotated[str, proto(1)] = ""
    resource: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    uid: Annotated[str, proto(5, required=True)] = field(default_factory=str)


class ResourceClaimStatus(Struct):
    """The devices that were given, to whom, and how they fare."""

    allocation: Annotated[AllocationResult | None, proto(1)] = None
    reserved_for: Annotated[
        list[ResourceClaimConsumerReference], proto(2, merge_key="uid", list_type="map", list_map_keys=("uid",))
    ] = []
    devices: Annotated[
        list[AllocatedDeviceStatus],
        proto(
            4,
            list_type="map",
            list_map_keys=(
                "driver",
                "device",
                "pool",
                "shareID",
            ),
        ),
    ] = []


class ResourceClaim(Resource):
    """A wish for devices, and the devices that meet it."""

    spec: Annotated[ResourceClaimSpec, proto(2, required=True)] = field(default_factory=ResourceClaimSpec)
    status: Annotated[ResourceClaimStatus, proto(3)] = field(default_factory=ResourceClaimStatus)


def _prepare(obj: ResourceClaim, old: ResourceClaim | None) -> None:
    obj.status = copy_of(old.status) if old is not None else ResourceClaimStatus()


def _prepare_status(obj: ResourceClaim, old: ResourceClaim) -> None:
    obj.spec = copy_of(old.spec)


def _default(obj: ResourceClaim) -> None:
    default_claim_spec(obj.spec)


def _state(obj: ResourceClaim) -> str:
    states = ["deleted"] if obj.metadata.deletion_timestamp else []
    if obj.status.allocation is None:
        return ",".join(states) or "pending"
    return ",".join([*states, "allocated", *(["reserved"] if obj.status.reserved_for else [])])


COLUMNS: tuple[Column[ResourceClaim], ...] = (
    NAME,
    Column("State", "string", _state, "Whether it has its devices, and whether they are in use."),
    AGE,
)


RESOURCECLAIM = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaim",
    plural="resourceclaims",
    schema=ResourceClaim,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=_default,
    prepare=_prepare,
    validate=validate_claim,
    validate_status=validate_claim_status,
    columns=COLUMNS,
    prepare_status=_prepare_status,
)

RESOURCECLAIM_V1BETA2 = replace(RESOURCECLAIM, version="v1beta2", stored_as=RESOURCECLAIM)
