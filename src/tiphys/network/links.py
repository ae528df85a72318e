"""What the node asks of the kernel's routing: a bridge, its address, routes. Over raw netlink, idempotent.

Every call acts on the network namespace of the calling thread. Source: the kernel's linux/rtnetlink.h, if_link.h.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass

from tiphys.base import netlink
from tiphys.base.netlink import Netlink, attribute, attributes, nested

ROUTE_PROTOCOL = 84
"""Marks the routes that are ours (rtm_protocol; free for administrators' daemons), so that we remove no other's."""

_NEWLINK, _DELLINK = 16, 17
_NEWADDR = 20
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO = 1, 3, 4, 18
_INFO_KIND, _INFO_DATA, _BR_NF_CALL_IPTABLES = 1, 2, 36
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 5, 6, 7
_TABLE_MAIN = 254
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_RTN_UNICAST, _RTN_UNREACHABLE = 1, 7
_LAST = 0xFFFFFFFF
"""The metric that every other route comes before."""
_ONLINK = 4
_UP = 1

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


def ensure_bridge(link: Netlink, name: str, address: str, mtu: int = 0) -> None:
    """Makes the bridge exist, be up and carry `address` (with prefix length). `mtu` 0 leaves the kernel's.

    Its hardware address is derived from `address` and stays: a bridge otherwise takes the lowest of its ports, and
    pods' neighbour entries would go stale as ports come and go. Bridged packets pass the IP rules (as
    `bridge-nf-call-iptables`, but for this bridge alone): otherwise a pod's answer to a neighbour that asked through a
    Service would not be translated back. Raises OSError.
    """
    interface = ipaddress.IPv4Interface(address)
    hardware = b"\x0a\x58" + interface.ip.packed
    name_and_size = attribute(_IFLA_IFNAME, name.encode() + b"\0")
    if mtu:
        name_and_size += attribute(_IFLA_MTU, struct.pack("=I", mtu))
    kind = attribute(_INFO_KIND, b"bridge")
    head = _LINK.pack(socket.AF_UNSPEC, 0, index_of(name), _UP, _UP)
    if not index_of(name):
        body = head + name_and_size + attribute(_IFLA_ADDRESS, hardware) + nested(_IFLA_LINKINFO, kind)
        link.do(_NEWLINK, body, netlink.F_CREATE | netlink.F_EXCL)
    head = _LINK.pack(socket.AF_UNSPEC, 0, index_of(name), _UP, _UP)
    link.do(_NEWLINK, head + name_and_size)
    try:
        options = nested(_INFO_DATA, attribute(_BR_NF_CALL_IPTABLES, b"\x01"))
        link.do(_NEWLINK, head + nested(_IFLA_LINKINFO, kind, options))
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
    ensure_address(link, name, interface)


def ensure_address(link: Netlink, device: str, interface: ipaddress.IPv4Interface) -> None:
    """Makes `device` carry this address. Raises OSError."""
    body = _ADDRESS.pack(socket.AF_INET, interface.network.prefixlen, 0, 0, index_of(device))
    body += attribute(_IFA_LOCAL, interface.ip.packed) + attribute(_IFA_ADDRESS, interface.ip.packed)
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
    """The routes that carry `ROUTE_PROTOCOL`."""
    found = set()
    for payload in link.dump(_GETROUTE, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
        _, prefix, _, _, table, protocol, _, _, flags = _ROUTE.unpack_from(payload)
        if protocol != ROUTE_PROTOCOL or table != _TABLE_MAIN:
            continue
        known = attributes(payload, _ROUTE.size)
        gateway = _text(known.get(_RTA_GATEWAY))
        device = ""
        if (not gateway or flags & _ONLINK) and _RTA_OIF in known:
            device = _device_name(struct.unpack("=I", known[_RTA_OIF])[0])
        network = ipaddress.IPv4Network((known.get(_RTA_DST, bytes(4)), prefix))
        found.add(Route(str(network), gateway, device, _text(known.get(_RTA_PREFSRC))))
    return found


def _text(packed: bytes | None) -> str:
    return socket.inet_ntoa(packed) if packed else ""


def _device_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""


def _route_body(route: Route) -> bytes:
    network = ipaddress.IPv4Network(route.destination)
    leads_somewhere = route.gateway or route.device
    scope = _SCOPE_LINK if route.device and not route.gateway else _SCOPE_UNIVERSE
    flags = _ONLINK if route.device and route.gateway else 0
    kind = _RTN_UNICAST if leads_somewhere else _RTN_UNREACHABLE
    body = _ROUTE.pack(
        socket.AF_INET, network.prefixlen, 0, 0, _TABLE_MAIN, ROUTE_PROTOCOL, scope, kind, flags
    ) + attribute(_RTA_DST, network.network_address.packed)
    if not leads_somewhere:
        body += attribute(_RTA_PRIORITY, struct.pack("=I", _LAST))
    if route.gateway:
        body += attribute(_RTA_GATEWAY, socket.inet_aton(route.gateway))
    if route.device:
        body += attribute(_RTA_OIF, struct.pack("=I", index_of(route.device)))
    if route.source:
        body += attribute(_RTA_PREFSRC, socket.inet_aton(route.source))
    return body
