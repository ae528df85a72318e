"""Nodes in network namespaces of their own, joined by a bridge, with UTS names of their own.

    host ── tiphys7-br (172.30.7.1/24) ──┬── veth ── [tiphys7-node-1] eth0 172.30.7.11
                                         └── veth ── [tiphys7-node-2] eth0 172.30.7.12

The number (7) tells the clusters of one machine apart. Everything is named after it and taken away by `remove`. The
nodes reach the API server, and whatever is outside (registries), through the bridge's address. Links are made once, so
iproute2 commands are fast enough here.
"""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tiphys.cluster.failure import ClusterError

_NUMBERS = 60


def free_number(data_dir: Path) -> int:
    """A number that no cluster of this machine uses: always the same for a data directory, unless it is taken."""
    first = zlib.crc32(str(data_dir).encode()) % _NUMBERS
    for offset in range(_NUMBERS):
        number = 1 + (first + offset) % _NUMBERS
        if not Path(f"/sys/class/net/{NodeNetworks(number).bridge}").exists():
            return number
    raise ClusterError(f"{_NUMBERS} clusters with nodes in namespaces run here already", "`tiphys down` some of them")


class NodeNetworks(msgspec.Struct, frozen=True):
    """The networks of one cluster's nodes."""

    number: int
    ipv6: bool = False
    """Whether nodes have IPv6 addresses."""
    ipv4: bool = True
    """Whether the cluster knows their IPv4 addresses. They have them all the same: registries may have no others."""

    @property
    def bridge(self) -> str:
        return f"tiphys{self.number}-br"

    @property
    def host_address(self) -> str:
        """The machine's own address on the bridge, where the cluster's nodes reach it."""
        return self.host_address4 if self.ipv4 else self.host_address6

    @property
    def host_address4(self) -> str:
        return f"172.30.{self.number}.1"

    @property
    def pod_cidr(self) -> str:
        """Pods' addresses, other ones in each cluster, so that the machine can reach them all."""
        return f"100.{64 + self.number}.0.0/16"

    @property
    def pod_cidr6(self) -> str:
        return f"fd74:6970:{self.number:x}::/56"

    @property
    def service_cidr6(self) -> str:
        return f"fd74:6970:{self.number:x}:fe00::/112"

    @property
    def host_address6(self) -> str:
        return f"fd74:6970:{self.number:x}:ff00::1"

    def addresses_of(self, node: str) -> tuple[str, ...]:
        """The node's InternalIPs, IPv4 first: `node-1` is ....11."""
        first = (self.address4_of(node),) if self.ipv4 else ()
        return (*first, self.address6_of(node)) if self.ipv6 else first

    def address4_of(self, node: str) -> str:
        return f"172.30.{self.number}.{10 + _index(node)}"

    def address6_of(self, node: str) -> str:
        return f"fd74:6970:{self.number:x}:ff00::{10 + _index(node):x}"

    def namespace_of(self, node: str) -> str:
        return f"tiphys{self.number}-{node}"

    def link_of(self, node: str) -> str:
        """The node's link, as the machine sees it."""
        return f"tiphys{self.number}v{_index(node)}"

    def enter_command(self, node: str) -> tuple[str, ...]:
        """What to put before a command so that it runs in the node's network and has a host name of its own.

        Not `ip netns exec`: that gives each command a new mount namespace, and a restarted kubelet would no longer see
        the volumes it mounted.
        """
        return ("nsenter", f"--net=/run/netns/{self.namespace_of(node)}", "unshare", "--uts", "--")

    def create(self, nodes: Sequence[str]) -> None:
        """Make the bridge and each node's namespace; what is there already stays. Raises ClusterError."""
        if not Path(f"/sys/class/net/{self.bridge}").exists():
            _ip("link", "add", self.bridge, "type", "bridge")
            _ip("address", "add", f"{self.host_address4}/24", "dev", self.bridge)
            _ip("link", "set", self.bridge, "up")
        if self.ipv6:
            _ip("address", "replace", f"{self.host_address6}/64", "dev", self.bridge, "nodad")
            # For our pods we know better than the default route.
            _ip("route", "replace", "unreachable", self.pod_cidr6)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        self._masquerade()
        _ip("route", "replace", "unreachable", self.pod_cidr)
        for node in nodes:
            if not Path(f"/run/netns/{self.namespace_of(node)}").exists():
                self._create_one(node)

    def remove(self, nodes: Sequence[str]) -> None:
        """Take away what `create` made, as far as it is there."""
        for node in nodes:
            _try("ip", "netns", "delete", self.namespace_of(node))
            _try("ip", "link", "delete", self.link_of(node))
        _try("ip", "link", "delete", self.bridge)
        _try("ip", "route", "delete", "unreachable", self.pod_cidr)
        _try("ip", "route", "delete", "unreachable", self.pod_cidr6)
        _try("nft", "delete", "table", "ip", self._table)

    def route(self, cidr: str, address: str) -> None:
        """Reach the pods of `cidr` through the node at `address`. Raises ClusterError."""
        _ip("route", "replace", cidr, "via", address, "dev", self.bridge)

    def cut(self, node: str, *, down: bool) -> None:
        """Take the node's link down (a partition) or bring it back."""
        _ip("link", "set", self.link_of(node), "down" if down else "up")

    def _create_one(self, node: str) -> None:
        namespace, outer = self.namespace_of(node), self.link_of(node)
        _ip("netns", "add", namespace)
        _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", outer, "master", self.bridge, "up")
        inside = ("-n", namespace)
        _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "address", "add", f"{self.address4_of(node)}/24", "dev", "eth0")
        _ip(*inside, "link", "set", "eth0", "up")
        _ip(*inside, "route", "add", "default", "via", self.host_address4)
        if self.ipv6:
            _ip(*inside, "address", "add", f"{self.address6_of(node)}/64", "dev", "eth0", "nodad")
            _ip(*inside, "route", "add", "default", "via", self.host_address6)

    @property
    def _table(self) -> str:
        return f"tiphys{self.number}-nodes"

    def _masquerade(self) -> None:
        """What the nodes send out of this machine goes out under the machine's own address."""
        table = self._table
        rules = (
            f"table ip {table}\ndelete table ip {table}\n"
            f"table ip {table} {{ chain post {{ type nat hook postrouting priority srcnat; policy accept;\n"
            f'ip saddr 172.30.{self.number}.0/24 oifname != "{self.bridge}" masquerade;\n}}\n}}\n'
        )
        result = subprocess.run(["nft", "-f", "-"], input=rules, capture_output=True, text=True, check=False)
        if result.returncode:
            raise ClusterError(
                f"nftables refused the nodes' masquerading: {result.stderr.strip()}", "is the kernel's nf_tables there?"
            )


def _index(node: str) -> int:
    return int(node.rpartition("-")[2])


def _try(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    result = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise ClusterError(
            f"`ip {' '.join(arguments)}` failed: {result.stderr.strip()}",
            "nodes in namespaces need root; a single node can live in the machine's own network",
        )
