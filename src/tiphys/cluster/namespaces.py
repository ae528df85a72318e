"""Several nodes on one machine: a network namespace for each, joined by a bridge, with UTS names of their own.

    host ── tiphys-br (172.30.0.1/24) ──┬── veth ── [tiphys-node-1] eth0 172.30.0.11
                                        └── veth ── [tiphys-node-2] eth0 172.30.0.12

Everything is named `tiphys-...` and taken away by `remove`. The nodes reach the API server, and whatever is outside
(registries), through the bridge's address. Links are made once, so iproute2 commands are fast enough here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tiphys.cluster.failure import ClusterError

BRIDGE = "tiphys-br"
HOST_ADDRESS = "172.30.0.1"
_PREFIX = 24
_NFT_TABLE = "tiphys-nodes"


def namespace_of(node: str) -> str:
    return f"tiphys-{node}"


def address_of(node: str) -> str:
    """The node's InternalIP: `node-1` is 172.30.0.11."""
    return f"172.30.0.{10 + int(node.rpartition('-')[2])}"


def enter_command(node: str) -> tuple[str, ...]:
    """What to put before a command so that it runs in the node's network and has a host name of its own.

    Not `ip netns exec`: that gives each command a new mount namespace, and a restarted kubelet would no longer see
    the volumes it mounted.
    """
    return ("nsenter", f"--net=/run/netns/{namespace_of(node)}", "unshare", "--uts", "--")


def create(nodes: Sequence[str]) -> None:
    """Make the bridge and each node's namespace; what is there already stays. Raises ClusterError."""
    if not Path(f"/sys/class/net/{BRIDGE}").exists():
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("address", "add", f"{HOST_ADDRESS}/{_PREFIX}", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    _masquerade()
    for index, node in enumerate(nodes, start=1):
        if not Path(f"/run/netns/{namespace_of(node)}").exists():
            _create_one(node, index)


def _create_one(node: str, index: int) -> None:
    namespace, outer = namespace_of(node), f"tiphys-v{index}"
    _ip("netns", "add", namespace)
    _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    _ip("link", "set", outer, "master", BRIDGE, "up")
    inside = ("-n", namespace)
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "address", "add", f"{address_of(node)}/{_PREFIX}", "dev", "eth0")
    _ip(*inside, "link", "set", "eth0", "up")
    _ip(*inside, "route", "add", "default", "via", HOST_ADDRESS)


def remove(nodes: Sequence[str]) -> None:
    """Take away what `create` made, as far as it is there."""
    for node in nodes:
        subprocess.run(["ip", "netns", "delete", namespace_of(node)], capture_output=True, check=False)
    subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)
    subprocess.run(["nft", "delete", "table", "ip", _NFT_TABLE], capture_output=True, check=False)


def cut(node: str, down: bool) -> None:
    """Take the node's link down (a partition) or bring it back."""
    index = int(node.rpartition("-")[2])
    _ip("link", "set", f"tiphys-v{index}", "down" if down else "up")


def _masquerade() -> None:
    """What the nodes send out of this machine goes out under the machine's own address."""
    rules = (
        f"table ip {_NFT_TABLE}\ndelete table ip {_NFT_TABLE}\n"
        f"table ip {_NFT_TABLE} {{ chain post {{ type nat hook postrouting priority srcnat; policy accept;\n"
        f'ip saddr 172.30.0.0/{_PREFIX} oifname != "{BRIDGE}" masquerade\n}} }}\n'
    )
    result = subprocess.run(["nft", "-f", "-"], input=rules, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ClusterError(
            f"nftables refused the nodes' masquerading: {result.stderr.strip()}", "is the kernel's nf_tables there?"
        )


def _ip(*arguments: str) -> None:
    result = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise ClusterError(
            f"`ip {' '.join(arguments)}` failed: {result.stderr.strip()}",
            "several nodes need root and network namespaces; `tiphys up --nodes 1` needs no namespaces",
        )
