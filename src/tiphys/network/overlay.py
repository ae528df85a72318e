"""The VXLAN overlay between nodes: a device, and for each other node how to reach its pods. Over raw netlink.

    pod ── tiphys0 ── route via 10.244.1.0 ── tiphys-vxlan ── UDP 8472 to 172.30.0.12 ── tiphys-vxlan ── tiphys0 ── pod

Every node's end has the first address of its pod subnet (for IPv6 a link-local one) and a hardware address, both
derived from what its Node says: nothing is learned, nothing asked by broadcast, nothing else to be agreed on.
Pods of both families travel between IPv4 addresses of nodes.
Source: RFC 7348, the kernel's linux/neighbour.h and if_link.h.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tiphys.base import netlink
from tiphys.base.family import FAMILIES
from tiphys.base.netlink import Netlink, attribute, attributes, nested
from tiphys.network import links

DEVICE = "tiphys-vxlan"
HEADER_BYTES = 50
"""What the overlay adds to a packet: IP, UDP, VXLAN and the inner Ethernet header."""
PORT = 8472
"""What Linux and most others use, not the assigned 4789: no one else's tunnel is on it by accident."""
NETWORK_ID = 1

_NEWLINK = 16
_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO = 1, 3, 4, 18
_INFO_KIND, _INFO_DATA = 1, 2
_VXLAN_ID, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT = 1, 4, 7, 15
_NDA_DST, _NDA_LLADDR = 1, 2
_LINK_LOCAL = int(ipaddress.IPv6Address("fe80::5efe:0:0"))
_PERMANENT, _SELF = 0x80, 0x02
_UP = 1
_LINK = struct.Struct("=BxHiII")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")


@dataclass(frozen=True, slots=True, order=True)
class Far:
    """The other end on a node: its pods' subnet and the node's address."""

    subnet: str
    node: str

    @property
    def address(self) -> str:
        return end_of(self.subnet, self.node)

    @property
    def hardware(self) -> bytes:
        return hardware_of(self.node)


def end_of(subnet: str, node: str) -> str:
    """The overlay address of the node with these pods: the subnet's first, which no pod gets. With IPv6 that one means
    all routers; there it is a link-local address of the node's."""
    if ":" not in subnet:
        return subnet.partition("/")[0]
    return str(ipaddress.IPv6Address(_LINK_LOCAL + int(ipaddress.IPv4Address(node))))


def hardware_of(node: str) -> bytes:
    return b"\x0a\x59" + socket.inet_aton(node)


def ensure_device(link: Netlink, subnets: Sequence[str], node: str, mtu: int) -> None:
    """Makes this node's end exist with the right address, at `node`. One with other parameters is made anew, for the
    kernel changes them no more. Raises OSError."""
    head = _LINK.pack(socket.AF_UNSPEC, 0, 0, _UP, _UP)
    body = (
        head
        + attribute(_IFLA_IFNAME, DEVICE.encode() + b"\0")
        + attribute(_IFLA_ADDRESS, hardware_of(node))
        + attribute(_IFLA_MTU, struct.pack("=I", mtu))
        + nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"vxlan"), nested(_INFO_DATA, _parameters(node)))
    )
    try:
        link.do(_NEWLINK, body, netlink.F_CREATE)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.EOPNOTSUPP, errno.EINVAL):
            raise
        links.remove_link(link, DEVICE)
        link.do(_NEWLINK, body, netlink.F_CREATE | netlink.F_EXCL)
    for subnet in subnets:
        links.ensure_address(link, DEVICE, ipaddress.ip_interface(end_of(subnet, node)))


def _parameters(node: str) -> bytes:
    return (
        attribute(_VXLAN_ID, struct.pack("=I", NETWORK_ID))
        + attribute(_VXLAN_LOCAL, socket.inet_aton(node))
        + attribute(_VXLAN_LEARNING, b"\0")
        + attribute(_VXLAN_PORT, struct.pack("!H", PORT))
    )


def sync(link: Netlink, wanted: frozenset[Far]) -> None:
    """Makes the overlay know exactly these ends: where each one's hardware address is, and who has its address."""
    index = links.index_of(DEVICE)
    entries_of = {
        (family.number, 0): {(family.packed(far.address), far.hardware) for far in wanted if family.has(far.subnet)}
        for family in FAMILIES
    }
    entries_of[socket.AF_BRIDGE, _SELF] = {(socket.inet_aton(far.node), far.hardware) for far in wanted}
    for (family, flags), entries in entries_of.items():
        present = _present(link, index, family)
        head = _NEIGHBOUR.pack(family, index, _PERMANENT, flags, 0)
        for where, hardware in present - entries:
            body = head + attribute(_NDA_DST, where) + attribute(_NDA_LLADDR, hardware)
            link.do(_DELNEIGH, body)
        for where, hardware in entries - present:
            body = head + attribute(_NDA_DST, where) + attribute(_NDA_LLADDR, hardware)
            link.do(_NEWNEIGH, body, netlink.F_CREATE | netlink.F_REPLACE)


def _present(link: Netlink, index: int, family: int) -> set[tuple[bytes, bytes]]:
    found = set()
    for payload in link.dump(_GETNEIGH, _NEIGHBOUR.pack(family, 0, 0, 0, 0)):
        of, device, state, _, _ = _NEIGHBOUR.unpack_from(payload)
        known = attributes(payload, _NEIGHBOUR.size)
        where = known.get(_NDA_DST, b"")
        ours = of == family and device == index and state & _PERMANENT
        if ours and where and _NDA_LLADDR in known:
            found.add((where, known[_NDA_LLADDR]))
    return found
