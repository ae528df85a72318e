"""The machine's way to the pods of nodes that live in namespaces: a route to each node's pod range over the bridge.

Addresses of load balancers are led to one node that is ready: every node serves them.

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

    def __init__(self, client: Client, networks: NodeNetworks, load_balancer_pool: str = "") -> None:
        self._nodes, self._networks, self._pool = client.informer(NODE), networks, load_balancer_pool
        self._wanted: dict[str, str] = {}
        """Pod range, or the pool of load balancers -> the node's address."""
        self._ready: dict[str, str] = {}
        """Nodes that are ready -> their addresses."""
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

    def _on_node(self, _change: EventType, old: Node | None, new: Node | None) -> None:
        seen = new or old
        if seen is None:
            return
        addresses = [a.address for a in seen.status.addresses if a.type == "InternalIP"]
        # Of the pool's family, so that the one leads to the other.
        address = next((a for a in addresses if (":" in a) == (":" in self._pool)), "")
        for cidr in (new.spec.pod_cidrs or [new.spec.pod_cidr]) if new is not None else ():
            gateway = next((a for a in addresses if (":" in a) == (":" in cidr)), "")
            if cidr and gateway:
                self._want(cidr, gateway)
        ready = new is not None and any(c.type == "Ready" and c.status == "True" for c in new.status.conditions)
        if ready and address:
            self._ready[seen.metadata.name] = address
        else:
            self._ready.pop(seen.metadata.name, None)
        if self._pool and self._ready and self._wanted.get(self._pool) not in self._ready.values():
            self._want(self._pool, self._ready[min(self._ready)])

    def _want(self, cidr: str, address: str) -> None:
        if self._wanted.get(cidr) != address:
            self._wanted[cidr] = address
            self._changed.set()
