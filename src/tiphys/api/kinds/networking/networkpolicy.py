"""NetworkPolicy. Source: staging/src/k8s.io/api/networking/v1/types.go."""

import ipaddress
from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME, NONE
from tiphys.api.labels import selector_of
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, field, proto
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import each, validate_selector


class IPBlock(Struct):
    """Addresses, but for some."""

    cidr: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    except_: Annotated[list[str], proto(2, list_type="atomic")] = []


class NetworkPolicyPeer(Struct):
    """The other side of traffic: pods, namespaces or addresses."""

    pod_selector: Annotated[LabelSelector | None, proto(1, atomic=True)] = None
    namespace_selector: Annotated[LabelSelector | None, proto(2, atomic=True)] = None
    ip_block: Annotated[IPBlock | None, proto(3)] = None


class NetworkPolicyPort(Struct):
    """Ports of one protocol."""

    protocol: Annotated[str | None, proto(1)] = None
    port: Annotated[IntOrString | None, proto(2)] = None
    end_port: Annotated[Int32 | None, proto(3)] = None


class NetworkPolicyEgressRule(Struct):
    """Where traffic may go, on which ports."""

    ports: Annotated[list[NetworkPolicyPort], proto(1, list_type="atomic")] = []
    to: Annotated[list[NetworkPolicyPeer], proto(2, list_type="atomic")] = []


class NetworkPolicyIngressRule(Struct):
    """Where traffic may come from, on which ports."""

    ports: Annotated[list[NetworkPolicyPort], proto(1, list_type="atomic")] = []
    from_: Annotated[list[NetworkPolicyPeer], proto(2, list_type="atomic")] = []


class NetworkPolicySpec(Struct):
    """Which pods, and what may come in and go out."""

    pod_selector: Annotated[LabelSelector, proto(1, atomic=True)] = field(default_factory=LabelSelector)
    ingress: Annotated[list[NetworkPolicyIngressRule], proto(2, list_type="atomic")] = []
    egress: Annotated[list[NetworkPolicyEgressRule], proto(3, list_type="atomic")] = []
    policy_types: Annotated[list[str], proto(4, list_type="atomic")] = []


class NetworkPolicy(Resource):
    """Which traffic pods may have."""

    spec: Annotated[NetworkPolicySpec, proto(2)] = field(default_factory=NetworkPolicySpec)


INGRESS, EGRESS = "Ingress", "Egress"


def _default(obj: NetworkPolicy) -> None:
    spec = obj.spec
    if not spec.policy_types:
        spec.policy_types = [INGRESS, EGRESS] if spec.egress else [INGRESS]
    ports = [*(rule.ports for rule in spec.ingress), *(rule.ports for rule in spec.egress)]
    for port in chain.from_iterable(ports):
        if port.protocol is None:
            port.protocol = "TCP"


def _validate(obj: NetworkPolicy, old: NetworkPolicy | None) -> Iterator[FieldError]:
    spec, known = obj.spec, set(_cidrs(old)) if old is not None else set[str]()
    yield from validate_selector(spec.pod_selector, "spec.podSelector")
    for index, ingress in enumerate(spec.ingress):
        yield from _validate_rule(ingress.ports, ingress.from_, f"spec.ingress[{index}]", "from", known)
    for index, egress in enumerate(spec.egress):
        yield from _validate_rule(egress.ports, egress.to, f"spec.egress[{index}]", "to", known)
    if len(spec.policy_types) > 2:
        yield invalid("spec.policyTypes", spec.policy_types, "may not specify more than two policyTypes")
        return
    for index, policy_type in enumerate(spec.policy_types):
        if policy_type not in (INGRESS, EGRESS):
            yield not_supported(f"spec.policyTypes[{index}]", policy_type, (INGRESS, EGRESS))


def _cidrs(obj: NetworkPolicy) -> Iterator[str]:
    """Networks that were accepted once stay acceptable."""
    peers = [peer for rule in obj.spec.ingress for peer in rule.from_]
    for peer in (*peers, *(peer for rule in obj.spec.egress for peer in rule.to)):
        if peer.ip_block is not None:
            yield peer.ip_block.cidr
            yield from peer.ip_block.except_


_PROTOCOLS = ("TCP", "UDP", "SCTP")


def _validate_rule(
    ports: list[NetworkPolicyPort], peers: list[NetworkPolicyPeer], path: str, word: str, known: set[str]
) -> Iterator[FieldError]:
    for index, port in enumerate(ports):
        yield from _validate_port(port, f"{path}.ports[{index}]")
    for index, peer in enumerate(peers):
        yield from _validate_peer(peer, f"{path}.{word}[{index}]", known)


def _validate_port(given: NetworkPolicyPort, path: str) -> Iterator[FieldError]:
    if given.protocol is not None and given.protocol not in _PROTOCOLS:
        yield not_supported(f"{path}.protocol", given.protocol, _PROTOCOLS)
    port, end = given.port, given.end_port
    if isinstance(port, int):
        yield from each(f"{path}.port", port, names.port_number(port))
        if end is not None:
            if end < port:
                yield invalid(f"{path}.endPort", port, "must be greater than or equal to `port`")
            yield from each(f"{path}.endPort", end, names.port_number(end))
        return
    if end is not None:
        missing = "not specified" if port is None else "non-numeric"
        yield invalid(f"{path}.endPort", end, f"may not be specified when `port` is {missing}")
    if port is not None:
        yield from each(f"{path}.port", port, names.port_name(port))


def _validate_peer(peer: NetworkPolicyPeer, path: str, known: set[str]) -> Iterator[FieldError]:
    selectors = {"podSelector": peer.pod_selector, "namespaceSelector": peer.namespace_selector}
    for name, selector in selectors.items():
        if selector is not None:
            yield from validate_selector(selector, f"{path}.{name}")
    if peer.ip_block is not None:
        yield from _validate_block(peer.ip_block, f"{path}.ipBlock", known)
        if any(selector is not None for selector in selectors.values()):
            yield forbidden(path, "may not specify both ipBlock and another peer")
    elif all(selector is None for selector in selectors.values()):
        yield required(path, "must specify a peer")


def _validate_block(block: IPBlock, path: str, known: set[str]) -> Iterator[FieldError]:
    if not block.cidr:
        yield required(f"{path}.cidr")
        return
    if block.cidr not in known:
        yield from each(f"{path}.cidr", block.cidr, names.cidr(block.cidr))
    network = _network(block.cidr)
    if network is None:
        return
    for index, text in enumerate(block.except_):
        at = f"{path}.except[{index}]"
        if text not in known:
            yield from each(at, text, names.cidr(text))
        inner = _network(text)
        if inner is not None and not _within(inner, network):
            yield invalid(at, text, "must be a strict subset of `cidr`")


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _within(inner: _Network, outer: _Network) -> bool:
    if inner.version != outer.version or inner.prefixlen <= outer.prefixlen:
        return False
    return inner.network_address in outer


def _selector_cell(obj: NetworkPolicy) -> str:
    try:
        return str(selector_of(obj.spec.pod_selector)) or NONE
    except ValueError:
        return "<error>"


COLUMNS: tuple[Column[NetworkPolicy], ...] = (
    NAME,
    Column("Pod-Selector", "string", _selector_cell, "The pods that it is about."),
    AGE,
)


NETWORKPOLICY = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    schema=NetworkPolicy,
    default=_default,
    validate=_validate,
    columns=COLUMNS,
    short_names=("netpol",),
    generation=True,
)
