"""kube-proxy: keeps the node's nftables table as Services and EndpointSlices say.

Events mark Services as dirty; a few milliseconds later all dirty ones are planned anew (`ruleset`), merged into the
desired table (`table`), and the difference goes to the kernel in one transaction (`kernel`). At the start, after a
failure, and when somebody else removed the table, everything is loaded in one transaction instead.
Source: cmd/kube-proxy, pkg/proxy/nftables.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiphys.api.kinds.core.node import NODE, Node
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.kinds.core.service import SERVICE, Service
from tiphys.api.kinds.discovery.endpointslice import ENDPOINTSLICE, EndpointSlice
from tiphys.base import nft
from tiphys.base.answering import AnswerServer
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock, rfc3339
from tiphys.base.family import IPV4, families_of
from tiphys.client.events import Recorder
from tiphys.client.interface import Client, EventType
from tiphys.proxy import modes
from tiphys.proxy.endpoints import Place, endpoints_of, proxied
from tiphys.proxy.metrics import ProxyMetrics
from tiphys.proxy.ruleset import Surroundings
from tiphys.proxy.sides import Side
from tiphys.proxy.table import ServiceKey

log = logging.getLogger(__name__)

COALESCE_S = 0.01
"""How long a change waits for others that come with it (a Service and its slices)."""
RETRY = Backoff(first_s=0.2, cap_s=30.0, jitter=0.1)
PLANNED_PER_TURN = 20
"""Services planned before others get their turn on the loop (some 70 us each)."""
STUCK_AFTER_S = 60.0
_INDEX = "service"
ZONE_LABEL = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What `Proxy` is told."""

    node_name: str
    mode: str = modes.DEFAULT
    """One of `modes.NAMES`."""
    cluster_cidr: str = "10.244.0.0/16"
    """Pods' addresses, one network for each family, separated by a comma; empty: nobody is taken for a pod, nobody for
    a stranger."""
    service_cidr: str = "10.96.0.0/16"
    """Services' addresses, likewise: its families are those that the proxy serves."""
    health_address: str = ""
    """Empty: all addresses."""
    health_port: int = 10256
    """0: none."""
    metrics_port: int = 10249
    """On 127.0.0.1: /metrics, /proxyMode, /healthz. 0: none."""
    localhost_node_ports: bool = True
    """Whether node ports answer on 127.0.0.1 (sets `route_localnet`; the table keeps neighbours out of loopback)."""
    node_port_addresses: tuple[str, ...] = ()
    """Networks (CIDRs) of the node's addresses that node ports answer on. Empty: all addresses."""
    masquerade_all: bool = False
    """Whether endpoints see every client of a cluster address under the node's own address."""
    ipvs_scheduler: str = "rr"
    """How the ipvs mode picks endpoints: as the kernel calls it."""
    check_period_s: float = 30.0
    """How often the table's presence is checked."""


class Proxy:
    """Makes Services work on this node while `run` runs; the rules outlive it."""

    def __init__(self, client: Client, clock: Clock, recorder: Recorder, settings: ProxySettings) -> None:
        self._clock, self._recorder, self._settings = clock, recorder, settings
        self._services = client.informer(SERVICE)
        self._slices = client.informer(ENDPOINTSLICE)
        self._nodes = client.informer(NODE)
        self._place = Place(settings.node_name)
        self._sides = [Side(settings.mode, around) for around in _surroundings(settings)]
        self._health = AnswerServer(settings.health_address)
        self._about = AnswerServer("127.0.0.1")
        self._metrics = ProxyMetrics(clock)
        self._health_ports: dict[ServiceKey, tuple[int, int]] = {}
        self._dirty: set[ServiceKey] = set()
        self._wake = asyncio.Event()
        self._pending_since_s: float | None = None
        self._last_updated = clock.now()
        self.synced = asyncio.Event()
        """Set once the kernel holds what the first lists said."""

    async def run(self) -> None:
        """Runs until cancelled. What the kernel refuses is retried for ever, and shows in the log and in /healthz."""
        self._slices.add_index(_INDEX, _service_of)
        stops = (
            self._nodes.subscribe(self._on_node),
            self._services.subscribe(self._on_service),
            self._slices.subscribe(self._on_slice),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                if self._settings.health_port:
                    await self._health.listen(self._settings.health_port, self._answer)
                if self._settings.metrics_port:
                    await self._about.listen(self._settings.metrics_port, self._say)
                tasks.create_task(self._keep(), name="proxy rules")
                tasks.create_task(self._check(), name="proxy check")
        finally:
            for stop in stops:
                stop()
            await self._health.close()
            await self._about.close()
            for side in self._sides:
                await side.close()

    # --- what changed

    def _on_service(self, _change: EventType, old: Service | None, new: Service | None) -> None:
        service = new or old
        if service is not None:
            self._mark((service.metadata.namespace, service.metadata.name))

    def _on_slice(self, _change: EventType, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for piece in (old, new):
            for name in _service_of(piece) if piece else ():
                namespace, _, service = name.partition("/")
                self._mark((namespace, service))

    def _on_node(self, _change: EventType, _old: Node | None, new: Node | None) -> None:
        if new is None or new.metadata.name != self._settings.node_name:
            return
        place = Place(self._settings.node_name, new.metadata.labels.get(ZONE_LABEL, ""))
        if place != self._place:
            self._place = place
            for service in self._services.list():
                self._mark((service.metadata.namespace, service.metadata.name))

    def _mark(self, key: ServiceKey) -> None:
        self._dirty.add(key)
        self._wake.set()

    # --- what follows

    async def _keep(self) -> None:
        await self._services.wait_synced()
        await self._slices.wait_synced()
        await self._nodes.wait_synced()
        if self._settings.localhost_node_ports and modes.answers_on_loopback(self._settings.mode):
            _route_localnet("1")
        failures = 0
        self._wake.set()
        while True:
            await self._wake.wait()
            if self._pending_since_s is None:
                self._pending_since_s = self._clock.monotonic()
            await self._clock.sleep(COALESCE_S)
            self._wake.clear()
            try:
                await self._sync()
            except (nft.NftError, OSError) as error:
                failures += 1
                self._wake.set()
                log.error("node %s: Service rules: %s", self._settings.node_name, error)
                await self._clock.sleep(RETRY.delay_s(failures))
                continue
            failures = 0
            self._pending_since_s = None
            self._last_updated = self._clock.now()
            if not self.synced.is_set():
                await asyncio.to_thread(modes.cleanup, but=self._settings.mode)
                self.synced.set()
                log.info(
                    "node %s: rules of %d Services are in place",
                    self._settings.node_name,
                    sum(1 for _ in self._services.list()),
                )
                self._say_started()

    async def _sync(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for count, key in enumerate(sorted(dirty), start=1):
            service, slices = self._read(key)
            for side in self._sides:
                side.plan(key, service, slices, replace(self._place, family=side.family))
            if count % PLANNED_PER_TURN == 0:
                await asyncio.sleep(0)
        with self._metrics.syncing():
            for side in self._sides:
                await side.sync()
        for key in dirty:
            await self._keep_health_port(key)

    def _read(self, key: ServiceKey) -> tuple[Service | None, list[EndpointSlice]]:
        namespace, name = key
        return self._services.get(name, namespace), list(self._slices.indexed(_INDEX, f"{namespace}/{name}"))

    # --- health

    async def _check(self) -> None:
        await self.synced.wait()
        while True:
            await self._clock.sleep(self._settings.check_period_s)
            for side in self._sides:
                if not await side.present():
                    log.warning("node %s: its rules are gone, loading them anew", self._settings.node_name)
                    side.load_again()
                    self._wake.set()

    def _say(self, path: str) -> tuple[int, dict[str, Any] | bytes]:
        if path == "/metrics":
            return 200, self._metrics.render()
        return (200, self._settings.mode.encode()) if path == "/proxyMode" else self._answer(path)

    def _answer(self, path: str) -> tuple[int, dict[str, Any]]:
        # Of the proxy as a whole; a Service's own is asked on its healthCheckNodePort, by load balancers.
        if path not in ("/healthz", "/livez"):
            return 404, {"error": "not found"}
        since = self._pending_since_s
        healthy = self.synced.is_set() and (since is None or self._clock.monotonic() - since < STUCK_AFTER_S)
        now = self._clock.now()
        body = {
            "lastUpdated": rfc3339(now if since is None else self._last_updated),
            "currentTime": rfc3339(now),
            "nodeEligible": True,
        }
        return (200 if healthy else 503), body

    async def _keep_health_port(self, key: ServiceKey) -> None:
        service, slices = self._read(key)
        port = 0
        if service is not None and proxied(service) and service.spec.external_traffic_policy == "Local":
            port = service.spec.health_check_node_port
        local = 0
        if service is not None and port:
            places = [replace(self._place, family=side.family) for side in self._sides]
            found = [endpoints_of(port, slices, place).local for port in service.spec.ports for place in places]
            local = len({backend.ip for backends in found for backend in backends})
        old_port, _ = self._health_ports.pop(key, (0, 0))
        if old_port and old_port != port:
            await self._health.forget(old_port)
        if port:
            self._health_ports[key] = (port, local)
            if old_port != port:
                await self._health.listen(port, lambda _path: self._service_answer(key))

    def _service_answer(self, key: ServiceKey) -> tuple[int, dict[str, Any]]:
        _, local = self._health_ports.get(key, (0, 0))
        body = {
            "service": {"namespace": key[0], "name": key[1]},
            "localEndpoints": local,
            "serviceProxyHealthy": self._pending_since_s is None,
        }
        return (200 if local else 503), body

    def _say_started(self) -> None:
        name = self._settings.node_name
        node = ObjectReference(kind="Node", api_version="v1", name=name, uid=name)
        self._recorder.event(node, "Normal", "Starting", "", action="StartKubeProxy")


def _surroundings(settings: ProxySettings) -> Iterator[Surroundings]:
    """One for each family that Services have and the mode serves."""
    for family in families_of(settings.service_cidr) or (IPV4,):
        if not modes.serves(settings.mode, family):
            log.warning("the proxy mode %s serves no %s: such Services do not work", settings.mode, family.name)
            continue
        yield Surroundings(
            family.network(settings.cluster_cidr),
            family.network(settings.service_cidr),
            tuple(family.of(settings.node_port_addresses)),
            family,
            settings.ipvs_scheduler,
            settings.masquerade_all,
        )


def _service_of(piece: EndpointSlice) -> Iterable[str]:
    """The Service that a slice belongs to, as `namespace/name`."""
    name = piece.metadata.labels.get("kubernetes.io/service-name")
    return (f"{piece.metadata.namespace}/{name}",) if name else ()


def _route_localnet(value: str) -> None:
    """`1` lets packets from 127.0.0.1 leave for pods once a node port on 127.0.0.1 is translated."""
    try:
        Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text(value)
    except OSError as error:
        log.warning("route_localnet: %s; node ports will not answer on 127.0.0.1", error)


def cleanup() -> None:
    """Takes the rules of every mode away from this network namespace; Services stop working here. Idempotent."""
    _route_localnet("0")  # first: the rules keep neighbours out of loopback
    modes.cleanup()
