"""The provider `local`: load balancers are addresses of a pool, and every node serves them.

kube-proxy has rules for the addresses in a Service's status; what leads traffic to a node is outside of this (a route
on the machine that `tiphys up` runs on, or whatever the network has). Which addresses are taken is read off the
Services, so nothing is lost in a restart.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from tiphys.api.kinds import SERVICE
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.service import LoadBalancerIngress, Service
from tiphys.client.interface import Client
from tiphys.cloud.provider import CloudError, CloudProvider

DEFAULT_POOL = "172.31.0.0/24"


class AddressPool:
    """Hands out the lowest free address; must be asked by one asker at a time that sees its earlier writes."""

    def __init__(self, client: Client, pool: str) -> None:
        """`pool` is a network, or `first-last`. Raises ValueError."""
        self._services = client.informer(SERVICE)
        self._first, self._last = _bounds(pool)
        self._version = self._first.version
        self._pool = pool

    async def ensure(self, service: Service, nodes: Sequence[Node]) -> Sequence[LoadBalancerIngress]:
        has = [each.ip for each in service.status.load_balancer.ingress if each.ip]
        wanted = service.spec.load_balancer_ip
        taken = set(self._taken(service))
        if wanted:
            return [LoadBalancerIngress(ip=self._requested(wanted, taken), ip_mode="VIP")]
        for address in has:
            if self._contains(address) and address not in taken:
                return [LoadBalancerIngress(ip=address, ip_mode="VIP")]
        for number in range(int(self._first), int(self._last) + 1):
            address = str(type(self._first)(number))
            if address not in taken:
                return [LoadBalancerIngress(ip=address, ip_mode="VIP")]
        raise CloudError(f"no address is left in the pool {self._pool}")

    async def delete(self, service: Service) -> None:
        """The address is free when the Service's status no longer shows it."""

    def _requested(self, wanted: str, taken: set[str]) -> str:
        if not self._contains(wanted):
            raise CloudError(f"requested address {wanted} is not in the pool {self._pool}")
        if wanted in taken:
            raise CloudError(f"requested address {wanted} is taken by another Service")
        return wanted

    def _contains(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return parsed.version == self._version and int(self._first) <= int(parsed) <= int(self._last)

    def _taken(self, service: Service) -> Iterator[str]:
        for other in self._services.list():
            if other.metadata.uid != service.metadata.uid:
                yield from (each.ip for each in other.status.load_balancer.ingress if each.ip)


def local_provider(client: Client, config: str) -> CloudProvider:
    """`config` is the pool. Raises ValueError."""
    return CloudProvider("local", load_balancers=AddressPool(client, config.strip() or DEFAULT_POOL))


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _bounds(pool: str) -> tuple[Address, Address]:
    first, dash, last = pool.partition("-")
    if dash:
        low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        if low.version != high.version or int(low) > int(high):
            raise ValueError(f"{pool!r} is no range of addresses")
        return low, high
    network = ipaddress.ip_network(pool.strip())
    if network.num_addresses <= 2:
        return network[0], network[-1]
    return network[1], network[-2]
