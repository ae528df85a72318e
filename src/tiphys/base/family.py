"""The two families of IP addresses, and what differs between them where the kernel is told about addresses."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Family:
    """One of `IPV4` and `IPV6`."""

    name: str
    """As in `ipFamilies` and `addressType`."""
    number: int
    """The kernel's."""
    nft: str
    """In nftables: the family of tables, and what matches begin with."""
    nft_type: str
    """In nftables: the type of an address."""
    bits: int
    """In an address."""

    def has(self, address: str) -> bool:
        """Whether an address or a network is of this family."""
        return (":" in address) == (self.bits == 128)

    def of(self, addresses: Iterable[str]) -> list[str]:
        """Those of this family; empty ones and `None` (of headless Services) are of none."""
        return [text for text in addresses if text and text != "None" and self.has(text)]

    def network(self, listed: str) -> str:
        """The first network of this family in a list separated by commas; empty where there is none."""
        return next(iter(self.of(text.strip() for text in listed.split(","))), "")

    def packed(self, address: str) -> bytes:
        """Raises OSError."""
        return socket.inet_pton(self.number, address)

    def text(self, packed: bytes) -> str:
        return socket.inet_ntop(self.number, packed)

    def with_port(self, address: str, port: int) -> str:
        return f"[{address}]:{port}" if self.bits == 128 else f"{address}:{port}"


IPV4 = Family("IPv4", socket.AF_INET, "ip", "ipv4_addr", 32)
IPV6 = Family("IPv6", socket.AF_INET6, "ip6", "ipv6_addr", 128)
FAMILIES = (IPV4, IPV6)


def families_of(networks: str) -> tuple[Family, ...]:
    """The families of a list of networks, in its order."""
    listed = [text.strip() for text in networks.split(",") if text.strip()]
    return tuple(dict.fromkeys(IPV6 if ":" in text else IPV4 for text in listed))


def ipv6_obstacle() -> str:
    """Why this machine cannot have IPv6 pods, in a sentence; empty where it can."""
    if not Path("/proc/sys/net/ipv6").exists():
        return "the kernel has no IPv6"
    if Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").read_text().strip() == "1":
        return "IPv6 is switched off (net.ipv6.conf.default.disable_ipv6)"
    return ""
