"""The CNI configuration that containerd reads to connect pods: bridge, host-local, portmap.

Loopback needs no entry: containerd's CRI plugin brings it up itself.
Source: the CNI specification 1.0.0 and the plugins' own documents (containernetworking/plugins).
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Sequence
from pathlib import Path

CONFIG_NAME = "10-tiphys.conflist"
PLUGIN_DIRECTORIES = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
NEEDED_PLUGINS = ("bridge", "host-local", "loopback", "portmap")


def plugin_directory(candidates: tuple[str, ...] = PLUGIN_DIRECTORIES) -> str:
    """The first directory that holds every plugin we need. Raises FileNotFoundError with what to install."""
    for directory in candidates:
        if all(os.access(Path(directory, plugin), os.X_OK) for plugin in NEEDED_PLUGINS):
            return directory
    raise FileNotFoundError(
        f"no CNI plugins ({', '.join(NEEDED_PLUGINS)}) in {', '.join(candidates)}; install containernetworking-plugins"
    )


def gateway_of(subnet: str) -> str:
    """The node's own address in its pod subnet, which the bridge carries: the first one."""
    return str(ipaddress.ip_network(subnet)[1])


def config(subnets: Sequence[str], mtu: int, bridge: str, state: str) -> dict[str, object]:
    """The network list: a pod gets an address of each subnet. `mtu` 0 leaves it to the kernel; `state` is where
    host-local remembers what it gave away."""
    for subnet in subnets:
        ipaddress.ip_network(subnet)
    plug: dict[str, object] = {
        "type": "bridge",
        "bridge": bridge,
        "isGateway": True,
        "isDefaultGateway": True,
        "hairpinMode": True,
        # What leaves the cluster is masqueraded by PodNetwork's own table: the plugin would do it per pod, by iptables.
        "ipMasq": False,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in subnets], "dataDir": state},
    }
    if mtu:
        plug["mtu"] = mtu
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "1.0.0", "name": "tiphys", "plugins": [plug, ports]}


def write_config(directory: Path | str, subnets: Sequence[str], mtu: int, bridge: str, state: Path | str = "") -> Path:
    """Makes `directory` hold exactly this network's configuration, whole at any moment; returns the file.

    `state` defaults to `allocations` beside `directory`, so that two nodes on one machine never share it. An unchanged
    file is left alone: containerd watches the directory and would set the network up again. Raises OSError, and
    ValueError for a bad subnet.
    """
    directory = Path(directory)
    state = Path(state) if state else directory.parent / "allocations"
    return write_file(directory, CONFIG_NAME, json.dumps(config(subnets, mtu, bridge, str(state)), indent=2) + "\n")


def write_file(directory: Path, name: str, text: str) -> Path:
    """Makes the file have this content, whole at any moment; an unchanged one is left alone. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    if not path.exists() or path.read_text() != text:
        fresh = path.with_suffix(".tmp")
        fresh.write_text(text)
        fresh.replace(path)
    return path
