"""Where the Service `default/kubernetes` leads: to every API server of the cluster that is alive.

With several API servers on one etcd each keeps a record of itself under a lease of 15 s, and all make the endpoints
what the records say; one that dies goes when its lease ends, one that stops takes its record away first. An API server
on an embedded store is alone.
Source: pkg/controlplane/reconcilers/lease.go (keys and times are upstream's, so that both may serve one etcd).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from collections.abc import Iterable

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.kind import new
from tiphys.api.kinds import ENDPOINTS, ENDPOINTSLICE
from tiphys.api.kinds.core.endpoints import EndpointAddress, EndpointPort, EndpointSubset
from tiphys.api.kinds.discovery.endpointslice import Endpoint, EndpointConditions
from tiphys.api.kinds.discovery.endpointslice import EndpointPort as SlicePort
from tiphys.apiserver.bootstrap.objects import put
from tiphys.apiserver.registry.interface import Registry
from tiphys.base.clock import Clock
from tiphys.store.interface import LeaseNotFound, Put, Store, StoreError, prefix_end

log = logging.getLogger(__name__)

PREFIX = b"/registry/masterleases/"
TTL_S = 15
LEAVE_S = 3.0
"""How long a server that stops tries to say so: its record goes by itself after `TTL_S`."""
INTERVAL_S = 10.0
_OTHER = re.compile(r"kubernetes-[0-9]{1,5}")


class _Metadata(msgspec.Struct):
    pass


class _Address(msgspec.Struct):
    ip: str


class _Port(msgspec.Struct):
    name: str
    port: int
    protocol: str = "TCP"


class _Subset(msgspec.Struct):
    addresses: list[_Address]
    ports: list[_Port] = []


class _Record(msgspec.Struct):
    """An Endpoints object in JSON, as upstream's records are. Upstream's own name no port."""

    kind: str = "Endpoints"
    apiVersion: str = "v1"  # noqa: N815
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    subsets: list[_Subset] = []


class ServerEndpoints:
    """Of one API server. `alone`: no other can be on this store, and no record is kept."""

    def __init__(self, registry: Registry, store: Store, clock: Clock, address: str, port: int, *, alone: bool) -> None:
        self._registry, self._store, self._clock = registry, store, clock
        self._address, self._port, self._alone = address, port, alone
        self._lease = 0

    @property
    def reachable(self) -> bool:
        """Nothing in a cluster could reach a server on loopback, and the API takes no such endpoints."""
        return not ipaddress.ip_address(self._address).is_loopback

    async def begin(self) -> None:
        """Enter this server. Raises ApiError, StoreError."""
        if not self.reachable:
            return
        await self._renew()
        await self._reconcile()

    async def run(self) -> None:
        """Until cancelled: keep the record alive and the endpoints true."""
        while not self._alone and self.reachable:
            await self._clock.sleep(INTERVAL_S)
            try:
                await self._renew()
                await self._reconcile()
            except (ApiError, StoreError) as error:
                log.warning("the endpoints of the kubernetes Service cannot be kept: %s", error)

    async def leave(self) -> None:
        """This server is about to stop: lead nobody to it any more, unless it is the only one."""
        if self._alone or not self._lease:
            return
        lease, self._lease = self._lease, 0
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._store.revoke(lease)
                if await self._living():
                    await self._reconcile()
        except (ApiError, StoreError, TimeoutError) as error:
            why = error or "the store does not answer"
            log.warning("this server stays among the endpoints of the kubernetes Service: %s", why)

    async def _renew(self) -> None:
        if self._alone:
            return
        if self._lease:
            try:
                await self._store.keep_alive(self._lease)
                return
            except LeaseNotFound:
                log.warning("this API server was too silent: its record has gone")
        self._lease = await self._store.grant(TTL_S)
        record = _Record(subsets=[_Subset([_Address(self._address)], [_Port("https", self._port)])])
        await self._store.txn([], [Put(PREFIX + self._address.encode(), msgspec.json.encode(record), self._lease)])

    async def _living(self) -> set[tuple[str, int]]:
        """(address, port) of every server with a record."""
        found: set[tuple[str, int]] = set()
        for record in (await self._store.range(PREFIX, prefix_end(PREFIX))).records:
            port = self._port
            try:
                said = msgspec.json.decode(record.value, type=_Record)
                port = next((p.port for subset in said.subsets for p in subset.ports), port)
            except msgspec.MsgspecError:
                pass  # upstream's, in protobuf: its key says the address, and its port is everyone's
            found.add((record.key[len(PREFIX) :].decode(), port))
        return found

    async def _reconcile(self) -> None:
        living = {(self._address, self._port)} if self._alone else await self._living()
        by_port: dict[int, list[str]] = {}
        for address, port in sorted(living):
            by_port.setdefault(port, []).append(address)
        endpoints = new(ENDPOINTS, "kubernetes", "default")
        endpoints.metadata.labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
        endpoints.subsets = [
            EndpointSubset(
                addresses=[EndpointAddress(ip=address) for address in addresses],
                ports=[EndpointPort(name="https", port=port, protocol="TCP")],
            )
            for port, addresses in sorted(by_port.items())
        ]
        await put(self._registry, ENDPOINTS, endpoints, "subsets")
        # A slice has one set of ports: usually all servers have the same one, and there is one slice.
        pieces = {"kubernetes" if port == min(by_port) else f"kubernetes-{port}": port for port in by_port}
        for name, port in pieces.items():
            await self._put_slice(name, port, by_port[port])
        for entry in self._registry.cache_of(ENDPOINTSLICE).entries():
            if entry.namespace == "default" and _OTHER.fullmatch(entry.name) and entry.name not in pieces:
                await self._put_slice(entry.name, int(entry.name.rpartition("-")[2]), ())

    async def _put_slice(self, name: str, port: int, addresses: Iterable[str]) -> None:
        family = "IPv4" if ipaddress.ip_address(self._address).version == 4 else "IPv6"
        piece = new(ENDPOINTSLICE, name, "default", address_type=family)
        piece.metadata.labels = {"kubernetes.io/service-name": "kubernetes"}
        piece.endpoints = [Endpoint(addresses=[one], conditions=EndpointConditions(ready=True)) for one in addresses]
        piece.ports = [SlicePort(name="https", port=port, protocol="TCP")]
        await put(self._registry, ENDPOINTSLICE, piece, "endpoints", "ports")
