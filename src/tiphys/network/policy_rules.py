"""NetworkPolicies as nftables objects for one node. Pure: what is known of the cluster in, the table's content out.

    forward: egress   source in map `egress`       ─> pod-...: jump policy-..., jump policy-..., drop
    input:   egress   (the node itself, its DNS)
    forward: ingress  destination in map `ingress` ─> the same

A policy's direction is a chain that accepts what it allows; a pod's chain asks all that select it, and drops the rest.
Chains are named by what they say, so they are shared, and a change makes new ones and takes old ones away. Peers are
sets, named by the selectors behind them; pods that come and go are elements of these sets, never a new rule.

Only this node's pods are isolated here: of traffic between two nodes each decides about its own side. What leaves the
node itself (probes) is always let in, replies and related packets too, and a pod always reaches itself. Source: the
comments of staging/src/k8s.io/api/networking/v1/types.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.networking.networkpolicy import (
    EGRESS,
    INGRESS,
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
)
from tiphys.api.labels import selector_of
from tiphys.api.meta.types import LabelSelector
from tiphys.base.family import IPV4, Family

TABLE = "tiphys-policy"


@dataclass(frozen=True, slots=True)
class Peer:
    """A pod as policies see it."""

    namespace: str
    labels: Mapping[str, str]
    ip: str
    ports: tuple[tuple[str, str, int], ...] = ()
    """(name, protocol in lower case, number)."""
    local: bool = False
    """Whether it runs on this node."""


@dataclass(slots=True)
class Content:
    """What the table holds beyond its fixed part."""

    sets: dict[str, str] = field(default_factory=dict)
    """Name to declaration."""
    elements: dict[str, frozenset[str]] = field(default_factory=dict)
    """Set to its elements."""
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Name to rules, what is jumped to before what jumps."""
    ingress: dict[str, str] = field(default_factory=dict)
    egress: dict[str, str] = field(default_factory=dict)
    """A pod's address to its chain."""


def peer_of(pod: Pod, node_name: str, family: Family = IPV4) -> Peer | None:
    """None for pods without an address of the family that is their own: those not started, those that ended, those on
    the host's network (which are the node, as far as packets tell)."""
    status = pod.status
    if pod.spec.host_network or status.phase in ("Succeeded", "Failed"):
        return None
    ip = next(iter(family.of([status.pod_ip, *(p.ip for p in status.pod_ips)])), "")
    if not ip:
        return None
    sidecars = [c for c in pod.spec.init_containers if c.restart_policy == "Always"]
    ports = tuple(
        (port.name, (port.protocol or "TCP").lower(), port.container_port)
        for container in (*pod.spec.containers, *sidecars)
        for port in container.ports
        if port.name
    )
    local = pod.spec.node_name == node_name
    return Peer(pod.metadata.namespace, pod.metadata.labels, ip, ports, local)


def content_of(
    policies: Iterable[NetworkPolicy],
    peers: Collection[Peer],
    namespaces: Mapping[str, Mapping[str, str]],
    family: Family = IPV4,
) -> Content:
    """The content of one family's table. `peers` are of that family; `namespaces`: their labels, by name."""
    return _Builder(peers, namespaces, family).build(policies)


class _Builder:
    def __init__(self, peers: Collection[Peer], namespaces: Mapping[str, Mapping[str, str]], family: Family) -> None:
        self._peers, self._namespaces, self._family = peers, namespaces, family
        self._by_namespace: dict[str, list[Peer]] = {}
        for peer in peers:
            self._by_namespace.setdefault(peer.namespace, []).append(peer)
        self._content = Content()

    def build(self, policies: Iterable[NetworkPolicy]) -> Content:
        asked: dict[str, dict[str, set[str]]] = {INGRESS: {}, EGRESS: {}}
        for policy in policies:
            namespace = policy.metadata.namespace
            chosen = [p for p in self._matching(policy.spec.pod_selector, namespace) if p.local]
            if not chosen:
                continue
            for direction in policy.spec.policy_types:
                chain = self._chain("policy", self._rules(policy, direction))
                for peer in chosen:
                    asked[direction].setdefault(peer.ip, set()).add(chain)
        for direction, placed in ((INGRESS, self._content.ingress), (EGRESS, self._content.egress)):
            for ip, chains in asked[direction].items():
                placed[ip] = self._chain("pod", (*(f"jump {chain}" for chain in sorted(chains)), "drop"))
        return self._content

    def _matching(self, selector: LabelSelector | None, namespace: str) -> Iterator[Peer]:
        wanted = selector_of(selector)
        return (peer for peer in self._by_namespace.get(namespace, ()) if wanted.matches(peer.labels))

    def _rules(self, policy: NetworkPolicy, direction: str) -> Iterable[str]:
        namespace = policy.metadata.namespace
        if direction == INGRESS:
            for allowed in policy.spec.ingress:
                yield from self._allow(namespace, allowed.from_, allowed.ports, "saddr")
        else:
            for permitted in policy.spec.egress:
                yield from self._allow(namespace, permitted.to, permitted.ports, "daddr")

    def _allow(
        self, namespace: str, peers: list[NetworkPolicyPeer], ports: list[NetworkPolicyPort], side: str
    ) -> Iterator[str]:
        """Rules that accept: any of the peers (none named: everybody) on any of the ports (none named: all)."""
        sources = [text for peer in peers if (text := self._peer(namespace, peer, side)) is not None] if peers else [""]
        for source in sources:
            for port in self._ports(ports):
                yield " ".join(part for part in (source, port, "accept") if part)

    def _peer(self, namespace: str, peer: NetworkPolicyPeer, side: str) -> str | None:
        if peer.ip_block is not None:
            return _block(peer.ip_block, side, self._family)
        if peer.namespace_selector is None:
            found = self._matching(peer.pod_selector, namespace)
            name = f"in {namespace}: {_text(peer.pod_selector)}"
        else:
            spaces = selector_of(peer.namespace_selector)
            pods = peer.pod_selector if peer.pod_selector is not None else LabelSelector()
            found = (
                one
                for where, labels in self._namespaces.items()
                if spaces.matches(labels)
                for one in self._matching(pods, where)
            )
            name = f"where {_text(peer.namespace_selector)}: {_text(pods)}"
        placed = self._set("peers", name, f"type {self._family.nft_type};", (one.ip for one in found))
        return f"{self._family.nft} {side} @{placed}"

    def _ports(self, ports: list[NetworkPolicyPort]) -> Iterator[str]:
        if not ports:
            yield ""
        numbers: dict[str, set[str]] = {}
        for port in ports:
            protocol = (port.protocol or "TCP").lower()
            if port.port is None:
                yield f"meta l4proto {protocol}"
            elif isinstance(port.port, str):
                # What the name means is for each destination to say.
                known = (
                    f"{peer.ip} . {protocol} . {number}"
                    for peer in self._peers
                    for name, of, number in peer.ports
                    if (name, of) == (port.port, protocol)
                )
                declaration = f"type {self._family.nft_type} . inet_proto . inet_service;"
                placed = self._set("ports", f"{protocol} {port.port}", declaration, known)
                yield f"{self._family.nft} daddr . meta l4proto . th dport @{placed}"
            else:
                last = f"-{port.end_port}" if port.end_port and port.end_port > port.port else ""
                numbers.setdefault(protocol, set()).add(f"{port.port}{last}")
        for protocol, listed in numbers.items():
            for group in _apart(listed):
                yield f"meta l4proto {protocol} th dport {group}"

    def _set(self, kind: str, name: str, declaration: str, elements: Iterable[str]) -> str:
        placed = f"{kind}-{_short(name)}"
        if placed not in self._content.sets:
            self._content.sets[placed] = declaration
            self._content.elements[placed] = frozenset(elements)
        return placed

    def _chain(self, kind: str, rules: Iterable[str]) -> str:
        listed = tuple(dict.fromkeys(rules))
        name = f"{kind}-{_short(chr(10).join(listed))}"
        self._content.chains[name] = listed
        return name


def _apart(listed: Collection[str]) -> Iterator[str]:
    """Numbers together in one set; ranges one by one, for they may overlap, which a set refuses."""
    single = sorted((text for text in listed if "-" not in text), key=int)
    if single:
        yield f"{{ {', '.join(single)} }}"
    yield from sorted(text for text in listed if "-" in text)


def _block(block: IPBlock, side: str, family: Family) -> str | None:
    if not family.has(block.cidr):
        return None
    but = [f"{family.nft} {side} != {cidr}" for cidr in family.of(block.except_)]
    return " ".join([*_within(block.cidr, side, family), *but])


def _within(cidr: str, side: str, family: Family) -> Iterator[str]:
    """nft takes no prefix of length 0; whatever is in this table is of the family anyway."""
    if not cidr.endswith("/0"):
        yield f"{family.nft} {side} {cidr}"


def _text(selector: LabelSelector | None) -> str:
    return str(selector_of(selector))


def _short(name: str) -> str:
    """A name that nft accepts, of 80 bits: enough that two never meet."""
    return hashlib.sha256(name.encode()).hexdigest()[:20]
