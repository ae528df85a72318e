"""Services as nftables objects. Pure: one Service and its EndpointSlices in, what the table holds for it out.

The table's fixed part (`base`) looks a new connection up in verdict maps, so its cost does not grow with the number of
Services:

    prerouting, output ─> services: `address . protocol . port` in map `services`    ─> a chain that picks
                                    local address: `protocol . port` in `node-ports` ─> a chain that picks
    pick: `service-3` = dnat to `address . protocol . port . random(3)` in map `endpoints`

The picking chains are shared by all Services with that many endpoints, so a Service is nothing but map elements, and a
change of it costs a few elements. Only what needs memory has chains and sets of its own: session affinity (`sticky-*`)
and source ranges (`fence-*`).

Traffic that needs the node's own address as its source is marked when picked (`-masq` chains) and masqueraded in
postrouting; a pod that meets itself (hairpin) is recognised there by its address pair. What nobody serves is refused
(ICMP port unreachable) in the filter hooks, or dropped where the traffic policy is Local.

Source: pkg/proxy/nftables/proxier.go for behaviour; the construction is our own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiphys.api.kinds.core.service import Service, ServicePort
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base.family import IPV4, Family
from tiphys.proxy.endpoints import Backend, Endpoints, Place, ports_of

TABLE = "tiphys-proxy"
MASQUERADE_MARK = 0x4000
"""Upstream's bit, so that others who leave it alone leave ours alone."""

CHAIN, SET, PICK = "chain", "set", "pick"
Item = tuple[str, str]
"""What the table can hold: (`CHAIN`, name) with its rules, (`SET`, name) with its declaration, (`PICK`, count) for the
picking chains of that many endpoints, or (map or set, key) with the element's value (empty in a set)."""
Fragment = dict[Item, str]
"""All items that one Service asks for."""

_NODE_FRONT = "type inet_proto . inet_service : verdict;"


def maps(family: Family) -> dict[str, str]:
    """The table's maps and how they are declared."""
    front = f"type {family.nft_type} . inet_proto . inet_service : verdict;"
    ends = f"{family.nft} daddr . th dport"
    pick = f"typeof {_address_key(family)} . numgen random mod 65536 : {ends};"
    node_pick = f"typeof {_PORT_KEY} . numgen random mod 65536 : {ends};"
    return {
        # Who is asked, from anywhere.
        "services": front,
        "node-ports": _NODE_FRONT,
        # externalTrafficPolicy Local: asked from inside the cluster, and from outside of it.
        "services-inside": front,
        "node-ports-inside": _NODE_FRONT,
        "services-outside": front,
        "node-ports-outside": _NODE_FRONT,
        # Who answers.
        "endpoints": pick,
        "node-endpoints": node_pick,
        "endpoints-outside": pick,
        "node-endpoints-outside": node_pick,
        # Who does not.
        "unserved": front,
        "unserved-node-ports": _NODE_FRONT,
        # loadBalancerSourceRanges.
        "fenced": front,
    }


def sets(family: Family) -> dict[str, str]:
    return {"cluster-ips": f"type {family.nft_type};", "hairpins": f"type {family.nft_type} . {family.nft_type};"}


LOOPBACK_CLOSED = (
    '  iifname != "lo" ip daddr 127.0.0.0/8 ct state { new, invalid, untracked } ct status & dnat == 0 drop\n'
)
"""`route_localnet` opens loopback to neighbours; this closes it again. Whoever set it may have been another mode."""

SIZES = range(1, 17)
"""The endpoint counts that every load provides for."""

_PORT_KEY = "meta l4proto . th dport"
_MARK = f"meta mark set meta mark | {MASQUERADE_MARK:#x}"
_PROTOCOLS = "meta l4proto { tcp, udp, sctp }"


def _address_key(family: Family) -> str:
    return f"{family.nft} daddr . {_PORT_KEY}"


ELEMENT_COLLECTIONS = (*maps(IPV4), *sets(IPV4))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the fixed part of the table must know."""

    cluster_cidr: str = ""
    """Who asks for a Service's cluster address from outside of it is masqueraded."""
    service_cidr: str = ""
    """Addresses of it that belong to nobody are dropped, so that they never leave the machine."""
    node_port_addresses: tuple[str, ...] = ()
    """Networks; node ports answer on the node's addresses in them alone. Empty: on all."""
    family: Family = IPV4
    """Of all addresses here."""
    ipvs_scheduler: str = "rr"
    """How the ipvs mode picks."""
    masquerade_all: bool = False
    """Whether every connection to a cluster address is masqueraded."""


def base(sizes: Iterable[int], around: Surroundings = Surroundings()) -> str:
    """The table without any Service: declarations and fixed chains, as nft reads them.

    `sizes`: the endpoint counts that there are picking chains for. They can only be made together with the maps they
    look into: libnftables 1.0.6 takes no rule that uses a `typeof` map read back from the kernel ("conflicting
    protocols specified"), so a new count costs a whole load; see `SIZES` and `Kernel`.
    """
    cluster_cidr, service_cidr, family = around.cluster_cidr, around.service_cidr, around.family
    word, address_key = family.nft, _address_key(family)
    declared = "".join(f" map {name} {{ {kind} }}\n" for name, kind in maps(family).items())
    declared += "".join(f" set {name} {{ {kind} }}\n" for name, kind in sets(family).items())
    strangers = f"  {word} daddr @cluster-ips {word} saddr != {cluster_cidr} {_MARK}\n" if cluster_cidr else ""
    if around.masquerade_all:
        strangers = f"  {word} daddr @cluster-ips {_MARK}\n"
    listed = ", ".join(around.node_port_addresses)
    faces = f"{word} daddr {{ {listed} }} fib daddr type local" if listed else "fib daddr type local"
    picks = "".join(_picks(size, family) for size in sorted(set(sizes)))
    unowned = f"  {word} daddr {service_cidr} drop\n" if service_cidr else ""
    return (
        f"table {word} {TABLE} {{\n{declared}{picks}"
        f" chain refuse {{\n  reject\n }}\n"
        f" chain unserved-chain {{\n  {address_key} vmap @unserved\n"
        f"  {word} daddr @cluster-ips goto refuse\n{unowned} }}\n"
        f"{_by_origin('service', address_key, 'services', around)}"
        f"{_by_origin('node', _PORT_KEY, 'node-ports', around)}"
        f" chain services-chain {{\n{strangers}  {address_key} vmap @services\n"
        f"  {faces} {_PORT_KEY} vmap @node-ports\n }}\n"
        " chain fence-prerouting {\n  type filter hook prerouting priority -110; policy accept;\n"
        f"  ct state new {address_key} vmap @fenced\n }}\n"
        " chain fence-output {\n  type filter hook output priority -110; policy accept;\n"
        f"  ct state new {address_key} vmap @fenced\n }}\n"
        " chain prerouting {\n  type nat hook prerouting priority -100; policy accept;\n  jump services-chain\n }\n"
        " chain output {\n  type nat hook output priority -100; policy accept;\n  jump services-chain\n }\n"
        " chain postrouting {\n  type nat hook postrouting priority 100; policy accept;\n"
        '  oifname "lo" return\n'
        f"  {word} saddr . {word} daddr @hairpins masquerade fully-random\n"
        f"  meta mark & {MASQUERADE_MARK:#x} == 0 return\n"
        f"  meta mark set meta mark ^ {MASQUERADE_MARK:#x}\n  masquerade fully-random\n }}\n"
        " chain input {\n  type filter hook input priority 0; policy accept;\n"
        f"{LOOPBACK_CLOSED if family == IPV4 else ''}"
        f"  ct state new {faces} {_PORT_KEY} vmap @unserved-node-ports\n  ct state new jump unserved-chain\n }}\n"
        " chain forward {\n  type filter hook forward priority 0; policy accept;\n"
        "  ct state new jump unserved-chain\n }\n"
        " chain output-filter {\n  type filter hook output priority 0; policy accept;\n"
        "  ct state new jump unserved-chain\n }\n"
        "}\n"
    )


def _picks(size: int, family: Family) -> str:
    """The chains that send a connection to one of `size` endpoints."""
    address_key = _address_key(family)

    def dnat(asked: str, places: str) -> str:
        return f"  {_PROTOCOLS} dnat {family.nft} to {asked} . numgen random mod {size} map @{places}\n"

    return (
        f" chain service-{size} {{\n{dnat(address_key, 'endpoints')} }}\n"
        f" chain service-{size}-masq {{\n  {_MARK}\n  goto service-{size}\n }}\n"
        f" chain service-{size}-outside {{\n{dnat(address_key, 'endpoints-outside')} }}\n"
        f" chain node-{size}-masq {{\n  {_MARK}\n{dnat(_PORT_KEY, 'node-endpoints')} }}\n"
        f" chain node-{size}-outside {{\n{dnat(_PORT_KEY, 'node-endpoints-outside')} }}\n"
    )


def _by_origin(face: str, key: str, front: str, around: Surroundings) -> str:
    """externalTrafficPolicy Local holds for the outside only: pods and the node itself may use every endpoint."""
    cidr = around.cluster_cidr
    pods = f"  {around.family.nft} saddr {cidr} {key} vmap @{front}-inside\n" if cidr else ""
    return (
        f" chain {face}-by-origin {{\n{pods}  fib saddr type local {key} vmap @{front}-inside\n"
        f"  {key} vmap @{front}-outside\n }}\n"
    )


def fragment_of(service: Service, slices: Sequence[EndpointSlice], place: Place) -> Fragment:
    """Everything that this Service puts into the table of this node; nothing where it is not ours to translate."""
    return fragment_with(service, ports_of(service, slices, place), place.family)


def fragment_with(service: Service, ports: Iterable[tuple[ServicePort, Endpoints]], family: Family = IPV4) -> Fragment:
    """The same for these ports, with what stands in the place of their endpoints."""
    items: Fragment = {}
    for port, endpoints in ports:
        _ServicePort(items, service, port, endpoints, family).add()
    return items


def udp_fronts(
    service: Service, slices: Sequence[EndpointSlice], place: Place
) -> dict[tuple[str, int], frozenset[Backend]]:
    """Where clients send UDP for this Service (address and port; no address for a node port), and who may answer."""
    fronts: dict[tuple[str, int], frozenset[Backend]] = {}
    for port, endpoints in ports_of(service, slices, place):
        if port.protocol != "UDP":
            continue
        backends = frozenset(endpoints.cluster + endpoints.local)
        asked = [*service.spec.cluster_ips, service.spec.cluster_ip, *external_ips(service, place.family)]
        for ip in place.family.of(asked):
            fronts[ip, port.port] = backends
        if port.node_port:
            fronts["", port.node_port] = backends
    return fronts


def external_ips(service: Service, family: Family) -> list[str]:
    """externalIPs, and what a load balancer delivers with the destination unchanged."""
    ingress = service.status.load_balancer.ingress if service.spec.type == "LoadBalancer" else []
    delivered = [entry.ip for entry in ingress if entry.ip_mode != "Proxy"]
    return list(dict.fromkeys(family.of([*service.spec.external_ips, *delivered])))


class _ServicePort:
    """Adds the items of one port of one Service to `items`."""

    def __init__(
        self, items: Fragment, service: Service, port: ServicePort, endpoints: Endpoints, family: Family
    ) -> None:
        self._family = family
        self._items, self._service, self._port, self._endpoints = items, service, port, endpoints
        self._protocol = (port.protocol or "TCP").lower()
        self._id = _port_id(service, port)

    def add(self) -> None:
        spec, everywhere, here = self._service.spec, self._endpoints.cluster, self._endpoints.local
        for ip in self._endpoints.hairpins:
            self._items["hairpins", f"{ip} . {ip}"] = ""
        only_here = spec.internal_traffic_policy == "Local"
        for ip in dict.fromkeys(self._family.of([spec.cluster_ip, *spec.cluster_ips])):
            self._items["cluster-ips", ip] = ""
            key = f"{ip} . {self._protocol} . {self._port.port}"
            chosen = here if only_here else everywhere
            if chosen:
                self._items["services", key] = self._pick("service", key, chosen, masquerade=False)
            else:
                self._unserved("unserved", key, local=only_here)
        for ip in external_ips(self._service, self._family):
            self._external("service", "services", "unserved", f"{ip} . {self._protocol} . {self._port.port}")
        if self._port.node_port:
            key = f"{self._protocol} . {self._port.node_port}"
            self._external("node", "node-ports", "unserved-node-ports", key)
        fence(self._items, self._service, self._port, self._family)

    def _external(self, face: str, front: str, unserved: str, key: str) -> None:
        """An address that the outside uses."""
        everywhere, here = self._endpoints.cluster, self._endpoints.local
        if self._service.spec.external_traffic_policy != "Local":
            if everywhere:
                self._items[front, key] = self._pick(face, key, everywhere, masquerade=True)
            else:
                self._unserved(unserved, key, local=False)
            return
        if everywhere:
            self._items[front, key] = f"goto {face}-by-origin"
            self._items[f"{front}-inside", key] = self._pick(face, key, everywhere, masquerade=True)
        if here:
            self._items[f"{front}-outside", key] = self._pick(face, key, here, outside=True)
        else:
            self._unserved(unserved, key, local=bool(everywhere))

    def _unserved(self, collection: str, key: str, *, local: bool) -> None:
        # Others may serve it where the policy keeps it to this node: no answer is better than a wrong "closed".
        self._items[collection, key] = "drop" if local else "goto refuse"

    def _pick(
        self, face: str, key: str, backends: tuple[Backend, ...], *, masquerade: bool = False, outside: bool = False
    ) -> str:
        """The verdict that sends a connection for `key` to one of `backends`."""
        if affinity_s(self._service):
            chain = self._sticky(backends)
            if masquerade:
                self._items[CHAIN, f"{chain}-masq"] = f"{_MARK}\ngoto {chain}"
        else:
            places = ("endpoints" if face == "service" else "node-endpoints") + ("-outside" if outside else "")
            for index, backend in enumerate(backends):
                self._items[places, f"{key} . {index}"] = f"{backend.ip} . {backend.port}"
            self._items[PICK, str(len(backends))] = ""
            chain = f"{face}-{len(backends)}" + ("-outside" if outside else "")
        return f"goto {chain}" + ("-masq" if masquerade else "")

    def _sticky(self, backends: tuple[Backend, ...]) -> str:
        """The chain of a Service whose clients come back to the endpoint they had, for `timeoutSeconds` after their
        last connection. Each endpoint remembers its clients, whatever address of the Service they used."""
        timeout_s = affinity_s(self._service)
        word = self._family.nft
        targets = []
        rules = []
        for backend in backends:
            name = _short(f"{self._id}/{backend.ip}/{backend.port}/{timeout_s}")
            remembered, target = f"clients-{name}", f"endpoint-{name}"
            # A dynamic set; a full one forgets nobody, it only learns no more.
            self._items[SET, remembered] = (
                f"type {self._family.nft_type}; size 65535; flags dynamic,timeout; timeout {timeout_s}s;"
            )
            self._items[CHAIN, target] = (
                f"update @{remembered} {{ {word} saddr }}\n"
                f"meta l4proto {self._protocol} dnat to {self._family.with_port(*backend)}"
            )
            rules.append(f"{word} saddr @{remembered} goto {target}")
            targets.append(target)
        among = ", ".join(f"{index} : goto {target}" for index, target in enumerate(targets))
        rules.append(f"numgen random mod {len(targets)} vmap {{ {among} }}")
        # The cluster's and the node's own choice may differ (Local policies): named by what they hold.
        chain = f"sticky-{_short(self._id + ''.join(targets))}"
        self._items[CHAIN, chain] = "\n".join(rules)
        return chain


def affinity_s(service: Service) -> int:
    """For how long a client comes back to its endpoint; 0: it does not."""
    if service.spec.session_affinity != "ClientIP":
        return 0
    config = service.spec.session_affinity_config
    client_ip = config.client_ip if config else None
    return (client_ip.timeout_seconds if client_ip else None) or 10800


def fence(items: Fragment, service: Service, port: ServicePort, family: Family) -> None:
    """Adds what keeps strangers from a load balancer's addresses (`loadBalancerSourceRanges`)."""
    ranges = [text.strip() for text in service.spec.load_balancer_source_ranges]
    if service.spec.type != "LoadBalancer" or not ranges:
        return
    protocol = (port.protocol or "TCP").lower()
    chain = f"fence-{_port_id(service, port)}"
    allowed = ", ".join(sorted(family.of(ranges)))
    items[CHAIN, chain] = (f"{family.nft} saddr {{ {allowed} }} return\n" if allowed else "") + "drop"
    for entry in service.status.load_balancer.ingress:
        for ip in family.of([entry.ip]):
            items["fenced", f"{ip} . {protocol} . {port.port}"] = f"goto {chain}"


def _port_id(service: Service, port: ServicePort) -> str:
    protocol = (port.protocol or "TCP").lower()
    return _short(f"{service.metadata.namespace}/{service.metadata.name}/{protocol}/{port.port}")


def _short(name: str) -> str:
    """A name that nft accepts, of 80 bits: enough that two never meet."""
    return hashlib.sha256(name.encode()).hexdigest()[:20]
