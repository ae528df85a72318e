"""The DRA drivers of this node, found by their registration sockets.

A driver that is away for half a minute takes its ResourceSlices along: nobody would prepare what they offer.

Source: pkg/kubelet/cm/dra/plugin/dra_plugin_manager.go, dra_plugin.go.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.api.csi.identity import PluginInfo
from tiphys.api.errors import ApiError, NotFound
from tiphys.api.kinds import RESOURCESLICE
from tiphys.base.clock import Clock
from tiphys.base.tasks import TaskSet
from tiphys.client.csi import CsiConnection, CsiFailure
from tiphys.client.interface import Client
from tiphys.kubelet.plugins import PluginRefused
from tiphys.kubelet.resources.claims import messages as m
from tiphys.kubelet.resources.grants import NotAllocated

_log = logging.getLogger(__name__)

_CALL_S = 45.0
_WIPE_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class DraDriver:
    """One registered driver."""

    connection: CsiConnection
    service: str

    async def prepare(self, claims: Sequence[m.Claim]) -> m.PrepareAnswer:
        """Raises NotAllocated."""
        request = m.ClaimsRequest(claims=list(claims))
        try:
            method = self.service + "NodePrepareResources"
            answer = await self.connection.call(method, request, m.PrepareAnswer, _CALL_S)
        except CsiFailure as error:
            raise NotAllocated(f"NodePrepareResources: {error}") from None
        _check("NodePrepareResources", claims, {uid: result.error for uid, result in answer.claims.items()})
        return answer

    async def unprepare(self, claims: Sequence[m.Claim]) -> None:
        """Raises NotAllocated."""
        request = m.ClaimsRequest(claims=list(claims))
        try:
            method = self.service + "NodeUnprepareResources"
            answer = await self.connection.call(method, request, m.UnprepareAnswer, _CALL_S)
        except CsiFailure as error:
            raise NotAllocated(f"NodeUnprepareResources: {error}") from None
        _check("NodeUnprepareResources", claims, {uid: result.error for uid, result in answer.claims.items()})


def _check(call: str, claims: Sequence[m.Claim], errors: dict[str, str]) -> None:
    names = {claim.uid: claim.name for claim in claims}
    for uid, error in errors.items():
        if uid not in names:
            raise NotAllocated(f"{call} returned result for unknown claim UID {uid}")
        if error:
            raise NotAllocated(f"{call} failed for ResourceClaim {names[uid]}: {error}")
    if len(errors) != len(names):
        raise NotAllocated(f"{call} skipped {len(names) - len(errors)} ResourceClaims")


class DraDrivers:
    """Takes in DRA drivers (a `plugins.PluginHandler`)."""

    def __init__(self, client: Client, clock: Clock, node_name: str) -> None:
        self._client, self._clock, self._node_name = client, clock, node_name
        self._drivers: dict[str, DraDriver] = {}
        self._tasks = TaskSet()

    def get(self, name: str) -> DraDriver:
        """Raises NotAllocated."""
        driver = self._drivers.get(name)
        if driver is None:
            raise NotAllocated(f"DRA driver {name} is not registered")
        return driver

    def start(self) -> None:
        """Drivers of an earlier time have half a minute to come back."""
        self._tasks.spawn(self._wipe(), "slices of drivers that are gone")

    async def close(self) -> None:
        await self._tasks.close()
        for driver in self._drivers.values():
            await driver.connection.close()
        self._drivers.clear()

    async def register(self, plugin: PluginInfo, endpoint: Path) -> None:
        """Raises PluginRefused."""
        services = [each for each in m.SERVICES if each in plugin.supported_versions]
        if not services:
            asked = " ".join(f'"{version}"' for version in plugin.supported_versions)
            ours = " ".join(f'"{each}"' for each in m.SERVICES)
            raise PluginRefused(
                f"invalid supported gRPC versions of DRA driver plugin {plugin.name} at endpoint {endpoint}: "
                f"none of services supported by the plugin ([{asked}]) are supported by the kubelet ([{ours}])"
            )
        before = self._drivers.get(plugin.name)
        self._drivers[plugin.name] = DraDriver(CsiConnection(endpoint), m.SERVICES[services[0]])
        if before is not None:
            await before.connection.close()

    async def forget(self, name: str) -> None:
        driver = self._drivers.pop(name, None)
        if driver is not None:
            await driver.connection.close()
            self._tasks.spawn(self._wipe(), "slices of drivers that are gone")

    async def _wipe(self) -> None:
        await self._clock.sleep(_WIPE_AFTER_S)
        try:
            listed = await self._client.list(RESOURCESLICE, field_selector=f"spec.nodeName={self._node_name}")
            for one in listed.items:
                if one.spec.driver not in self._drivers:
                    _log.info("driver %s is gone: its ResourceSlice %s, too", one.spec.driver, one.metadata.name)
                    await self._delete(one.metadata.name)
        except ApiError as error:
            _log.warning("ResourceSlices of drivers that are gone: %s", error)

    async def _delete(self, name: str) -> None:
        try:
            await self._client.delete(RESOURCESLICE, name)
        except NotFound:
            return
