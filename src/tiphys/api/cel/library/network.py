"""IP addresses and networks. Source: .../cel/library/{ip,cidr}.go; Go's net/netip for the texts."""

from __future__ import annotations

import math
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from tiphys.api.cel.cost.calls import NOMINAL, PARSED, PARSED_TWICE, contains_address
from tiphys.api.cel.declarations import opaque_type, overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.values import Opaque

IP = opaque_type("net.IP")
CIDR = opaque_type("net.CIDR")
Address = IPv4Address | IPv6Address


class IPValue(Opaque):
    __slots__ = ("address",)
    cel_type = IP

    def __init__(self, address: Address) -> None:
        self.address = address

    def cel_equals(self, other: Any) -> bool:
        return isinstance(other, IPValue) and self.address == other.address

    def cel_size(self) -> int:
        return self.address.max_prefixlen // 8

    def __str__(self) -> str:
        return str(self.address)


class CIDRValue(Opaque):
    """A network; `address` may have bits beyond the prefix."""

    __slots__ = ("address", "bits")
    cel_type = CIDR

    def __init__(self, address: Address, bits: int) -> None:
        self.address = address
        self.bits = bits

    @property
    def network(self) -> IPv4Network | IPv6Network:
        return ip_network((self.address, self.bits), strict=False)

    def cel_equals(self, other: Any) -> bool:
        return isinstance(other, CIDRValue) and (self.address, self.bits) == (other.address, other.bits)

    def cel_size(self) -> int:
        return math.ceil(self.bits / 8)

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"


def _address(text: str) -> Address:
    """Raises ValueError with what net/netip says."""
    if "%" in text and ":" in text:
        raise ValueError(f'IP address "{text}" with zone value is not allowed')
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f'IP Address "{text}" parse error during conversion from string: {_why(text)}') from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return address


def _why(text: str) -> str:
    """Why Go's ParseAddr refuses a text."""
    shown = f'ParseAddr("{text}")'
    if ":" in text or "." not in text:
        return f"{shown}: unable to parse IP" if ":" not in text else f"{shown}: {_why_six(text)}"
    return f"{shown}: {_why_four(text)}"


def _why_four(text: str) -> str:
    fields = text.split(".")
    for index, field in enumerate(fields):
        strange = next((character for character in field if not character.isdigit()), None)
        if strange is not None:
            return "unexpected character (at " + f'"{text[text.index(strange) :]}")'
        if not field:
            rest = ".".join(fields[index:])
            return (
                f'IPv4 field must have at least one digit (at "{rest}")'
                if index < len(fields) - 1
                else "IPv4 address too short"
            )
        if len(field) > 1 and field[0] == "0":
            return "IPv4 field has octet with leading zero"
        if int(field) > 255:
            return "IPv4 field has value >255"
    return "IPv4 address too long" if len(fields) > 4 else "IPv4 address too short"


def _why_six(text: str) -> str:
    rest, groups, elided = text, 0, False
    if rest.startswith("::"):
        rest, elided = rest[2:], True
    while rest and groups < 8:
        group = _HEX.match(rest)
        assert group is not None  # noqa: S101 - it matches nothing at least
        digits = group.group()
        if not digits:
            return f'each colon-separated field must have at least one digit (at "{rest}")'
        if rest[len(digits) :].startswith("."):
            return (
                "embedded IPv4 address must replace the final 2 fields of the address"
                if groups > 6
                else _why_four(rest)
            )
        if len(digits) > 4:
            return f'each group must have 4 or less digits (at "{rest}")'
        groups, rest = groups + 1, rest[len(digits) :]
        if not rest:
            break
        if rest[0] != ":":
            return f'unexpected character, want colon (at "{rest}")'
        if len(rest) == 1:
            return f'colon must be followed by more characters (at "{rest}")'
        rest = rest[1:]
        if rest[0] == ":":
            if elided:
                return f'multiple :: in address (at "{rest}")'
            rest, elided = rest[1:], True
    if rest:
        return f'trailing garbage after address (at "{rest}")'
    return "the :: must expand to at least one field of zeros" if elided else "address string too short"


_HEX = re.compile(r"[0-9a-fA-F]*")


def _ip(text: str) -> IPValue:
    try:
        return IPValue(_address(text))
    except ValueError as problem:
        raise EvaluationError(str(problem)) from None


def _is_ip(text: str) -> bool:
    try:
        _address(text)
    except ValueError:
        return False
    return True


def _prefix(text: str) -> CIDRValue:
    """Raises ValueError with what net/netip says."""
    lead = "network address parse error during conversion from string: netip.ParsePrefix"
    head, slash, bits = text.rpartition("/")
    if not slash:
        raise ValueError(f"{lead}(\"{text}\"): no '/'")
    try:
        address = ip_address(head)
    except ValueError:
        raise ValueError(f'{lead}("{text}"): {_why(head)}') from None
    if "%" in head:
        raise ValueError(f'{lead}("{text}"): IPv6 zones cannot be present in a prefix')
    if not re.fullmatch(r"0|[1-9][0-9]*", bits):
        raise ValueError(f'{lead}("{text}"): bad bits after slash: "{bits}"')
    if int(bits) > address.max_prefixlen:
        raise ValueError(f'{lead}("{text}"): prefix length out of range')
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return CIDRValue(address, int(bits))


def _cidr(text: str) -> CIDRValue:
    try:
        return _prefix(text)
    except ValueError as problem:
        raise EvaluationError(f"network address parse error during conversion from string: {problem}") from None


def _is_cidr(text: str) -> bool:
    try:
        _prefix(text)
    except ValueError:
        return False
    return True


def _contains_ip(network: CIDRValue, other: IPValue) -> bool:
    return other.address.version == network.address.version and other.address in network.network


def _contains_cidr(network: CIDRValue, other: CIDRValue) -> bool:
    return (
        other.address.version == network.address.version
        and network.bits <= other.bits
        and other.address in network.network
    )


def _masked(network: CIDRValue) -> CIDRValue:
    return CIDRValue(network.network.network_address, network.bits)


def _local_unicast(address: Address) -> bool:
    return address.is_link_local


def _local_multicast(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address in IPv4Network("224.0.0.0/24")
    return address in _V6_LOCAL_MULTICAST or (address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02)


_V6_LOCAL_MULTICAST = IPv6Network("ff02::/16")


def _global_unicast(address: Address) -> bool:
    broadcast = isinstance(address, IPv4Address) and int(address) == 2**32 - 1
    return not (
        broadcast or address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    )


IPS = (
    overload("string_to_ip", "ip(string) -> net.IP", _ip, PARSED),
    overload("ip_family", "net.IP.family() -> int", lambda value: value.address.version, NOMINAL),
    overload("ip_is_canonical", "ip.isCanonical(string) -> bool", lambda text: str(_ip(text)) == text, PARSED_TWICE),
    overload("ip_is_unspecified", "net.IP.isUnspecified() -> bool", lambda ip: ip.address.is_unspecified, NOMINAL),
    overload("ip_is_loopback", "net.IP.isLoopback() -> bool", lambda ip: ip.address.is_loopback, NOMINAL),
    overload(
        "ip_is_link_local_multicast",
        "net.IP.isLinkLocalMulticast() -> bool",
        lambda ip: _local_multicast(ip.address),
        NOMINAL,
    ),
    overload(
        "ip_is_link_local_unicast",
        "net.IP.isLinkLocalUnicast() -> bool",
        lambda ip: _local_unicast(ip.address),
        NOMINAL,
    ),
    overload(
        "ip_is_global_unicast", "net.IP.isGlobalUnicast() -> bool", lambda ip: _global_unicast(ip.address), NOMINAL
    ),
    overload("is_ip", "isIP(string) -> bool", _is_ip, PARSED),
    overload("ip_to_string", "string(net.IP) -> string", str),
)
CIDRS = (
    overload("string_to_cidr", "cidr(string) -> net.CIDR", _cidr, PARSED),
    overload(
        "cidr_contains_ip_string", "net.CIDR.containsIP(string) -> bool",
        lambda network, text: _contains_ip(network, _ip(text)), contains_address(network=False, text=True),
    ),
    overload(
        "cidr_contains_ip_ip", "net.CIDR.containsIP(net.IP) -> bool", _contains_ip,
        contains_address(network=False, text=False),
    ),
    overload(
        "cidr_contains_cidr_string", "net.CIDR.containsCIDR(string) -> bool",
        lambda network, text: _contains_cidr(network, _cidr(text)), contains_address(network=True, text=True),
    ),
    overload(
        "cidr_contains_cidr", "net.CIDR.containsCIDR(net.CIDR) -> bool", _contains_cidr,
        contains_address(network=True, text=False),
    ),
    overload("cidr_ip", "net.CIDR.ip() -> net.IP", lambda network: IPValue(network.address), NOMINAL),
    overload("cidr_prefix_length", "net.CIDR.prefixLength() -> int", lambda network: network.bits, NOMINAL),
    overload("cidr_masked", "net.CIDR.masked() -> net.CIDR", _masked, NOMINAL),
    overload("is_cidr", "isCIDR(string) -> bool", _is_cidr, PARSED),
    overload("cidr_to_string", "string(net.CIDR) -> string", str),
)  # fmt: skip
