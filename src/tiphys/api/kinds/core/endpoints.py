"""Endpoints, the older form of EndpointSlice. Source: staging/src/k8s.io/api/core/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, not_supported, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME, NONE
from tiphys.api.kinds.core import checks
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, field, proto
from tiphys.api.meta.validation import each


class EndpointAddress(Struct):
    """The address of one backend."""

    ip: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    hostname: Annotated[str, proto(3)] = ""
    node_name: Annotated[str | None, proto(4)] = None
    target_ref: Annotated[ObjectReference | None, proto(2, atomic=True)] = None


class EndpointPort(Struct):
    """A port of the backends."""

    name: Annotated[str, proto(1)] = ""
    port: Annotated[Int32, proto(2, required=True)] = field(default_factory=int)
    protocol: Annotated[str, proto(3)] = ""
    app_protocol: Annotated[str | None, proto(4)] = None


class EndpointSubset(Struct):
    """Backends with the same ports, ready or not."""

    addresses: Annotated[list[EndpointAddress], proto(1, list_type="atomic")] = []
    not_ready_addresses: Annotated[list[EndpointAddress], proto(2, list_type="atomic")] = []
    ports: Annotated[list[EndpointPort], proto(3, list_type="atomic")] = []


class Endpoints(Resource):
    """The backends of a Service."""

    subsets: Annotated[list[EndpointSubset], proto(2, list_type="atomic")] = []


_SHOWN = 3


def _default(endpoints: Endpoints) -> None:
    for subset in endpoints.subsets:
        for port in subset.ports:
            port.protocol = port.protocol or "TCP"


def _validate(endpoints: Endpoints, old: Endpoints | None) -> Iterator[FieldError]:
    if old is not None and old.subsets == endpoints.subsets:
        return
    for index, subset in enumerate(endpoints.subsets):
        at = f"subsets[{index}]"
        if not subset.addresses and not subset.not_ready_addresses:
            yield required(at, "must specify `addresses` or `notReadyAddresses`")
        for position, address in enumerate(subset.addresses):
            yield from _validate_address(f"{at}.addresses[{position}]", address)
        for position, address in enumerate(subset.not_ready_addresses):
            yield from _validate_address(f"{at}.notReadyAddresses[{position}]", address)
        for position, port in enumerate(subset.ports):
            yield from _validate_port(f"{at}.ports[{position}]", port, named=len(subset.ports) > 1)


def _validate_address(at: str, address: EndpointAddress) -> Iterator[FieldError]:
    yield from each(f"{at}.ip", address.ip, names.ip(address.ip))
    if address.hostname:
        yield from each(f"{at}.hostname", address.hostname, names.dns_label(address.hostname))
    if address.node_name is not None:
        yield from each(f"{at}.nodeName", address.node_name, names.dns_subdomain(address.node_name))
    yield from checks.endpoint_ip(f"{at}.ip", address.ip)


def _validate_port(at: str, port: EndpointPort, named: bool) -> Iterator[FieldError]:
    if port.name:
        yield from each(f"{at}.name", port.name, names.dns_label(port.name))
    elif named:
        yield required(f"{at}.name")
    yield from each(f"{at}.port", port.port, names.port_number(port.port))
    if not port.protocol:
        yield required(f"{at}.protocol")
    elif port.protocol not in checks.PROTOCOLS:
        yield not_supported(f"{at}.protocol", port.protocol, checks.PROTOCOLS)
    if port.app_protocol is not None:
        yield from each(f"{at}.appProtocol", port.app_protocol, names.qualified_name(port.app_protocol))


def _addresses_text(endpoints: Endpoints) -> str:
    """The first three addresses, with ports where there are any."""
    texts: list[str] = []
    for subset in endpoints.subsets:
        ips = [f"[{a.ip}]" if ":" in a.ip and subset.ports else a.ip for a in subset.addresses]
        if not subset.ports:
            texts += ips
        for port in subset.ports:
            texts += [f"{ip}:{port.port}" for ip in ips]
    if not endpoints.subsets:
        return NONE
    more = f" + {len(texts) - _SHOWN} more..." if len(texts) > _SHOWN else ""
    return ",".join(texts[:_SHOWN]) + more


ENDPOINTS = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    schema=Endpoints,
    short_names=("ep",),
    storage_name="services/endpoints",
    allow_create_on_update=True,
    default=_default,
    validate=_validate,
    columns=(NAME, Column("Endpoints", "string", _addresses_text, "Where the service's traffic goes."), AGE),
)
