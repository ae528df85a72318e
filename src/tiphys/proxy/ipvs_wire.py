"""IPVS over generic netlink: virtual servers and real servers as the kernel reads and writes them.

Source: the kernel's linux/ip_vs.h, linux/genetlink.h, net/netfilter/ipvs/ip_vs_ctl.c.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from tiphys.base import netlink
from tiphys.base.family import FAMILIES, IPV4, IPV6, Family
from tiphys.base.netlink import Netlink, attribute, attributes, nested
from tiphys.proxy.endpoints import Backend
from tiphys.proxy.ipvs import Options, Virtual

_GENERIC_HEADER = struct.Struct("=BBxx")
_CONTROLLER, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_VERSION = 1

_NEW_SERVICE, _SET_SERVICE, _DELETE_SERVICE, _GET_SERVICE = 1, 2, 3, 4
_NEW_REAL, _SET_REAL, _DELETE_REAL, _GET_REAL = 5, 6, 7, 8
_SERVICE, _REAL = 1, 2
_S_FAMILY, _S_PROTOCOL, _S_ADDRESS, _S_PORT, _S_MARK, _S_SCHEDULER, _S_FLAGS, _S_TIMEOUT, _S_NETMASK = range(1, 10)
_R_ADDRESS, _R_PORT, _R_FORWARDING, _R_WEIGHT, _R_UPPER, _R_LOWER, _R_ACTIVE, _R_INACTIVE = range(1, 9)
_R_FAMILY = 11
_PERSISTENT = 1
_ALL_FLAGS = 0xFFFFFFFF
_MASQUERADED = 0
"""The way of forwarding that translates addresses."""

PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
_NAMES = {number: name for name, number in PROTOCOLS.items()}


class Server(NamedTuple):
    """A real server as the kernel has it."""

    backend: Backend
    weight: int
    connections: int
    """Active and those that ended a moment ago."""


class Ipvs:
    """Talks to the kernel of the calling thread's network namespace. Raises OSError; ENOENT: it has no IPVS."""

    def __init__(self) -> None:
        self._link = Netlink(netlink.GENERIC)
        try:
            self._family = self._find_family()
        except BaseException:
            self._link.close()
            raise

    def close(self) -> None:
        self._link.close()

    def virtuals(self, family: Family) -> dict[Virtual, Options]:
        """Those of this family."""
        found = (service(payload) for payload in self._dump(_GET_SERVICE, b""))
        return {virtual: options for of, virtual, options in (f for f in found if f is not None) if of == family}

    def servers(self, virtual: Virtual) -> list[Server]:
        body = nested(_SERVICE, address_of(virtual))
        return [server(payload, family_of(virtual)) for payload in self._dump(_GET_REAL, body)]

    def add(self, virtual: Virtual, options: Options) -> None:
        self._do(_NEW_SERVICE, service_body(virtual, options))

    def change(self, virtual: Virtual, options: Options) -> None:
        self._do(_SET_SERVICE, service_body(virtual, options))

    def remove(self, virtual: Virtual) -> None:
        self._do(_DELETE_SERVICE, nested(_SERVICE, address_of(virtual)))

    def add_server(self, virtual: Virtual, backend: Backend, weight: int) -> None:
        self._do(_NEW_REAL, real_body(virtual, backend, weight))

    def weigh_server(self, virtual: Virtual, backend: Backend, weight: int) -> None:
        self._do(_SET_REAL, real_body(virtual, backend, weight))

    def remove_server(self, virtual: Virtual, backend: Backend) -> None:
        self._do(_DELETE_REAL, real_body(virtual, backend, 0))

    def _do(self, command: int, body: bytes) -> None:
        self._link.do(self._family, _GENERIC_HEADER.pack(command, _VERSION) + body)

    def _dump(self, command: int, body: bytes) -> Iterator[bytes]:
        return self._link.dump(self._family, _GENERIC_HEADER.pack(command, _VERSION) + body)

    def _find_family(self) -> int:
        asked = _GENERIC_HEADER.pack(_GET_FAMILY, _VERSION) + attribute(_FAMILY_NAME, b"IPVS\0")
        answer = self._link.ask(_CONTROLLER, asked)
        return int.from_bytes(attributes(answer, _GENERIC_HEADER.size)[_FAMILY_ID], "little")


def family_of(virtual: Virtual) -> Family:
    return IPV6 if IPV6.has(virtual.ip) else IPV4


def address_of(virtual: Virtual) -> bytes:
    """The attributes by which the kernel knows a virtual server."""
    family = family_of(virtual)
    return (
        attribute(_S_FAMILY, struct.pack("=H", family.number))
        + attribute(_S_PROTOCOL, struct.pack("=H", PROTOCOLS[virtual.protocol]))
        + attribute(_S_ADDRESS, _union(family, virtual.ip))
        + attribute(_S_PORT, struct.pack("!H", virtual.port))
    )


def service_body(virtual: Virtual, options: Options) -> bytes:
    family = family_of(virtual)
    netmask = struct.pack("!I", _ALL_FLAGS) if family == IPV4 else struct.pack("=I", family.bits)
    flags = _PERSISTENT if options.affinity_s else 0
    return nested(
        _SERVICE,
        address_of(virtual),
        attribute(_S_SCHEDULER, options.scheduler.encode() + b"\0"),
        attribute(_S_FLAGS, struct.pack("=II", flags, _ALL_FLAGS)),
        attribute(_S_TIMEOUT, struct.pack("=I", options.affinity_s)),
        attribute(_S_NETMASK, netmask),
    )


def real_body(virtual: Virtual, backend: Backend, weight: int) -> bytes:
    family = family_of(virtual)
    end = (
        attribute(_R_ADDRESS, _union(family, backend.ip))
        + attribute(_R_PORT, struct.pack("!H", backend.port))
        + attribute(_R_FORWARDING, struct.pack("=I", _MASQUERADED))
        + attribute(_R_WEIGHT, struct.pack("=I", weight))
        + attribute(_R_UPPER, bytes(4))
        + attribute(_R_LOWER, bytes(4))
        + attribute(_R_FAMILY, struct.pack("=H", family.number))
    )
    return nested(_SERVICE, address_of(virtual)) + nested(_REAL, end)


def service(payload: bytes) -> tuple[Family, Virtual, Options] | None:
    """What the kernel says about a virtual server; None for those known by a mark, which are never ours."""
    known = attributes(attributes(payload, _GENERIC_HEADER.size).get(_SERVICE, b""))
    if _S_MARK in known or _S_ADDRESS not in known:
        return None
    number, protocol = _number(known[_S_FAMILY]), _number(known[_S_PROTOCOL])
    family = next((each for each in FAMILIES if each.number == number), None)
    if family is None or protocol not in _NAMES:
        return None
    virtual = Virtual(_NAMES[protocol], _text(family, known[_S_ADDRESS]), int.from_bytes(known[_S_PORT], "big"))
    (flags,) = struct.unpack_from("=I", known.get(_S_FLAGS, bytes(8)))
    timeout_s = _number(known.get(_S_TIMEOUT, bytes(4))) if flags & _PERSISTENT else 0
    return family, virtual, Options(known[_S_SCHEDULER].rstrip(b"\0").decode(), timeout_s)


def server(payload: bytes, family: Family) -> Server:
    known = attributes(attributes(payload, _GENERIC_HEADER.size)[_REAL])
    backend = Backend(_text(family, known[_R_ADDRESS]), int.from_bytes(known[_R_PORT], "big"))
    connections = _number(known.get(_R_ACTIVE, b"")) + _number(known.get(_R_INACTIVE, b""))
    return Server(backend, _number(known[_R_WEIGHT]), connections)


def _union(family: Family, address: str) -> bytes:
    """`union nf_inet_addr`: 16 bytes, whatever the family."""
    return family.packed(address).ljust(16, b"\0")


def _text(family: Family, packed: bytes) -> str:
    return family.text(packed[: family.bits // 8])


def _number(data: bytes) -> int:
    """In the machine's order, which is little-endian wherever containers are."""
    return int.from_bytes(data, "little")
