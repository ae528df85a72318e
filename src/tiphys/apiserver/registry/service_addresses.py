"""Cluster IPs: which ranges they come from, and an IPAddress object for each that is taken.

The ranges are those of the ServiceCIDR objects that are ready. Creating the IPAddress is what takes an address: whoever
is second is refused by the store, also where several servers share it. One that outlives a crash between its creation
and its Service's is removed by the service-ip-repair controller.

Source: pkg/registry/core/service/ipallocator/{cidrallocator,ipallocator}.go, KEP-1880.
"""

from __future__ import annotations

import functools
import ipaddress
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

from tiphys.api.errors import AlreadyExists, NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import IPADDRESS, SERVICECIDR
from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.networking.ipaddress import IPAddress, IPAddressSpec, ParentReference
from tiphys.api.kinds.networking.servicecidr import ServiceCIDR
from tiphys.apiserver.cache.caches import Caches

FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY_LABEL = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"
DEFAULT_NAME = "kubernetes"
"""The ServiceCIDR of the server's own range."""

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Full(Exception):
    """Nothing is left to hand out."""

    def __str__(self) -> str:
        return "range is full"


class Refused(Exception):
    """The requested value is taken, or outside the range; the text is upstream's."""


class ServiceAddresses:
    """Hands out addresses of one family: the one of `service_cidr`."""

    def __init__(
        self,
        service_cidr: str,
        caches: Caches,
        create: Callable[[IPAddress], Awaitable[object]],
        delete: Callable[[str], Awaitable[object]],
    ) -> None:
        """`create` raises AlreadyExists, `delete` (by name) NotFound."""
        self._network = _network(service_cidr)
        self.family = f"IPv{self._network.version}"
        self._caches, self._create, self._delete = caches, create, delete
        self._with_objects = IPADDRESS in caches
        self._stored: set[str] = set()
        """What stored Services have, with or without an IPAddress."""
        self._busy: set[str] = set()
        """What writes under way have taken and no IPAddress shows."""
        self._random = random.Random()  # noqa: S311 # which free address it is, is no secret

    # --- what stored Services have

    def adopt(self, address: str) -> None:
        """A stored Service has it, whatever the ranges are now."""
        self._stored.add(canonical(address))

    def drop(self, address: str) -> None:
        """No stored Service has it any more."""
        self._stored.discard(canonical(address))

    # --- taking and giving back

    async def take(self, requested: str, service: Service, dry_run: bool) -> str:
        """The address in its canonical form, taken. Raises Refused, ValueError."""
        address = ipaddress.ip_address(requested)
        networks = [network for network in self._networks() if address in network]
        if not networks:
            raise Refused("the provided network does not match the current range")
        if not any(low <= int(address) <= high for low, high in map(_bounds, networks)):
            why = f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {networks[0]}"
            raise Refused(why)
        if not dry_run and not await self._claim(str(address), service):
            raise Refused("provided IP is already allocated")
        return str(address)

    async def take_any(self, service: Service, dry_run: bool) -> str:
        """A free address; where there are several ranges, of the first with room. Raises Full."""
        for network in self._networks():
            for number in self._candidates(network):
                address = str(network.network_address + (number - int(network.network_address)))
                if self._is_taken(address):
                    continue
                if dry_run or await self._claim(address, service):
                    return address
        raise Full

    async def give_back(self, address: str) -> None:
        """Nobody needs it; its IPAddress goes."""
        address = canonical(address)
        self._busy.discard(address)
        if self._with_objects:
            try:
                await self._delete(address)
            except NotFound:
                return

    def settled(self, address: str) -> None:
        """The Service that it was taken for is stored."""
        self._busy.discard(canonical(address))

    async def _claim(self, address: str, service: Service) -> bool:
        if self._is_taken(address):
            return False
        self._busy.add(address)
        if not self._with_objects:
            return True
        try:
            await self._create(address_object(address, service.metadata.namespace, service.metadata.name))
        except AlreadyExists:
            return False
        finally:
            self._busy.discard(address)  # its IPAddress holds it now
        return True

    def _is_taken(self, address: str) -> bool:
        if address in self._stored or address in self._busy:
            return True
        return self._with_objects and self._caches.of(IPADDRESS).get("", address) is not None

    # --- ranges

    def _networks(self) -> list[Network]:
        """Ranges to take from, the server's own first. Until its ServiceCIDR exists, the own range is ready."""
        found: dict[Network, None] = {}
        entries = self._caches.of(SERVICECIDR).entries() if SERVICECIDR in self._caches else ()
        objects: dict[str, ServiceCIDR] = {entry.name: entry.obj for entry in entries}
        if DEFAULT_NAME not in objects:
            found[self._network] = None
        for name in sorted(objects, key=lambda name: (name != DEFAULT_NAME, name)):
            if is_ready(objects[name]):
                found.update(dict.fromkeys(map(_network, objects[name].spec.cidrs)))
        return [network for network in found if network.version == self._network.version]

    def _candidates(self, network: Network) -> Iterator[int]:
        """All addresses of a range: from a random place in the upper part, then the lower, left for requested ones."""
        first, last = _bounds(network)
        size = last - first + 1
        reserved = 0 if size < 16 else min(max(16, size // 16), 256)
        middle = first + min(reserved, last - first)
        for low, high in ((middle, last), (first, middle - 1)):
            count = high - low + 1
            start = self._random.randrange(count) if count > 0 else 0
            for step in range(count):
                yield low + (start + step) % count


def is_ready(obj: ServiceCIDR) -> bool:
    """Whether addresses may be taken from it."""
    ready = any(each.type == "Ready" and each.status == "True" for each in obj.status.conditions)
    return ready and obj.metadata.deletion_timestamp is None


def address_object(address: str, namespace: str, name: str) -> IPAddress:
    """The IPAddress of a Service's address."""
    made = new(IPADDRESS, address)
    made.metadata.labels = {FAMILY_LABEL: f"IPv{ipaddress.ip_address(address).version}", MANAGED_BY_LABEL: MANAGER}
    made.spec = IPAddressSpec(parent_ref=ParentReference(resource="services", namespace=namespace, name=name))
    return made


def canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address  # of an old object; nothing will ever ask for it


@functools.lru_cache(maxsize=256)
def _network(cidr: str) -> Network:
    return ipaddress.ip_network(cidr, strict=False)


def _bounds(network: Network) -> tuple[int, int]:
    """The first and the last address to hand out: not the network's own, nor its broadcast address."""
    first, last = int(network.network_address) + 1, int(network.broadcast_address)
    if network.version == 4 and last - first > 1:
        last -= 1
    return first, last
