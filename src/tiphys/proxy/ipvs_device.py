"""The device `kube-ipvs0`: it carries Service addresses, so that packets to them are local and meet IPVS.

Source: pkg/proxy/ipvs/netlink_linux.go, the kernel's linux/rtnetlink.h.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Collection, Iterator

from tiphys.base import netlink
from tiphys.base.family import IPV4, Family
from tiphys.base.netlink import Netlink, attribute, attributes, nested
from tiphys.base.nft import NftError

DEVICE = "kube-ipvs0"
_NEWLINK, _DELLINK = 16, 17
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_IFLA_IFNAME, _IFLA_LINKINFO, _INFO_KIND = 3, 18, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NODAD, _UNIVERSE = 2, 0
_LINK, _ADDRESS = struct.Struct("=BxHiII"), struct.Struct("=BBBBI")


def exists() -> bool:
    return _index() != 0


def ensure(family: Family) -> set[str]:
    """Makes the device be there; returns its addresses. Raises NftError where the kernel has no dummy devices."""
    with Netlink(netlink.ROUTE) as link:
        if not exists():
            body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
            body += attribute(_IFLA_IFNAME, DEVICE.encode() + b"\0")
            body += nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"dummy"))
            try:
                link.do(_NEWLINK, body, netlink.F_CREATE | netlink.F_EXCL)
            except OSError as error:
                raise NftError(f"making {DEVICE}: {error.strerror}; has the kernel the module dummy?") from error
        return {address for index, _, address in _addresses(link, family) if index == _index()}


def node_addresses(family: Family) -> set[str]:
    """The node's own addresses that others can reach: of all other devices, but for loopback and link-local ones."""
    with Netlink(netlink.ROUTE) as link:
        ours = _index()
        return {address for index, scope, address in _addresses(link, family) if index != ours and scope == _UNIVERSE}


def add(family: Family, addresses: Collection[str]) -> None:
    """Raises OSError."""
    with Netlink(netlink.ROUTE) as link:
        for address in addresses:
            link.do(_NEWADDR, _body(family, address), netlink.F_CREATE | netlink.F_REPLACE)


def remove(family: Family, addresses: Collection[str]) -> None:
    """Raises OSError for other reasons than that one is gone already."""
    with Netlink(netlink.ROUTE) as link:
        for address in addresses:
            try:
                link.do(_DELADDR, _body(family, address))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise


def take_away() -> None:
    """The device and its addresses. Idempotent."""
    with Netlink(netlink.ROUTE) as link, contextlib.suppress(OSError):
        if exists():
            link.do(_DELLINK, _LINK.pack(socket.AF_UNSPEC, 0, _index(), 0, 0))


def _index() -> int:
    try:
        return socket.if_nametoindex(DEVICE)
    except OSError:
        return 0


def _body(family: Family, address: str) -> bytes:
    packed = family.packed(address)
    head = _ADDRESS.pack(family.number, family.bits, 0 if family == IPV4 else _NODAD, 0, _index())
    return head + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)


def _addresses(link: Netlink, family: Family) -> Iterator[tuple[int, int, str]]:
    """Device, scope and address of all that this namespace has."""
    for payload in link.dump(_GETADDR, _ADDRESS.pack(family.number, 0, 0, 0, 0)):
        of, _, _, scope, index = _ADDRESS.unpack_from(payload)
        known = attributes(payload, _ADDRESS.size)
        packed = known.get(_IFA_LOCAL) or known.get(_IFA_ADDRESS)
        if of == family.number and packed is not None:
            yield index, scope, family.text(packed)
