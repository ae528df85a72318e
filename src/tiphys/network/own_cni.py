"""A pod network of the user's own: any CNI plugins, by their configuration file.

The file is given to the runtime as it is, but for `${podCIDR}`, which stands for the node's pod subnet, and
`${podCIDR6}`, which stands for that of IPv6. Bridges, routes
and masquerading are then the plugins' business; Services, DNS and network policies work as ever.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

from tiphys.api.kinds.core.node import NODE, Node
from tiphys.base.family import IPV6
from tiphys.client.interface import Client, EventType
from tiphys.network.cni import CONFIG_NAME, write_file
from tiphys.network.pod_network import pod_subnet

log = logging.getLogger(__name__)

SUBNET, SUBNET6 = "${podCIDR}", "${podCIDR6}"


class OwnNetwork:
    """Hands the configuration over once the node has a pod subnet, and again when that changes, while `run` runs.

    `address` is the node's: DNS listens there, for no bridge is known.
    """

    def __init__(self, client: Client, node_name: str, address: str, directory: str, config: Path) -> None:
        self._nodes, self._node_name = client.informer(NODE), node_name
        self._directory, self._config = Path(directory), config
        self._changed = asyncio.Event()
        self.address = self.dns_address = address
        self.ready = asyncio.Event()
        """Set once pods can be connected."""

    async def run(self) -> None:
        """Runs until cancelled. A file that cannot be used is logged; the node stays without a network."""
        stop = self._nodes.subscribe(self._on_node)
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                node = self._nodes.get(self._node_name)
                subnet, subnet6 = pod_subnet(node), pod_subnet(node, IPV6)
                if not subnet and not subnet6:
                    continue
                try:
                    text = configuration(await asyncio.to_thread(self._config.read_text), subnet, subnet6)
                    await asyncio.to_thread(write_file, self._directory, CONFIG_NAME, text)
                except (OSError, ValueError) as error:
                    log.error("pod network of node %s: %s: %s", self._node_name, self._config, error)
                else:
                    self.ready.set()
        finally:
            stop()

    def _on_node(self, _change: EventType, old: Node | None, new: Node | None) -> None:
        if new is not None and new.metadata.name == self._node_name:
            before, after = ((pod_subnet(node), pod_subnet(node, IPV6)) for node in (old, new))
            if before != after:
                self._changed.set()


def configuration(text: str, subnet: str, subnet6: str = "") -> str:
    """The list of plugins for a node with these subnets; one plugin alone becomes a list. Raises ValueError."""
    if SUBNET6 in text and not subnet6:
        raise ValueError(f"it speaks of {SUBNET6}, and the node has no IPv6 pod subnet")
    if SUBNET in text and not subnet:
        raise ValueError(f"it speaks of {SUBNET}, and the node has no IPv4 pod subnet")
    found = json.loads(text.replace(SUBNET, subnet).replace(SUBNET6, subnet6))
    if not isinstance(found, dict):
        raise ValueError("a CNI configuration is a JSON object")
    if "plugins" not in found and "type" in found:
        plugin = {key: value for key, value in found.items() if key not in ("cniVersion", "name")}
        found = {"cniVersion": found.get("cniVersion", "1.0.0"), "name": found.get("name", ""), "plugins": [plugin]}
    if not found.get("name") or not found.get("plugins"):
        raise ValueError("a CNI configuration has a name and plugins")
    return json.dumps(found, indent=2) + "\n"
