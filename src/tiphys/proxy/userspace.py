"""The userspace mode: every Service port leads to a relay in this process, which passes on to the endpoints.

The kernel's rules are those of the nftables mode, with relays on loopback in the place of endpoints: one for each
port's choice among all endpoints, one for its choice among this node's. Endpoints see the node's address, throughput is
a process's, connections end with it, and SCTP is not served: for cases where the other modes will not do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from tiphys.api.kinds.core.service import Service, ServicePort
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.proxy.endpoints import Backend, Endpoints, Place, ports_of
from tiphys.proxy.kernel import Kernel
from tiphys.proxy.relay import ADDRESS, Relay
from tiphys.proxy.ruleset import Fragment, Item, Surroundings, affinity_s, fragment_with
from tiphys.proxy.table import Changes

_Key = tuple[str, str, str, int, bool]
"""Namespace, Service, protocol, port, whether only this node's endpoints."""


class Userspace(Kernel):
    """See `modes.Mode`. Relays listen before rules lead to them, and end when none does any more."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._relays: dict[_Key, Relay] = {}
        self._items: dict[Item, str] = {}
        """What the kernel holds."""

    def fragment(self, service: Service, slices: Sequence[EndpointSlice], place: Place) -> Fragment:
        def relayed(port: ServicePort, found: Endpoints) -> Endpoints:
            everywhere = self._through(service, port, found.cluster, local=False)
            return Endpoints(everywhere, self._through(service, port, found.local, local=True))

        ports = ports_of(service, slices, place)
        return fragment_with(service, ((port, relayed(port, found)) for port, found in ports))

    def _through(
        self, service: Service, port: ServicePort, backends: tuple[Backend, ...], *, local: bool
    ) -> tuple[Backend, ...]:
        protocol = port.protocol or "TCP"
        key = (service.metadata.namespace, service.metadata.name, protocol, port.port, local)
        relay = self._relays.get(key)
        if protocol not in ("TCP", "UDP") or (relay is None and not backends):
            return ()
        if relay is None:
            relay = self._relays[key] = Relay(protocol)
        relay.affinity_s = affinity_s(service)
        relay.backends = backends
        return (Backend(ADDRESS, relay.port),) if backends else ()

    async def load(self, items: Mapping[Item, str]) -> None:
        await super().load(items)
        self._items = dict(items)
        await self._end_unused()

    async def apply(self, changes: Changes) -> None:
        await super().apply(changes)
        for item, change in changes.items():
            if change.new is None:
                self._items.pop(item, None)
            else:
                self._items[item] = change.new
        if any(change.old is not None for change in changes.values()):
            await self._end_unused()

    async def _end_unused(self) -> None:
        used = {value for value in self._items.values() if value.startswith(ADDRESS)}
        sticky = " ".join(value for (kind, _), value in self._items.items() if kind == "chain")
        for key, relay in list(self._relays.items()):
            if f"{ADDRESS} . {relay.port}" not in used and f"{ADDRESS}:{relay.port}" not in sticky:
                del self._relays[key]
                await relay.close()

    async def close(self) -> None:
        await asyncio.gather(*(relay.close() for relay in self._relays.values()))
        await super().close()
