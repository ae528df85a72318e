"""The machine's way to the pods of nodes that live in namespaces: a route to each node's pod range over the bridge.

The API server needs it (proxying to pods and Services), and people like to `curl` a pod. Addresses that no node has yet
are unreachable rather than sent to the default route: they must never leave the machine.
"""

from __future__ import annotations

import asyncio
import logging

from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import Node
from tiphys.client.interface import Client, EventType
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.namespaces import NodeNetworks

log = logging.getLogger(__name__)


class HostRoutes:
    """Follows the Nodes while `run` runs; the routes go with the bridge when the cluster goes down."""

    def __init__(self, client: Client, networks: NodeNetworks) -> None:
        self._nodes, self._networks = client.informer(NODE), networks
        self._wanted: dict[str, str] = {}
        """Pod range -> the node's address."""
        self._changed = asyncio.Event()

    async def run(self) -> None:
        stop = self._nodes.subscribe(self._on_node)
        done: dict[str, str] = {}
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                for cidr, address in list(self._wanted.items()):
                    if done.get(cidr) == address:
                        continue
                    try:
                        await asyncio.to_thread(self._networks.route, cidr, address)
                        done[cidr] = address
                    except ClusterError as error:
                        log.warning("route to the pods of %s: %s", address, error)
        finally:
            stop()

    def _on_node(self, _change: EventType, _old: Node | None, new: Node | None) -> None:
        if new is None or not new.spec.pod_cidr:
            return
        address = next((a.address for a in new.status.addresses if a.type == "InternalIP"), "")
        if address and self._wanted.get(new.spec.pod_cidr) != address:
            self._wanted[new.spec.pod_cidr] = address
            self._changed.set()
