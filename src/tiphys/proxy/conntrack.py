"""Forgets connection-tracking entries that still send UDP to where a Service no longer goes.

TCP ends by itself (a gone endpoint answers nothing, the client connects anew and is translated anew); a UDP client that
keeps its socket would feed a dead address for as long as it keeps sending. Source: pkg/proxy/conntrack/cleanup.go.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from tiphys.base import netlink
from tiphys.base.family import IPV4, IPV6, Family
from tiphys.base.netlink import Netlink, attributes

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_HEADER = struct.Struct("=BBH")
_TUPLE_ORIGINAL, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCE = {IPV4: 1, IPV6: 3}
_IP_DESTINATION = {IPV4: 2, IPV6: 4}
_PROTO_NUMBER, _PROTO_SOURCE_PORT, _PROTO_DESTINATION_PORT = 1, 2, 3
_ZONE, _ID = 18, 12

Front = tuple[str, int]
"""Address and port that a client asks; the address is empty for a node port (any address of the node)."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One tracked UDP conversation: who was asked, and who answers."""

    asked: tuple[str, int]
    answering: tuple[str, int]
    identity: bytes
    """The attributes by which the kernel finds it again."""


def stale(flow: Flow, fronts: Mapping[Front, Collection[tuple[str, int]]]) -> bool:
    """Whether the flow asks one of `fronts` and is answered by none of its backends now. Pure."""
    backends = fronts.get(flow.asked)
    if backends is None:
        backends = fronts.get(("", flow.asked[1]))
    return backends is not None and flow.answering not in backends


def forget_stale(fronts: Mapping[Front, Collection[tuple[str, int]]], family: Family = IPV4) -> int:
    """Deletes the stale ones in this thread's network namespace; returns how many. Raises OSError. For a thread."""
    with Netlink(netlink.NETFILTER) as link:
        return _forget(link, family, lambda flow: stale(flow, fronts))


def _forget(link: Netlink, family: Family, condemned: Callable[[Flow], bool]) -> int:
    header = _HEADER.pack(family.number, 0, 0)
    flows = [flow for payload in link.dump(_GET, header) if (flow := _udp_flow(payload, family)) is not None]
    count = 0
    for flow in flows:
        if condemned(flow):
            try:
                link.do(_DELETE, header + flow.identity)
                count += 1
            except FileNotFoundError:
                pass  # It ended by itself meanwhile.
    return count


def _udp_flow(payload: bytes, family: Family) -> Flow | None:
    """None for what is not UDP."""
    known = attributes(payload, _HEADER.size)
    original, reply = attributes(known.get(_TUPLE_ORIGINAL, b"")), attributes(known.get(_TUPLE_REPLY, b""))
    protocol = attributes(original.get(_TUPLE_PROTO, b""))
    if protocol.get(_PROTO_NUMBER) != bytes([socket.IPPROTO_UDP]):
        return None
    answer_protocol = attributes(reply.get(_TUPLE_PROTO, b""))
    asked, answering = attributes(original.get(_TUPLE_IP, b"")), attributes(reply.get(_TUPLE_IP, b""))
    identity = netlink.nested(_TUPLE_ORIGINAL, known[_TUPLE_ORIGINAL])
    for kind in (_ZONE, _ID):
        if kind in known:
            identity += netlink.attribute(kind, known[kind])
    return Flow(
        (family.text(asked[_IP_DESTINATION[family]]), _port(protocol[_PROTO_DESTINATION_PORT])),
        (family.text(answering[_IP_SOURCE[family]]), _port(answer_protocol[_PROTO_SOURCE_PORT])),
        identity,
    )


def _port(data: bytes) -> int:
    return int.from_bytes(data, "big")
