"""ResourcePoolStatusRequest. Source: staging/src/k8s.io/api/resource/v1alpha3/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, copy_of, field, proto
from tiphys.api.meta.types import Condition


class ResourcePoolStatusRequestSpec(Struct):
    """Which driver, which pool, and how many at most."""

    driver: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    pool_name: Annotated[str | None, proto(2)] = None
    limit: Annotated[Int32 | None, proto(3)] = None


class PoolStatus(Struct):
    """How many devices of a pool are free."""

    driver: Annotated[str, proto(1, required=True)] = ""
    pool_name: Annotated[str, proto(2, required=True)] = ""
    generation: Annotated[int, proto(9, required=True)] = field(default_factory=int)
    resource_slice_count: Annotated[Int32 | None, proto(8)] = None
    total_devices: Annotated[Int32 | None, proto(4)] = None
    allocated_devices: Annotated[Int32 | None, proto(5)] = None
    available_devices: Annotated[Int32 | None, proto(6)] = None
    unavailable_devices: Annotated[Int32 | None, proto(7)] = None
    node_name: Annotated[str | None, proto(3)] = None
    validation_error: Annotated[str | None, proto(10)] = None


class ResourcePoolStatusRequestStatus(Struct):
    """How full the pools are."""

    pool_count: Annotated[Int32 | None, proto(6, required=True)] = None
    pools: Annotated[list[PoolStatus], proto(2, list_type="atomic")] = []
    conditions: Annotated[list[Condition], proto(3, merge_key="type", list_type="map", list_map_keys=("type",))] = []


class ResourcePoolStatusRequest(Resource):
    """Asks how full the pools of a driver are."""

    spec: Annotated[ResourcePoolStatusRequestSpec, proto(2, required=True)] = field(
        default_factory=ResourcePoolStatusRequestSpec
    )
    status: Annotated[ResourcePoolStatusRequestStatus | None, proto(3)] = None


def _prepare(obj: ResourcePoolStatusRequest, old: ResourcePoolStatusRequest | None) -> None:
    obj.status = copy_of(old.status) if old is not None and old.status is not None else None


def _prepare_status(obj: ResourcePoolStatusRequest, old: ResourcePoolStatusRequest) -> None:
    obj.spec = copy_of(old.spec)


RESOURCEPOOLSTATUSREQUEST = Kind(
    group="resource.k8s.io",
    version="v1alpha3",
    kind="ResourcePoolStatusRequest",
    plural="resourcepoolstatusrequests",
    schema=ResourcePoolStatusRequest,
    namespaced=False,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    allow_unconditional_update=False,
    prepare=_prepare,
    prepare_status=_prepare_status,
)
