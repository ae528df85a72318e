"""Services as iptables chains, under the names that administrators of other clusters know. Pure.

    PREROUTING, OUTPUT -> KUBE-SERVICES: one rule per address and port -> KUBE-SVC-* (cluster) or KUBE-EXT-* (outside)
                       -> KUBE-NODEPORTS: one rule per node port       -> KUBE-EXT-*
    KUBE-SVC-*: one KUBE-SEP-* per endpoint, by chance                 KUBE-SVL-*: those of this node
    POSTROUTING -> KUBE-POSTROUTING: marked connections are masqueraded
    INPUT, FORWARD, OUTPUT (filter) -> KUBE-FIREWALL (source ranges), KUBE-UNSERVED (no endpoints: refused or dropped),
                                       KUBE-STRAY (ports of cluster addresses that no Service has)

A new connection passes the rules of all Services before its own: for big clusters nftables is the better mode.
Source: pkg/proxy/iptables/proxier.go for behaviour and names of chains.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tiphys.api.kinds.core.service import Service, ServicePort
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base.family import IPV4
from tiphys.proxy.endpoints import Backend, Endpoints, Place, ports_of
from tiphys.proxy.ruleset import CHAIN, MASQUERADE_MARK, Fragment, Item, Surroundings, affinity_s, external_ips
from tiphys.proxy.table import Changes

NAT_FRONTS = ("KUBE-SERVICES", "KUBE-NODEPORTS")
STRAY = "KUBE-STRAY"
FILTER_FRONTS = ("KUBE-FIREWALL", "KUBE-UNSERVED", STRAY)
"""Chains whose rules belong to Services one by one; an item is (chain, rule)."""
MADE = ("KUBE-SEP-", "KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-")
FENCES = "KUBE-FW-"
"""How the names of chains begin that a Service has for itself: in nat (what is led to first), and in filter."""
_CHAINS_AT_ONCE = 500
STRANGERS = "KUBE-STRANGERS"
"""Marks clients of cluster addresses that are to be masqueraded."""

_NEW = "-m conntrack --ctstate NEW"


def jumps(around: Surroundings) -> list[tuple[str, str, str]]:
    """Where the kernel's own chains lead to ours, and what else they hold for us: table, chain, rule, in order."""
    networks = ",".join(around.node_port_addresses)
    local = "-m addrtype --dst-type LOCAL" + (f" -d {networks}" if networks else "")
    found = [("nat", hook, "-j KUBE-SERVICES") for hook in ("PREROUTING", "OUTPUT")]
    found += [("nat", hook, f"{local} -j KUBE-NODEPORTS") for hook in ("PREROUTING", "OUTPUT")]
    found.append(("nat", "POSTROUTING", "-j KUBE-POSTROUTING"))
    if around.family == IPV4:
        # route_localnet opens loopback to neighbours; this closes it again.
        found.append(
            ("filter", "INPUT", "! -i lo -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP")
        )
    for hook in ("INPUT", "FORWARD", "OUTPUT"):
        found += [("filter", hook, f"{_NEW} -j {chain}") for chain in FILTER_FRONTS]
        if around.service_cidr:
            # What belongs to nobody never leaves the machine.
            found.append(("filter", hook, f"-d {around.service_cidr} {_NEW} -j DROP"))
    return found


def fragment_of(service: Service, slices: Sequence[EndpointSlice], place: Place, around: Surroundings) -> Fragment:
    """Everything that this Service puts into the tables of this node; nothing where it is not ours to translate."""
    items: Fragment = {}
    for port, endpoints in ports_of(service, slices, place):
        _ServicePort(items, service, port, endpoints, around).add()
    return items


class _ServicePort:
    def __init__(
        self, items: Fragment, service: Service, port: ServicePort, endpoints: Endpoints, around: Surroundings
    ) -> None:
        self._items, self._service, self._port, self._endpoints = items, service, port, endpoints
        self._around, self._family = around, around.family
        self._protocol = (port.protocol or "TCP").lower()
        self._name = f"{service.metadata.namespace}/{service.metadata.name}" + (f":{port.name}" if port.name else "")
        self._affinity_s = affinity_s(service)

    def add(self) -> None:
        spec, everywhere, here = self._service.spec, self._endpoints.cluster, self._endpoints.local
        only_here = spec.internal_traffic_policy == "Local"
        inside = here if only_here else everywhere
        cluster_ips = self._family.of(dict.fromkeys([spec.cluster_ip, *spec.cluster_ips]))
        for ip in cluster_ips:
            front = self._front(ip)
            self._items[STRAY, f"-d {ip}/{self._family.bits} -j REJECT"] = ""
            if inside:
                chain = self._pick("KUBE-SVL-" if only_here else "KUBE-SVC-", inside)
                self._items["KUBE-SERVICES", f"{front} -j {chain}"] = ""
                self._masquerade_strangers(front)
            else:
                self._unserved(front, local=only_here)
        outside = [self._front(ip) for ip in external_ips(self._service, self._family)]
        for front in outside:
            self._external("KUBE-SERVICES", front)
        if self._port.node_port:
            ports = f"-p {self._protocol} -m {self._protocol} --dport {self._port.node_port}"
            self._external("KUBE-NODEPORTS", ports, "-m addrtype --dst-type LOCAL ")
        self._fence()

    def _masquerade_strangers(self, front: str) -> None:
        cidr = self._around.cluster_cidr
        if self._around.masquerade_all:
            self._items[STRANGERS, f"{front} -j KUBE-MARK-MASQ"] = ""
        elif cidr:
            self._items[STRANGERS, f"{front} ! -s {cidr} -j KUBE-MARK-MASQ"] = ""

    def _front(self, ip: str) -> str:
        return f"-d {ip}/{self._family.bits} -p {self._protocol} -m {self._protocol} --dport {self._port.port}"

    def _external(self, collection: str, front: str, filtered: str = "") -> None:
        local = self._service.spec.external_traffic_policy == "Local"
        everywhere, here = self._endpoints.cluster, self._endpoints.local
        if everywhere:
            self._items[collection, f"{front} -j {self._outside(local=local)}"] = ""
        if not (here if local else everywhere):
            self._unserved(f"{filtered}{front}", local=local and bool(everywhere))

    def _outside(self, *, local: bool) -> str:
        """The chain for clients of an outside address. A Local policy holds for the outside only."""
        chain, everywhere = self._named("KUBE-EXT-"), self._pick("KUBE-SVC-", self._endpoints.cluster)
        rules = ["-j KUBE-MARK-MASQ", f"-j {everywhere}"]
        if local:
            cidr = self._around.cluster_cidr
            rules = [f"-s {cidr} -j {everywhere}"] if cidr else []
            rules += ["-m addrtype --src-type LOCAL -j KUBE-MARK-MASQ", f"-m addrtype --src-type LOCAL -j {everywhere}"]
            if self._endpoints.local:
                rules.append(f"-j {self._pick('KUBE-SVL-', self._endpoints.local)}")
        self._items[CHAIN, chain] = "\n".join(rules)
        return chain

    def _pick(self, prefix: str, backends: tuple[Backend, ...]) -> str:
        chain, ends = self._named(prefix), [self._end(backend) for backend in backends]
        rules = []
        if self._affinity_s:
            remembered = "-m recent --name {0} --rcheck --seconds {1} --reap -j {0}"
            rules += [remembered.format(end, self._affinity_s) for end in ends]
        for left, end in zip(range(len(ends), 0, -1), ends, strict=True):
            chance = f"-m statistic --mode random --probability {1 / left:.10f} " if left > 1 else ""
            rules.append(f"{chance}-j {end}")
        self._items[CHAIN, chain] = "\n".join(rules)
        return chain

    def _end(self, backend: Backend) -> str:
        chain = self._named("KUBE-SEP-", f"{backend.ip}:{backend.port}")
        target = self._family.with_port(*backend)
        remember = f"-m recent --name {chain} --set " if self._affinity_s else ""
        self._items[CHAIN, chain] = (
            f"-s {backend.ip}/{self._family.bits} -j KUBE-MARK-MASQ\n"
            f"-p {self._protocol} -m {self._protocol} {remember}-j DNAT --to-destination {target}"
        )
        return chain

    def _unserved(self, front: str, *, local: bool) -> None:
        # Others may serve it where the policy keeps it to this node: no answer is better than a wrong "closed".
        self._items["KUBE-UNSERVED", f"{front} -j {'DROP' if local else 'REJECT'}"] = ""

    def _fence(self) -> None:
        ranges = [text.strip() for text in self._service.spec.load_balancer_source_ranges]
        if self._service.spec.type != "LoadBalancer" or not ranges:
            return
        chain = self._named(FENCES)
        self._items[CHAIN, chain] = "\n".join(
            [*(f"-s {text} -j RETURN" for text in self._family.of(ranges)), "-j DROP"]
        )
        for ip in self._family.of(entry.ip for entry in self._service.status.load_balancer.ingress):
            asked = f"-m conntrack --ctorigdst {ip} --ctorigdstport {self._port.port}"
            self._items["KUBE-FIREWALL", f"-p {self._protocol} {asked} -j {chain}"] = ""

    def _named(self, prefix: str, endpoint: str = "") -> str:
        digest = hashlib.sha256(f"{self._name}{self._protocol}{endpoint}".encode()).digest()
        return prefix + base64.b32encode(digest).decode()[:16]


# --- text for iptables-restore


def loads(items: Mapping[Item, str], stale: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """One text after the other makes our chains hold exactly this; `stale`: chains of a Service's own that are there,
    by table. What is led to comes first, then what leads there from outside (in one transaction), then what is left
    over goes, so that every moment between them works.

    In parts, for iptables 1.8.9 keeps the chains of a transaction in a sorted list and walks it for every line: 20,000
    chains at once take minutes, 500 at a time seconds.
    """
    fixed = {
        "KUBE-MARK-MASQ": [f"-j MARK --or-mark {MASQUERADE_MARK:#x}"],
        "KUBE-POSTROUTING": [
            f"-m mark ! --mark {MASQUERADE_MARK:#x}/{MASQUERADE_MARK:#x} -j RETURN",
            f"-j MARK --xor-mark {MASQUERADE_MARK:#x}",
            "-j MASQUERADE --random-fully",
        ],
    }
    yield _table("nat", fixed, (), ())
    made = {name: value.split("\n") for (kind, name), value in items.items() if kind == CHAIN}
    for part in _parts(made, (*MADE, FENCES)):
        yield _table(_home(part[0]), {name: made[name] for name in part}, (), ())
    yield "".join(_fronts(items))
    for table, names in stale.items():
        for part in _parts([name for name in names if name not in made], (*reversed(MADE), FENCES)):
            yield _table(table, {}, part, ())


def _parts(chains: Iterable[str], prefixes: Iterable[str]) -> Iterator[list[str]]:
    """Chains of one kind after the other, some at a time."""
    listed = list(chains)
    for prefix in prefixes:
        kind = [name for name in listed if name.startswith(prefix)]
        for start in range(0, len(kind), _CHAINS_AT_ONCE):
            yield kind[start : start + _CHAINS_AT_ONCE]


def _fronts(items: Mapping[Item, str]) -> Iterator[str]:
    for table, names in (("nat", (STRANGERS, *NAT_FRONTS)), ("filter", FILTER_FRONTS)):
        chains: dict[str, list[str]] = {name: [] for name in names}
        for kind, rule in items:
            if kind in chains:
                chains[kind].append(rule)
        if table == "nat":
            chains["KUBE-SERVICES"].insert(0, f"-j {STRANGERS}")
        yield _table(table, chains, (), ())


def commands(changes: Changes) -> str:
    """What brings `changes` about; empty where there is nothing."""
    parts = []
    for table, fronts in (("nat", (*NAT_FRONTS, STRANGERS)), ("filter", FILTER_FRONTS)):
        chains, gone, rules = {}, [], []
        for (kind, name), change in changes.items():
            if kind == CHAIN and _home(name) == table:
                if change.new is None:
                    gone.append(name)
                else:
                    chains[name] = change.new.split("\n")
            elif kind in fronts:
                rules.append(f"{'-D' if change.new is None else '-A'} {kind} {name}")
        if chains or gone or rules:
            parts.append(_table(table, chains, gone, rules))
    return "".join(parts)


def _home(chain: str) -> str:
    """The table that a Service's own chain is in."""
    return "filter" if chain.startswith(FENCES) else "nat"


def _table(name: str, chains: Mapping[str, Sequence[str]], gone: Sequence[str], rules: Sequence[str]) -> str:
    lines = [f"*{name}", *(f":{chain} - [0:0]" for chain in (*chains, *gone))]
    # Rules that leave go first, so that what they lead to can go, too.
    lines += [rule for rule in rules if rule.startswith("-D")]
    lines += [f"-A {chain} {rule}" for chain, listed in chains.items() for rule in listed]
    lines += [rule for rule in rules if not rule.startswith("-D")]
    lines += [f"-X {chain}" for chain in gone]
    return "\n".join([*lines, "COMMIT"]) + "\n"
