"""Cluster IPs and node ports: handed out when a Service is written, taken back when it goes.

What is allocated is known from the Services themselves (the cache) and, for addresses, from IPAddress objects. An
allocation is held while its Service is being written and then committed or reverted; `nodeports` says how several API
servers do not give one port to two Services.

Source: pkg/registry/core/service/{storage/alloc.go,portallocator}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tiphys.api.errors import InternalError, invalid, invalid_object
from tiphys.api.kinds.core.service import Service
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.registry.nodeports import NodePorts, Pool
from tiphys.apiserver.registry.service_addresses import Full, Refused, ServiceAddresses, canonical
from tiphys.apiserver.registry.service_families import MARKED, left_alone, set_families
from tiphys.store.interface import Store


class Addresses:
    """The pools of the families that Services have."""

    def __init__(self, pools: Sequence[ServiceAddresses]) -> None:
        """The usual family's first."""
        self._pools = {pool.family: pool for pool in pools}
        self.families = tuple(self._pools)

    def __getitem__(self, family: str) -> ServiceAddresses:
        """Raises KeyError."""
        return self._pools[family]

    def of(self, address: str) -> ServiceAddresses:
        """Of an address whose family is not here any more, the usual pool takes care: only its object is left."""
        return self._pools.get("IPv6" if ":" in address else "IPv4") or self._pools[self.families[0]]


class Allocation:
    """What one write holds. Exactly one of `commit` and `revert` must follow."""

    def __init__(self, ports: NodePorts, addresses: Addresses, owner: str) -> None:
        self._ports, self._addresses, self.owner = ports, addresses, owner
        self.ports: list[int] = []
        """Taken for this write."""
        self.addresses: list[str] = []
        """Taken for this write."""
        self.freed: list[str] = []
        """Addresses that the Service had and needs no more."""
        self.freed_ports: list[int] = []
        """Ports, likewise."""

    async def commit(self) -> None:
        for address in self.addresses:
            self._addresses.of(address).settled(address)
        for address in self.freed:
            await self._addresses.of(address).give_back(address)
        for port in self.freed_ports:
            await self._ports.unclaim(port, self.owner)

    async def revert(self) -> None:
        for port in self.ports:
            await self._ports.give_back(port, self.owner)
        for address in self.addresses:
            await self._addresses.of(address).give_back(address)


class ServiceAllocator:
    """Addresses and ports of one cluster."""

    def __init__(self, pools: Sequence[ServiceAddresses], node_ports: tuple[int, int], store: Store) -> None:
        self._addresses = Addresses(pools)
        low, high = node_ports
        reserved = 0 if high - low < 31 else min(max(16, (high - low + 1) // 32), 128)
        self._pool = Pool(
            low,
            high,
            reserved,
            "provided port is already allocated",
            lambda _: f"provided port is not in the valid range. The range of valid ports is {low}-{high}",
        )
        self._ports = NodePorts(self._pool, store)

    def seen(self, _change: str, new: Entry | None, old: Entry | None) -> None:
        """A stored Service came, changed or went, here or through another server: what it has follows."""
        before: Service | None = old.obj if old is not None else None
        after: Service | None = new.obj if new is not None else None
        ports = set(_held_ports(after)) if after is not None else set()
        addresses = set(_held_addresses(after)) if after is not None else set()
        if before is not None:
            for port in set(_held_ports(before)) - ports:
                self._pool.drop(port)
            for address in set(_held_addresses(before)) - addresses:
                self._addresses.of(address).drop(address)
        for port in ports:
            self._pool.adopt(port)
        for address in addresses:
            self._addresses.of(address).adopt(address)

    async def release(self, service: Service) -> None:
        """A Service is gone."""
        for address in _held_addresses(service):
            await self._addresses.of(address).give_back(address)
        for port in _held_ports(service):
            await self._ports.unclaim(port, _owner(service))

    async def for_create(self, service: Service, dry_run: bool) -> Allocation:
        """Fill in addresses and ports. Raises Invalid, InternalError; then nothing is held."""
        return await self._allocating(service, dry_run, lambda held: self._fill_new(service, held, dry_run))

    async def for_update(self, service: Service, old: Service, dry_run: bool) -> Allocation:
        """The same for a change of `old`; what it no longer needs is given back on commit."""
        return await self._allocating(service, dry_run, lambda held: self._fill_changed(service, old, held, dry_run))

    async def _allocating(
        self, service: Service, dry_run: bool, fill: Callable[[Allocation], Awaitable[None]]
    ) -> Allocation:
        held = Allocation(self._ports, self._addresses, "" if dry_run else _owner(service))
        try:
            _normalize(service)
            await fill(held)
        except Full as error:
            await held.revert()
            raise InternalError(f'failed to allocate for Service "{service.metadata.name}": {error}') from None
        except BaseException:
            await held.revert()
            raise
        if dry_run:
            # Nothing will be written; addresses were not taken in the first place.
            held.addresses.clear()
            held.freed.clear()
            held.freed_ports.clear()
            await held.revert()
            held.ports.clear()
        return held

    async def _fill_new(self, service: Service, held: Allocation, dry_run: bool) -> None:
        spec = service.spec
        set_families(service, None, self._addresses.families)
        await self._take_addresses(service, [], held, dry_run)
        if spec.type in ("NodePort", "LoadBalancer"):
            await self._fill_ports(service, set(), held)
        if _needs_health_check(service):
            await self._take_health_check(service, held)

    async def _fill_changed(self, service: Service, old: Service, held: Allocation, dry_run: bool) -> None:
        spec, before = service.spec, old.spec
        untouched = left_alone(service, old)
        set_families(service, old, self._addresses.families)
        known = _held_addresses(old)
        if not untouched and before.cluster_ips[:1] != [MARKED]:
            await self._take_addresses(service, known, held, dry_run)
            held.freed += [address for address in known if address not in _held_addresses(service)]
        had = {port.node_port for port in before.ports if port.node_port}
        if spec.type in ("NodePort", "LoadBalancer"):
            await self._fill_ports(service, had, held)
        await self._change_health_check(service, old, held)

    async def _take_addresses(self, service: Service, known: list[str], held: Allocation, dry_run: bool) -> None:
        """An address of each family: the one asked for, or any. Those in `known` it has already."""
        spec = service.spec
        if spec.type == "ExternalName" or MARKED in spec.cluster_ips[:1]:
            return
        asked = list(spec.cluster_ips)
        given: list[str] = []
        for index, family in enumerate(spec.ip_families):
            requested = asked[index] if index < len(asked) else ""
            if canonical(requested) in known:
                given.append(requested)
                continue
            address = await self._take_address(service, family, requested, asked, dry_run)
            if not dry_run:
                held.addresses.append(address)
            given.append(address)
        spec.cluster_ip, spec.cluster_ips = given[0], given

    async def _take_address(
        self, service: Service, family: str, requested: str, asked: list[str], dry_run: bool
    ) -> str:
        pool = self._addresses[family]
        if not requested:
            return await pool.take_any(service, dry_run)
        try:
            return await pool.take(requested, service, dry_run)
        except (Refused, ValueError) as error:
            why = f"failed to allocate IP {requested}: {error}"
            raise _invalid_list(service, "spec.clusterIPs", asked, why) from None

    async def _fill_ports(self, service: Service, had: set[int], held: Allocation) -> None:
        spec = service.spec
        if spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is False:
            wanted = [port for port in spec.ports if port.node_port]
        else:
            wanted = list(spec.ports)
        mine = set(had)
        by_port = {port.port: port.node_port for port in wanted if port.node_port}
        for index, port in enumerate(spec.ports):
            if port not in wanted:
                continue
            if not port.node_port:
                # The same port over TCP and UDP gets the same node port.
                port.node_port = by_port.get(port.port, 0)
            if not port.node_port:
                port.node_port = await self._ports.take_any(held.owner)
            elif port.node_port not in mine:
                try:
                    await self._ports.take(port.node_port, held.owner)
                except Refused as error:
                    path = f"spec.ports[{index}].nodePort"
                    errors = [invalid(path, port.node_port, str(error))]
                    raise invalid_object("", "Service", service.metadata.name, errors) from None
            by_port[port.port] = port.node_port
            if port.node_port not in mine:
                mine.add(port.node_port)
                held.ports.append(port.node_port)

    async def _take_health_check(self, service: Service, held: Allocation) -> None:
        spec = service.spec
        if spec.health_check_node_port:
            try:
                await self._ports.take(spec.health_check_node_port, held.owner)
            except Refused as error:
                raise InternalError(
                    f"failed to allocate requested HealthCheck NodePort {spec.health_check_node_port}: {error}"
                ) from None
        else:
            spec.health_check_node_port = await self._ports.take_any(held.owner)
        held.ports.append(spec.health_check_node_port)

    async def _change_health_check(self, service: Service, old: Service, held: Allocation) -> None:
        needed, needs = _needs_health_check(old), _needs_health_check(service)
        if needs and not needed:
            await self._take_health_check(service, held)
        elif needed and not needs:
            service.spec.health_check_node_port = 0
        held.freed_ports += set(_held_ports(old)) - set(_held_ports(service))


def _normalize(service: Service) -> None:
    """`clusterIP` and the first of `clusterIPs` are the same thing."""
    spec = service.spec
    if spec.cluster_ip and not spec.cluster_ips:
        spec.cluster_ips = [spec.cluster_ip]


def _held_addresses(service: Service) -> list[str]:
    spec = service.spec
    if spec.type == "ExternalName" or not spec.cluster_ip or spec.cluster_ip == MARKED:
        return []
    return [canonical(address) for address in spec.cluster_ips or [spec.cluster_ip]]


def _owner(service: Service) -> str:
    return f"{service.metadata.namespace}/{service.metadata.name}"


def _held_ports(service: Service) -> list[int]:
    ports = [port.node_port for port in service.spec.ports if port.node_port]
    if service.spec.health_check_node_port:
        ports.append(service.spec.health_check_node_port)
    return ports


def _needs_health_check(service: Service) -> bool:
    return service.spec.type == "LoadBalancer" and service.spec.external_traffic_policy == "Local"


def _invalid_list(service: Service, path: str, value: list[str], why: str) -> Any:
    return invalid_object("", "Service", service.metadata.name, [invalid(path, value, why)])
