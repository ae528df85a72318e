"""ServiceCIDR. Source: staging/src/k8s.io/api/networking/v1/types.go."""

from typing import Annotated

from msgspec.structs import replace

from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, copy_of, field, proto
from tiphys.api.meta.types import Condition


class ServiceCIDRSpec(Struct):
    """The ranges: one per address family."""

    cidrs: Annotated[list[str], proto(1, list_type="atomic")] = []


class ServiceCIDRStatus(Struct):
    """Whether the ranges are in use."""

    conditions: Annotated[list[Condition], proto(1, merge_key="type", list_type="map", list_map_keys=("type",))] = []


class ServiceCIDR(Resource):
    """Addresses for Services."""

    spec: Annotated[ServiceCIDRSpec, proto(2)] = field(default_factory=ServiceCIDRSpec)
    status: Annotated[ServiceCIDRStatus, proto(3)] = field(default_factory=ServiceCIDRStatus)


def _prepare(obj: ServiceCIDR, old: ServiceCIDR | None) -> None:
    obj.status = copy_of(old.status) if old is not None else ServiceCIDRStatus()


def _prepare_status(obj: ServiceCIDR, old: ServiceCIDR) -> None:
    obj.spec = copy_of(old.spec)


SERVICECIDR = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="ServiceCIDR",
    plural="servicecidrs",
    schema=ServiceCIDR,
    namespaced=False,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    prepare=_prepare,
    prepare_status=_prepare_status,
)

SERVICECIDR_V1BETA1 = replace(SERVICECIDR, version="v1beta1", stored_as=SERVICECIDR)
