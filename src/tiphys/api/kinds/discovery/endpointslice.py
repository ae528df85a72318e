"""EndpointSlice: a part of a Service's endpoints. Source: staging/src/k8s.io/api/discovery/v1/types.go."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, invalid, not_supported, required, too_many
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core import checks
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, empty_list, field, proto
from tiphys.api.meta.validation import each, immutable, validate_labels


class EndpointConditions(Struct):
    """Whether an endpoint is ready, serving, terminating; unknown counts as ready."""

    ready: Annotated[bool | None, proto(1)] = None
    serving: Annotated[bool | None, proto(2)] = None
    terminating: Annotated[bool | None, proto(3)] = None


class ForZone(Struct):
    """A zone that should use the endpoint."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class ForNode(Struct):
    """A node that should use the endpoint."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class EndpointHints(Struct):
    """Who should use the endpoint, so that traffic stays near."""

    for_zones: Annotated[list[ForZone], proto(1, list_type="atomic")] = []
    for_nodes: Annotated[list[ForNode], proto(2, list_type="atomic")] = []


class Endpoint(Struct):
    """One backend: its addresses, where it runs, how it fares."""

    addresses: Annotated[list[str], proto(1, required=True, list_type="set")] = field(default_factory=empty_list)
    conditions: Annotated[EndpointConditions, proto(2)] = field(default_factory=EndpointConditions)
    hostname: Annotated[str | None, proto(3)] = None
    target_ref: Annotated[ObjectReference | None, proto(4, atomic=True)] = None
    deprecated_topology: Annotated[dict[str, str], proto(5)] = {}
    node_name: Annotated[str | None, proto(6)] = None
    zone: Annotated[str | None, proto(7)] = None
    hints: Annotated[EndpointHints | None, proto(8)] = None


class EndpointPort(Struct):
    """A port of every endpoint of the slice."""

    name: Annotated[str | None, proto(1)] = None
    protocol: Annotated[str | None, proto(2)] = None
    port: Annotated[Int32 | None, proto(3)] = None
    app_protocol: Annotated[str | None, proto(4)] = None


class EndpointSlice(Resource):
    """Some of a Service's endpoints, all of one address type and with the same ports."""

    address_type: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    endpoints: Annotated[list[Endpoint], proto(2, list_type="atomic")] = field(default_factory=empty_list)
    ports: Annotated[list[EndpointPort], proto(3, list_type="atomic")] = field(default_factory=empty_list)


ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ADDRESSES, MAX_PORTS, MAX_ENDPOINTS, MAX_TOPOLOGY_LABELS, MAX_HINTS = 100, 20000, 1000, 16, 8
_SHOWN = 3


def _default(endpoint_slice: EndpointSlice) -> None:
    for port in endpoint_slice.ports:
        port.name = "" if port.name is None else port.name
        port.protocol = "TCP" if port.protocol is None else port.protocol


def _prepare(endpoint_slice: EndpointSlice, old: EndpointSlice | None) -> None:
    """The old topology labels are read only."""
    if old is None or old.endpoints != endpoint_slice.endpoints:
        for endpoint in endpoint_slice.endpoints:
            endpoint.deprecated_topology = {}


def _validate(endpoint_slice: EndpointSlice, old: EndpointSlice | None) -> Iterator[FieldError]:
    kind = endpoint_slice.address_type
    if not kind:
        yield required("addressType")
    elif kind not in ADDRESS_TYPES:
        yield not_supported("addressType", kind, ADDRESS_TYPES)
    yield from _validate_ports(endpoint_slice.ports)
    if old is None or old.endpoints != endpoint_slice.endpoints:
        yield from _validate_endpoints(endpoint_slice.endpoints, kind)
    if old is not None:
        yield from immutable("addressType", kind, old.address_type)


def _validate_ports(ports: list[EndpointPort]) -> Iterator[FieldError]:
    if len(ports) > MAX_PORTS:
        yield too_many("ports", len(ports), MAX_PORTS)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"ports[{index}]", port.name or ""
        if name:
            yield from each(f"{at}.name", name, names.dns_label(name))
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        if port.protocol is None:
            yield required(f"{at}.protocol")
        elif port.protocol not in checks.PROTOCOLS:
            yield not_supported(f"{at}.protocol", port.protocol, checks.PROTOCOLS)
        if port.app_protocol is not None:
            yield from each(f"{at}.appProtocol", port.app_protocol, names.qualified_name(port.app_protocol))


def _validate_endpoints(endpoints: list[Endpoint], kind: str) -> Iterator[FieldError]:
    if len(endpoints) > MAX_ENDPOINTS:
        yield too_many("endpoints", len(endpoints), MAX_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        at = f"endpoints[{index}]"
        if not endpoint.addresses:
            yield required(f"{at}.addresses", "must contain at least 1 address")
        elif len(endpoint.addresses) > MAX_ADDRESSES:
            yield too_many(f"{at}.addresses", len(endpoint.addresses), MAX_ADDRESSES)
        for position, address in enumerate(endpoint.addresses):
            yield from _validate_address(f"{at}.addresses", position, address, kind)
        if endpoint.node_name is not None:
            yield from each(f"{at}.nodeName", endpoint.node_name, names.dns_subdomain(endpoint.node_name))
        if len(endpoint.deprecated_topology) > MAX_TOPOLOGY_LABELS:
            yield too_many(f"{at}.deprecatedTopology", len(endpoint.deprecated_topology), MAX_TOPOLOGY_LABELS)
        yield from validate_labels(endpoint.deprecated_topology, f"{at}.deprecatedTopology")
        if endpoint.hostname is not None:
            yield from each(f"{at}.hostname", endpoint.hostname, names.dns_label(endpoint.hostname))
        if endpoint.hints is not None:
            yield from _validate_hints(f"{at}.hints", endpoint.hints)


def _validate_address(path: str, position: int, address: str, kind: str) -> Iterator[FieldError]:
    at = f"{path}[{position}]"
    if kind == "FQDN":
        yield from _validate_fqdn(at, address)
    elif kind in ("IPv4", "IPv6"):
        wrong = names.ip(address) if kind == "IPv4" else names.ip_canonical(address)
        yield from each(at, address, wrong)
        if not wrong:
            if (":" in address) != (kind == "IPv6"):
                yield invalid(path, address, f"must be an {kind} address")
            yield from checks.endpoint_ip(at, address)


def _validate_fqdn(at: str, address: str) -> Iterator[FieldError]:
    if not address:
        yield required(at)
        return
    domain = address.removesuffix(".")
    wrong = names.dns_subdomain(domain)
    if wrong:
        yield invalid(at, domain, ",".join(wrong))
    elif "." not in domain:
        yield invalid(at, domain, "should be a domain with at least two segments separated by dots")
    else:
        for label in domain.split("."):
            yield from each(at, label, names.dns_label(label))


def _validate_hints(at: str, hints: EndpointHints) -> Iterator[FieldError]:
    listed: tuple[tuple[str, Sequence[ForZone | ForNode]], ...] = (
        ("forZones", hints.for_zones),
        ("forNodes", hints.for_nodes),
    )
    for title, entries in listed:
        if len(entries) > MAX_HINTS:
            yield too_many(f"{at}.{title}", len(entries), MAX_HINTS)
            continue
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            path = f"{at}.{title}[{index}].name"
            if entry.name in seen:
                yield duplicate(path, entry.name)
            seen.add(entry.name)
            check = names.label_value if title == "forZones" else names.dns_subdomain
            yield from each(path, entry.name, check(entry.name))


def _shown(texts: list[str]) -> str:
    """The first three, and how many more there are."""
    if not texts:
        return "<unset>"
    more = f" + {len(texts) - _SHOWN} more..." if len(texts) > _SHOWN else ""
    return ",".join(texts[:_SHOWN]) + more


def _ports_text(endpoint_slice: EndpointSlice) -> str:
    return _shown([str(port.port) if port.port is not None else port.name or "*" for port in endpoint_slice.ports])


def _endpoints_text(endpoint_slice: EndpointSlice) -> str:
    return _shown([address for endpoint in endpoint_slice.endpoints for address in endpoint.addresses])


ENDPOINTSLICE = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    schema=EndpointSlice,
    generation=True,
    default=_default,
    prepare=_prepare,
    validate=_validate,
    columns=(
        NAME,
        Column("AddressType", "string", lambda obj: obj.address_type, "IPv4, IPv6 or FQDN."),
        Column("Ports", "string", _ports_text, "The ports of every endpoint."),
        Column("Endpoints", "string", _endpoints_text, "The addresses."),
        AGE,
    ),
)
