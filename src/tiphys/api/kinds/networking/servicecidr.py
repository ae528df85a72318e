"""ServiceCIDR. Source: staging/src/k8s.io/api/networking/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, required
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, copy_of, field, proto
from tiphys.api.meta.types import Condition
from tiphys.api.meta.validation import IMMUTABLE, each, immutable


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


_ONE_PER_FAMILY = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def _validate(obj: ServiceCIDR, old: ServiceCIDR | None) -> Iterator[FieldError]:
    path, cidrs = "spec.cidrs", obj.spec.cidrs
    before = old.spec.cidrs if old is not None else []
    if old is None:
        yield from _validate_ranges(cidrs, path)
    elif len(cidrs) != len(before) and (len(before), len(cidrs)) != (1, 2):
        yield invalid(path, cidrs, IMMUTABLE)
    else:
        for index, (new, known) in enumerate(zip(cidrs, before, strict=False)):
            yield from immutable(f"{path}[{index}]", new, known)
        if len(cidrs) > len(before):
            yield from _validate_ranges(cidrs, path)


def _validate_ranges(cidrs: list[str], path: str) -> Iterator[FieldError]:
    if not cidrs:
        yield required(path, "at least one CIDR required")
        return
    if len(cidrs) > 2:
        yield invalid(path, ServiceCIDRSpec(cidrs=cidrs), "may only hold up to 2 values")
        return
    bad = False
    for index, cidr in enumerate(cidrs):
        problems = names.cidr(cidr)
        bad = bad or bool(problems)
        yield from each(f"{path}[{index}]", cidr, problems)
    if len(cidrs) == 2 and not bad and (":" in cidrs[0]) == (":" in cidrs[1]):
        yield invalid(path, cidrs, _ONE_PER_FAMILY)


COLUMNS: tuple[Column[ServiceCIDR], ...] = (
    NAME,
    Column("CIDRs", "string", lambda obj: ",".join(obj.spec.cidrs), "The ranges."),
    AGE,
)


SERVICECIDR = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="ServiceCIDR",
    plural="servicecidrs",
    schema=ServiceCIDR,
    validate=_validate,
    columns=COLUMNS,
    namespaced=False,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    prepare=_prepare,
    prepare_status=_prepare_status,
)

SERVICECIDR_V1BETA1 = replace(SERVICECIDR, version="v1beta1", stored_as=SERVICECIDR)
