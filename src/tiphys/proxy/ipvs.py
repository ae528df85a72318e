"""Services as virtual servers of the kernel's IPVS, with their endpoints as real servers. Pure.

    packet to 10.96.0.5:80 ─ local, for the address is on `kube-ipvs0` ─ virtual server ─ scheduler ─ real server

A Service is items of these kinds: `VIRTUAL` ("tcp 10.96.0.5 80") with scheduler and affinity, `REAL` (the same, then
"> 10.244.0.7 8080"), `ADDRESS` for the device, and elements of nftables sets for what IPVS does not do (`ipvs_rules`).
Node ports have `NODE` in the place of an address: the kernel side puts each of the node's addresses there.

Source: pkg/proxy/ipvs/proxier.go for behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from tiphys.api.kinds.core.service import Service, ServicePort
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base.family import Family
from tiphys.proxy.endpoints import Backend, Endpoints, Place, ports_of
from tiphys.proxy.ruleset import Fragment, Item, Surroundings, affinity_s, external_ips, fence

_K = TypeVar("_K")
_V = TypeVar("_V")

VIRTUAL, REAL, ADDRESS = "virtual", "real", "address"
NODE = "node"
"""Stands for every address of the node."""


class Virtual(NamedTuple):
    """Who is asked."""

    protocol: str
    """In lower case."""
    ip: str
    port: int


class Options(NamedTuple):
    """How a virtual server picks."""

    scheduler: str
    affinity_s: int
    """A client stays for so long with its real server; 0: it does not."""


@dataclass(slots=True)
class State:
    """What the kernel should hold, or holds."""

    virtuals: dict[Virtual, Options] = field(default_factory=dict)
    reals: dict[tuple[Virtual, Backend], int] = field(default_factory=dict)
    """With their weights; 0: gets no new connections."""
    addresses: set[str] = field(default_factory=set)


def fragment_of(service: Service, slices: Sequence[EndpointSlice], place: Place, around: Surroundings) -> Fragment:
    """Everything that this Service asks for on this node; nothing where it is not ours to translate."""
    items: Fragment = {}
    for port, endpoints in ports_of(service, slices, place):
        _ServicePort(items, service, port, endpoints, around).add()
    return items


class _ServicePort:
    def __init__(
        self, items: Fragment, service: Service, port: ServicePort, endpoints: Endpoints, around: Surroundings
    ) -> None:
        self._items, self._service, self._port, self._endpoints = items, service, port, endpoints
        self._family: Family = around.family
        self._protocol = (port.protocol or "TCP").lower()
        self._options = f"{around.ipvs_scheduler} {affinity_s(service)}"

    def add(self) -> None:
        spec, everywhere, here = self._service.spec, self._endpoints.cluster, self._endpoints.local
        for ip in self._endpoints.hairpins:
            self._items["hairpins", f"{ip} . {ip}"] = ""
        only_here = spec.internal_traffic_policy == "Local"
        for ip in dict.fromkeys(self._family.of([spec.cluster_ip, *spec.cluster_ips])):
            self._items["cluster-ips", ip] = ""
            self._virtual(ip, self._port.port, here if only_here else everywhere)
            if only_here and not here:
                self._items["silent", self._key(ip)] = ""
        for ip in external_ips(self._service, self._family):
            self._external(ip, self._port.port)
            self._keep_outside(self._key(ip), "silent-outside", "masqueraded")
        if self._port.node_port:
            self._external(NODE, self._port.node_port)
            key = f"{self._protocol} . {self._port.node_port}"
            self._keep_outside(key, "silent-node-ports", "masqueraded-node-ports")
        fence(self._items, self._service, self._port, self._family)

    def _external(self, ip: str, port: int) -> None:
        """With a Local policy endpoints elsewhere serve only those inside, while there is none here."""
        local = self._service.spec.external_traffic_policy == "Local"
        here, everywhere = self._endpoints.local, self._endpoints.cluster
        self._virtual(ip, port, (here or everywhere) if local else everywhere)

    def _keep_outside(self, key: str, silent: str, masqueraded: str) -> None:
        if self._service.spec.external_traffic_policy != "Local":
            self._items[masqueraded, key] = ""
        elif not self._endpoints.local:
            self._items[silent, key] = ""

    def _virtual(self, ip: str, port: int, backends: tuple[Backend, ...]) -> None:
        if ip != NODE:
            self._items[ADDRESS, ip] = ""
        if not backends:
            return  # No virtual server: what comes for the address is refused.
        name = f"{self._protocol} {ip} {port}"
        self._items[VIRTUAL, name] = self._options
        served, key = ("served", self._key(ip)) if ip != NODE else ("served-node-ports", f"{self._protocol} . {port}")
        self._items[served, key] = ""
        for backend in backends:
            self._items[REAL, f"{name} > {backend.ip} {backend.port}"] = "1"

    def _key(self, ip: str) -> str:
        return f"{ip} . {self._protocol} . {self._port.port}"


def state_of(items: Iterable[tuple[Item, str]], node_addresses: Sequence[str]) -> State:
    """The items for IPVS, with the node's addresses put in."""
    state = State()
    for (kind, key), value in items:
        if kind == ADDRESS:
            state.addresses.add(key)
        elif kind == VIRTUAL:
            scheduler, _, timeout = value.partition(" ")
            for virtual in _virtuals(key, node_addresses):
                state.virtuals[virtual] = Options(scheduler, int(timeout))
        elif kind == REAL:
            name, _, end = key.partition(" > ")
            ip, _, port = end.partition(" ")
            for virtual in _virtuals(name, node_addresses):
                state.reals[virtual, Backend(ip, int(port))] = int(value)
    return state


def _virtuals(name: str, node_addresses: Sequence[str]) -> list[Virtual]:
    protocol, ip, port = name.split(" ")
    return [Virtual(protocol, each, int(port)) for each in (node_addresses if ip == NODE else (ip,))]


@dataclass(slots=True)
class Steps:
    """What leads from one state to another, in the order in which it is done."""

    add_addresses: set[str] = field(default_factory=set)
    new_virtuals: dict[Virtual, Options] = field(default_factory=dict)
    set_virtuals: dict[Virtual, Options] = field(default_factory=dict)
    new_reals: dict[tuple[Virtual, Backend], int] = field(default_factory=dict)
    set_reals: dict[tuple[Virtual, Backend], int] = field(default_factory=dict)
    drop_reals: set[tuple[Virtual, Backend]] = field(default_factory=set)
    """Of virtual servers that stay; those of others go with them."""
    drop_virtuals: set[Virtual] = field(default_factory=set)
    drop_addresses: set[str] = field(default_factory=set)


def steps(before: State, after: State) -> Steps:
    return Steps(
        after.addresses - before.addresses,
        _only(after.virtuals, lambda key: key not in before.virtuals),
        _only(after.virtuals, lambda key: before.virtuals.get(key, after.virtuals[key]) != after.virtuals[key]),
        _only(after.reals, lambda key: key not in before.reals),
        _only(after.reals, lambda key: before.reals.get(key, after.reals[key]) != after.reals[key]),
        {key for key in before.reals.keys() - after.reals.keys() if _stays(key[0], before, after)},
        before.virtuals.keys() - after.virtuals.keys(),
        before.addresses - after.addresses,
    )


def _only(found: Mapping[_K, _V], wanted: Callable[[_K], bool]) -> dict[_K, _V]:
    return {key: value for key, value in found.items() if wanted(key)}


def _stays(virtual: Virtual, before: State, after: State) -> bool:
    return virtual in after.virtuals or virtual not in before.virtuals
