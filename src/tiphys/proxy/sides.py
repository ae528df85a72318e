"""One family's half of the proxy: the table that there should be, and the kernel's hold of it.

Source: pkg/proxy/metaproxier.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base.family import Family
from tiphys.proxy import modes
from tiphys.proxy.conntrack import Front
from tiphys.proxy.endpoints import Backend, Place
from tiphys.proxy.ruleset import Surroundings, udp_fronts
from tiphys.proxy.table import Changes, DesiredTable, ServiceKey, merge

log = logging.getLogger(__name__)

Backends = frozenset[Backend]


class Side:
    """Plans Services into its table; `sync` brings the kernel there."""

    def __init__(self, mode: str, around: Surroundings) -> None:
        self.family: Family = around.family
        self._kernel = modes.mode_of(mode, around)
        self._table = DesiredTable()
        self._changes: Changes = {}
        self._reload = True
        self._udp: dict[ServiceKey, dict[Front, Backends]] = {}
        self._stale: dict[Front, Backends] = {}
        """UDP fronts whose flows are to be looked through once the kernel holds the new rules."""

    def plan(self, key: ServiceKey, service: Service | None, slices: Sequence[EndpointSlice], place: Place) -> None:
        """Puts one Service into the desired table; notes the UDP fronts that lost a backend."""
        fronts = udp_fronts(service, slices, place) if service else {}
        before = self._udp.get(key, {})
        for front in before.keys() | fronts.keys():
            had, has = before.get(front, frozenset()), fronts.get(front, frozenset())
            # From nobody to somebody counts too: flows that were let through untranslated would stay so.
            if had - has or (has and not had):
                self._stale[front] = has
        if fronts:
            self._udp[key] = fronts
        else:
            self._udp.pop(key, None)
        fragment = self._kernel.fragment(service, slices, place) if service else {}
        merge(self._changes, self._table.replace(key, fragment))

    def load_again(self) -> None:
        """The kernel may hold anything: the next `sync` loads everything."""
        self._reload = True

    async def sync(self) -> None:
        """The kernel holds the desired table. Raises NftError, OSError; then everything is loaded the next time."""
        changes, self._changes = self._changes, {}
        reload, self._reload = self._reload or not self._kernel.provides_for(changes), True
        if reload:
            await self._kernel.load(dict(self._table.items()))
        else:
            await self._kernel.apply(changes)
        self._reload = False
        await self._forget_flows()

    async def _forget_flows(self) -> None:
        if not self._stale:
            return
        stale, self._stale = self._stale, {}
        try:
            count = await self._kernel.forget_flows(stale)
        except OSError as error:
            log.warning("clearing UDP flows of %s: %s", self.family.name, error)
        else:
            log.debug("%d UDP flows of %s cleared", count, self.family.name)

    async def present(self) -> bool:
        """Whether the rules are there: another program may have flushed everything."""
        return await self._kernel.present()

    async def close(self) -> None:
        """The rules stay: connections go on while the proxy restarts."""
        await self._kernel.close()
