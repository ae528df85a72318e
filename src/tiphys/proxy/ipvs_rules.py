"""What IPVS leaves to nftables: masquerading, source ranges, and refusing what no virtual server takes. Pure.

Service addresses are local here (`kube-ipvs0`), so without these rules a port that no Service has would reach whatever
listens on the node. Packets meet the filter hooks before IPVS, under the address they asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tiphys.base.family import IPV4, Family
from tiphys.proxy.ipvs import ADDRESS, REAL, VIRTUAL
from tiphys.proxy.ruleset import LOOPBACK_CLOSED, MASQUERADE_MARK, Item, Surroundings
from tiphys.proxy.table import Change, commands

TABLE = "tiphys-ipvs"
_MARK = f"meta mark set meta mark | {MASQUERADE_MARK:#x}"
_PORT = "meta l4proto . th dport"
_PROTOCOLS = "meta l4proto { tcp, udp, sctp }"


def for_nft(changes: Mapping[Item, Change]) -> dict[Item, Change]:
    """Those that are not IPVS' own."""
    return {item: change for item, change in changes.items() if item[0] not in (VIRTUAL, REAL, ADDRESS)}


def gone(family: Family) -> str:
    return f"table {family.nft} {TABLE}\ndelete table {family.nft} {TABLE}\n"


def whole(items: Iterable[tuple[Item, str]], addresses: Iterable[str], around: Surroundings) -> str:
    """Makes the table hold exactly this: one transaction. `addresses` are those of `kube-ipvs0`."""
    changes = for_nft({item: Change(None, value) for item, value in items})
    changes |= {("addresses", ip): Change(None, "") for ip in addresses}
    return gone(around.family) + _base(around) + commands(changes, around.family, TABLE)


def _base(around: Surroundings) -> str:
    word, kind, cidr = around.family.nft, around.family.nft_type, around.cluster_cidr
    address = f"{word} daddr . {_PORT}"
    front, node_front = f"type {kind} . inet_proto . inet_service", "type inet_proto . inet_service"
    declared = "".join(
        f" {what} {name} {{ {of}; }}\n"
        for what, name, of in (
            ("set", "cluster-ips", f"type {kind}"),
            ("set", "addresses", f"type {kind}"),
            ("set", "hairpins", f"type {kind} . {kind}"),
            ("set", "served", front),
            ("set", "served-node-ports", node_front),
            ("set", "masqueraded", front),
            ("set", "masqueraded-node-ports", node_front),
            ("set", "silent", front),
            ("set", "silent-outside", front),
            ("set", "silent-node-ports", node_front),
            ("map", "fenced", f"{front} : verdict"),
        )
    )
    if around.masquerade_all:
        strangers = f"  {word} daddr @cluster-ips {_MARK}\n"
    else:
        strangers = f"  {word} daddr @cluster-ips {word} saddr != {cidr} {_MARK}\n" if cidr else ""
    inside = f"  {word} saddr {cidr} return\n" if cidr else ""
    listed = ", ".join(around.node_port_addresses)
    faces = f"{word} daddr {{ {listed} }} fib daddr type local" if listed else "fib daddr type local"
    unowned = f"  {word} daddr {around.service_cidr} drop\n" if around.service_cidr else ""
    return (
        f"table {word} {TABLE} {{\n{declared}"
        f" chain mark-masquerade {{\n{strangers}  {address} @masqueraded {_MARK}\n"
        f"  {word} daddr != @addresses {faces} {_PORT} @masqueraded-node-ports {_MARK}\n }}\n"
        # externalTrafficPolicy Local holds for the outside only.
        f" chain outside {{\n{inside}  fib saddr type local return\n  {address} @silent-outside drop\n"
        f"  {word} daddr != @addresses fib daddr type local {_PORT} @silent-node-ports drop\n }}\n"
        f" chain guard {{\n  {address} vmap @fenced\n  {address} @silent drop\n  jump outside\n"
        f"  {address} @served return\n  {word} daddr @addresses {_PROTOCOLS} reject\n{unowned} }}\n"
        " chain prerouting {\n  type filter hook prerouting priority -150; policy accept;\n"
        "  jump mark-masquerade\n }\n"
        " chain output {\n  type filter hook output priority -150; policy accept;\n  jump mark-masquerade\n }\n"
        " chain input {\n  type filter hook input priority 0; policy accept;\n"
        f"{LOOPBACK_CLOSED if around.family == IPV4 else ''}  ct state new jump guard\n }}\n"
        " chain output-filter {\n  type filter hook output priority 0; policy accept;\n  ct state new jump guard\n }\n"
        " chain postrouting {\n  type nat hook postrouting priority 100; policy accept;\n"
        f"  {word} saddr . {word} daddr @hairpins masquerade fully-random\n"
        f"  meta mark & {MASQUERADE_MARK:#x} == 0 return\n"
        f"  meta mark set meta mark ^ {MASQUERADE_MARK:#x}\n  masquerade fully-random\n }}\n"
        "}\n"
    )
