"""Cluster DNS on every node: its pods are answered by their own node, over no network.

Records follow the informers at once. The server listens on the node's bridge address, and the node lists itself as an
endpoint of kube-system/kube-dns, whose internalTrafficPolicy keeps each question on its node.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tiphys.api.errors import AlreadyExists, ApiError, NotFound
from tiphys.api.kinds.core.namespace import NAMESPACE, Namespace
from tiphys.api.kinds.core.node import NODE, Node
from tiphys.api.kinds.core.service import SERVICE, Service
from tiphys.api.kinds.discovery.endpointslice import ENDPOINTSLICE, EndpointSlice
from tiphys.base.answering import AnswerServer
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.client.interface import Client, EventType
from tiphys.dns import manifests
from tiphys.dns.answers import Authority
from tiphys.dns.forward import PORT, Forwarder
from tiphys.dns.records import ServiceKey, Zone, service_records
from tiphys.dns.server import DnsServer, Responder

log = logging.getLogger(__name__)

RETRY = Backoff(first_s=0.5, cap_s=30.0, jitter=0.2)
_INDEX = "service"


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """What `ClusterDns` is told."""

    node_name: str
    domain: str = "cluster.local"
    address: str = ""
    """Where to listen; empty: the first address of the node's podCIDR (its bridge)."""
    port: int = PORT
    dns_ip: str = "10.96.0.10"
    """The Service's address, for the zone's NS record."""
    resolv_conf: str = "/etc/resolv.conf"
    """Names the resolvers for everything else; the node's own, never one that leads back here."""
    resolver_port: int = PORT
    metrics_port: int = 9153
    """On the same address: /metrics. 0: none."""
    publish: bool = True
    """Whether to list this node behind the Service kube-dns."""


class ClusterDns:
    """Answers while `run` runs."""

    def __init__(self, client: Client, clock: Clock, settings: DnsSettings) -> None:
        self._client, self._clock, self._settings = client, clock, settings
        self._services = client.informer(SERVICE)
        self._slices = client.informer(ENDPOINTSLICE)
        self._namespaces = client.informer(NAMESPACE)
        self._nodes = client.informer(NODE)
        self._zone = Zone()
        same_port = settings.port == settings.resolver_port
        own = frozenset((settings.dns_ip, settings.address) if same_port else ())
        self._forwarder = Forwarder(clock, settings.resolv_conf, own, settings.resolver_port)
        self._responder = Responder(Authority(self._zone, settings.domain, settings.dns_ip), self._forwarder)
        self._node_changed = asyncio.Event()
        self._slice_wrong = asyncio.Event()
        self._published: EndpointSlice | None = None
        self.listening = asyncio.Event()
        """Set once questions are answered."""
        self.address, self.port = settings.address, 0

    async def run(self) -> None:
        """Runs until cancelled. A port that is taken is reported and tried again: the rest of the node goes on."""
        self._slices.add_index(_INDEX, _service_of)
        await asyncio.gather(self._services.wait_synced(), self._slices.wait_synced(), self._namespaces.wait_synced())
        stops = (
            self._namespaces.subscribe(self._on_namespace),
            self._services.subscribe(self._on_service),
            self._slices.subscribe(self._on_slice),
            self._nodes.subscribe(self._on_node),
        )
        server = DnsServer(self._responder)
        about = AnswerServer()
        try:
            address = self.address = self._settings.address or await self._bridge_address()
            self.port = await self._listen(server, address)
            self.listening.set()
            if self._settings.metrics_port:
                about = AnswerServer(address)
                await about.listen(self._settings.metrics_port, self._say)
            log.info("cluster DNS of node %s: listening on %s:%d", self._settings.node_name, address, self.port)
            if self._settings.publish:
                await self._stay_published(address)
            else:
                await asyncio.Event().wait()
        finally:
            for stop in stops:
                stop()
            await about.close()
            await server.close()
            await self._forwarder.close()

    def _say(self, path: str) -> tuple[int, dict[str, Any] | bytes]:
        return (200, self._forwarder.metrics.render()) if path == "/metrics" else (404, {"error": "not found"})

    async def _listen(self, server: DnsServer, address: str) -> int:
        failures = 0
        while True:
            try:
                return await server.listen(address, self._settings.port)
            except OSError as error:
                failures += 1
                log.error(
                    "cluster DNS of node %s: listening on %s:%d: %s; does another DNS server hold the port?",
                    self._settings.node_name,
                    address,
                    self._settings.port,
                    error.strerror or error,
                )
                await self._clock.sleep(RETRY.delay_s(failures))

    # --- records

    def _on_namespace(self, _change: EventType, old: Namespace | None, new: Namespace | None) -> None:
        if old is not None and new is not None:
            return
        if old is not None:
            self._zone.namespaces.discard(old.metadata.name)
        if new is not None:
            self._zone.namespaces.add(new.metadata.name)
        self._responder.forget()

    def _on_service(self, _change: EventType, old: Service | None, new: Service | None) -> None:
        service = new or old
        if service is not None:
            self._follow((service.metadata.namespace, service.metadata.name))

    def _on_slice(self, _change: EventType, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        keys = {name for piece in (old, new) if piece is not None for name in _service_of(piece)}
        for name in keys:
            namespace, _, service = name.partition("/")
            found = self._services.get(service, namespace)
            # Only headless Services say anything about their endpoints.
            if found is not None and found.spec.cluster_ip == "None":
                self._follow((namespace, service))
        piece = new or old
        if piece is not None and self._is_published(piece) and (new is None or _differs(new, self._published)):
            self._slice_wrong.set()

    def _follow(self, key: ServiceKey) -> None:
        namespace, name = key
        service = self._services.get(name, namespace)
        slices = self._slices.indexed(_INDEX, f"{namespace}/{name}") if service is not None else ()
        records = service_records(service, slices) if service is not None else None
        if self._zone.replace(key, records):
            self._responder.forget()

    # --- this node

    def _on_node(self, _change: EventType, _old: Node | None, new: Node | None) -> None:
        if new is not None and new.metadata.name == self._settings.node_name:
            self._node_changed.set()

    async def _bridge_address(self) -> str:
        while True:
            self._node_changed.clear()
            node = self._nodes.get(self._settings.node_name)
            cidrs = [cidr for cidr in (node.spec.pod_cidr, *node.spec.pod_cidrs) if cidr] if node else []
            for cidr in cidrs:
                # Of the Service's family: translation does not lead from one to the other.
                if (":" in cidr) == (":" in self._settings.dns_ip):
                    return str(ipaddress.ip_network(cidr)[1])
            await self._node_changed.wait()

    def _is_published(self, piece: EndpointSlice) -> bool:
        metadata = piece.metadata
        return (metadata.namespace, metadata.name) == (
            manifests.NAMESPACE,
            manifests.slice_name(self._settings.node_name),
        )

    async def _stay_published(self, address: str) -> None:
        """Keeps the node's slice as it should be: written now, and again whenever someone else changed it."""
        failures = 0
        while True:
            self._slice_wrong.clear()
            node = self._nodes.get(self._settings.node_name)
            self._published = manifests.dns_slice(self._settings.node_name, node, address, self.port)
            try:
                await self._publish(self._published)
            except ApiError as error:
                failures += 1
                log.warning("node %s: listing it behind kube-dns: %s", self._settings.node_name, error)
                await self._clock.sleep(RETRY.delay_s(failures))
                continue
            failures = 0
            await self._slice_wrong.wait()
            # Two who write against each other must not do so as fast as they can.
            await self._clock.sleep(1.0)

    async def _publish(self, wanted: EndpointSlice) -> None:
        name, namespace = wanted.metadata.name, wanted.metadata.namespace
        known = self._slices.get(name, namespace)
        if known is not None and not _differs(known, wanted):
            return
        try:
            await self._client.create(ENDPOINTSLICE, wanted)
        except AlreadyExists:
            patch = {
                "metadata": {"labels": wanted.metadata.labels},
                "endpoints": [
                    {
                        "addresses": e.addresses,
                        "conditions": {"ready": True, "serving": True, "terminating": False},
                        "nodeName": e.node_name,
                    }
                    for e in wanted.endpoints
                ],
                "ports": [{"name": p.name, "port": p.port, "protocol": p.protocol} for p in wanted.ports],
            }
            try:
                await self._client.patch(ENDPOINTSLICE, name, patch, namespace)
            except NotFound:
                self._slice_wrong.set()


def _differs(piece: EndpointSlice, wanted: EndpointSlice | None) -> bool:
    return wanted is not None and (
        piece.endpoints != wanted.endpoints
        or piece.ports != wanted.ports
        or not wanted.metadata.labels.items() <= piece.metadata.labels.items()
    )


def _service_of(piece: EndpointSlice) -> Iterable[str]:
    """The Service that a slice belongs to, as `namespace/name`."""
    name = piece.metadata.labels.get("kubernetes.io/service-name")
    return (f"{piece.metadata.namespace}/{name}",) if name else ()
