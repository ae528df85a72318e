"""IPAddress. Source: staging/src/k8s.io/api/networking/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.errors import FieldError, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME, NONE
from tiphys.api.kinds.networking.ingress_validation import validate_reference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto
from tiphys.api.meta.validation import each, immutable


class ParentReference(Struct):
    """The object that uses an address."""

    group: Annotated[str, proto(1)] = ""
    resource: Annotated[str, proto(2, required=True)] = ""
    namespace: Annotated[str, proto(3)] = ""
    name: Annotated[str, proto(4, required=True)] = ""


class IPAddressSpec(Struct):
    """What uses the address."""

    parent_ref: Annotated[ParentReference | None, proto(1, required=True)] = None


class IPAddress(Resource):
    """An address in use, and by what; its name is the address."""

    spec: Annotated[IPAddressSpec, proto(2, required=True)] = field(default_factory=IPAddressSpec)


def _name(name: str, _prefix: bool) -> list[str]:
    """The address in its canonical form; names are never generated."""
    return names.ip_canonical(name)


def _validate(obj: IPAddress, old: IPAddress | None) -> Iterator[FieldError]:
    path, parent = "spec.parentRef", obj.spec.parent_ref
    if old is not None:
        yield from immutable(path, parent, old.spec.parent_ref)
        return
    if parent is None:
        yield required(path)
        return
    if parent.group:
        yield from each(f"{path}.group", parent.group, names.dns_subdomain(parent.group))
    yield from validate_reference(path, None, {"resource": parent.resource, "name": parent.name})
    if parent.namespace:
        yield from each(f"{path}.namespace", parent.namespace, names.path_segment(parent.namespace))


def _parent_cell(obj: IPAddress) -> str:
    parent = obj.spec.parent_ref
    if parent is None:
        return NONE
    resource = f"{parent.resource}.{parent.group}" if parent.group else parent.resource
    return "/".join(filter(None, (resource.lower(), parent.namespace, parent.name)))


COLUMNS: tuple[Column[IPAddress], ...] = (
    NAME,
    Column("ParentRef", "string", _parent_cell, "What uses the address."),
    AGE,
)


IPADDRESS = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IPAddress",
    plural="ipaddresses",
    schema=IPAddress,
    name_rule=_name,
    validate=_validate,
    columns=COLUMNS,
    namespaced=False,
    short_names=("ip",),
)

IPADDRESS_V1BETA1 = replace(IPADDRESS, version="v1beta1", stored_as=IPADDRESS)
