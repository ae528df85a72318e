"""What the node asks of the kernel's routing: a bridge, its address, routes. Over raw netlink, idempotent.

Every call acts on the network namespace of the calling thread. Source: the kernel's linux/rtnetlink.h, if_link.h.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tiphys.base import netlink
from tiphys.base.family import FAMILIES, IPV4, IPV6, Family
from tiphys.base.netlink import Netlink, attribute, attributes, nested

ROUTE_PROTOCOL = 84
"""Marks the routes that are ours (rtm_protocol; free for administrators' daemons), so that we remove no other's."""

_NEWLINK, _DELLINK = 16, 17
_NEWADDR = 20
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO = 1, 3, 4, 18
_INFO_KIND, _INFO_DATA = 1, 2
_BR_NF_CALL = {IPV4: 36, IPV6: 37}
_NODAD = 2
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 5, 6, 7
_TABLE_MAIN = 254
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_RTN_UNICAST, _RTN_UNREACHABLE = 1, 7
_LAST = 0xFFFFFFFF
"""The metric that every other route comes before."""
_ONLINK = 4
_UP = 1

Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """To `destination` (a CIDR) through the neighbour `gateway`, or straight out of `device` where that is empty. With
    both, `gateway` is taken to be behind `device`, whatever the device's own addresses.

    Without either: packets go nowhere, and their senders are told. It stands behind every other way to `destination`.
    """

    destination: str
    gateway: str = ""
    device: str = ""
    source: str = ""
    """The address that this machine's own packets take on this way; empty leaves the choice to the kernel."""


def index_of(device: str) -> int:
    """0 where there is no such device."""
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return 0


def ensure_bridge(link: Netlink, name: str, addresses: Sequence[str], mtu: int = 0) -> None:
    """Makes the bridge exist, be up and carry `addresses` (with prefix length). `mtu` 0 leaves the kernel's.

    Its hardware address is derived from the first one and stays: a bridge otherwise takes the lowest of its ports, and
    pods' neighbour entries would go stale as ports come and go. Bridged packets pass the IP rules (as
    `bridge-nf-call-iptables`, but for this bridge alone): otherwise a pod's answer to a neighbour that asked through a
    Service would not be translated back. Raises OSError.
    """
    interfaces = [ipaddress.ip_interface(address) for address in addresses]
    hardware = b"\x0a\x58" + interfaces[0].ip.packed[-4:]
    size = attribute(_IFLA_MTU, struct.pack("=I", mtu)) if mtu else b""
    kind = attribute(_INFO_KIND, b"bridge")
    if not index_of(name):
        body = _LINK.pack(socket.AF_UNSPEC, 0, 0, _UP, _UP) + attribute(_IFLA_IFNAME, name.encode() + b"\0") + size
        body += attribute(_IFLA_ADDRESS, hardware) + nested(_IFLA_LINKINFO, kind)
        link.do(_NEWLINK, body, netlink.F_CREATE | netlink.F_EXCL)
    # By its index alone: kernels before 6.2 take a name, be it the same, for a renaming, and refuse it to what is up.
    head = _LINK.pack(socket.AF_UNSPEC, 0, index_of(name), _UP, _UP)
    link.do(_NEWLINK, head + size)
    for interface in interfaces:
        try:
            options = nested(_INFO_DATA, attribute(_BR_NF_CALL[_family(interface)], b"\x01"))
            link.do(_NEWLINK, head + nested(_IFLA_LINKINFO, kind, options))
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
        ensure_address(link, name, interface)


def ensure_address(link: Netlink, device: str, interface: Interface) -> None:
    """Makes `device` carry this address, at once: we gave it to nobody else, so none is asked. Raises OSError."""
    family = _family(interface)
    flags = _NODAD if family == IPV6 else 0
    body = _ADDRESS.pack(family.number, interface.network.prefixlen, flags, 0, index_of(device))
    body += attribute(_IFA_LOCAL, interface.ip.packed) + attribute(_IFA_ADDRESS, interface.ip.packed)
    if family == IPV4:
        body += attribute(_IFA_BROADCAST, interface.network.broadcast_address.packed)
    link.do(_NEWADDR, body, netlink.F_CREATE | netlink.F_REPLACE)


def remove_link(link: Netlink, name: str) -> bool:
    """Takes the device away, with its addresses and routes; False where there was none."""
    index = index_of(name)
    if index:
        link.do(_DELLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0))
    return bool(index)


def add_route(link: Netlink, route: Route) -> None:
    """Makes this route be there, in place of another one to the same destination. Raises OSError."""
    link.do(_NEWROUTE, _route_body(route), netlink.F_CREATE | netlink.F_REPLACE)


def remove_route(link: Netlink, route: Route) -> None:
    """Makes it be gone. Raises OSError for other reasons than that."""
    try:
        link.do(_DELROUTE, _route_body(route))
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.ENODEV):
            raise


def our_routes(link: Netlink) -> set[Route]:
    """The routes that carry `ROUTE_PROTOCOL`, of both families."""
    found: set[Route] = set()
    for family in FAMILIES:
        for payload in link.dump(_GETROUTE, _ROUTE.pack(family.number, 0, 0, 0, 0, 0, 0, 0, 0)):
            of, _, _, _, table, protocol, _, _, _ = _ROUTE.unpack_from(payload)
            if (of, protocol, table) == (family.number, ROUTE_PROTOCOL, _TABLE_MAIN):
                found.add(_route(payload, family))
    return found


def _route(payload: bytes, family: Family) -> Route:
    _, prefix, _, _, _, _, _, kind, flags = _ROUTE.unpack_from(payload)
    known = attributes(payload, _ROUTE.size)
    target = family.text(known.get(_RTA_DST, bytes(family.bits // 8)))
    destination = str(ipaddress.ip_network(f"{target}/{prefix}"))
    if kind == _RTN_UNREACHABLE:
        return Route(destination)  # IPv6 names a device for it all the same.
    gateway = family.text(known[_RTA_GATEWAY]) if _RTA_GATEWAY in known else ""
    device = ""
    linked = flags & _ONLINK or ipaddress.ip_address(gateway or "::").is_link_local
    if (not gateway or linked) and _RTA_OIF in known:
        device = _device_name(struct.unpack("=I", known[_RTA_OIF])[0])
    return Route(destination, gateway, device, family.text(known[_RTA_PREFSRC]) if _RTA_PREFSRC in known else "")


def _device_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""


def _route_body(route: Route) -> bytes:
    network = ipaddress.ip_network(route.destination)
    family = _family(network)
    leads_somewhere = route.gateway or route.device
    scope = _SCOPE_LINK if route.device and not route.gateway and family == IPV4 else _SCOPE_UNIVERSE
    flags = _ONLINK if route.device and route.gateway else 0
    kind = _RTN_UNICAST if leads_somewhere else _RTN_UNREACHABLE
    body = _ROUTE.pack(
        family.number, network.prefixlen, 0, 0, _TABLE_MAIN, ROUTE_PROTOCOL, scope, kind, flags
    ) + attribute(_RTA_DST, network.network_address.packed)
    if not leads_somewhere:
        body += attribute(_RTA_PRIORITY, struct.pack("=I", _LAST))
    if route.gateway:
        body += attribute(_RTA_GATEWAY, family.packed(route.gateway))
    if route.device:
        body += attribute(_RTA_OIF, struct.pack("=I", index_of(route.device)))
    if route.source:
        body += attribute(_RTA_PREFSRC, family.packed(route.source))
    return body


def _family(address: Interface | ipaddress.IPv4Network | ipaddress.IPv6Network) -> Family:
    return IPV4 if address.version == 4 else IPV6
