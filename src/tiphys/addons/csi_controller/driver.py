"""One driver as its controller sees it: connection, name, what it can do; and the secrets its calls get."""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.api.csi import identity as i
from tiphys.api.kinds import SECRET
from tiphys.api.kinds.core.references import SecretReference
from tiphys.client.csi import CONTROLLER, IDENTITY, CsiConnection
from tiphys.client.interface import Client


@dataclass(frozen=True, slots=True)
class DriverFacts:
    """What the driver said of itself."""

    name: str
    services: frozenset[int]
    controller: frozenset[int]

    @property
    def writers(self) -> bool:
        return i.CONTROLLER_SINGLE_NODE_MULTI_WRITER in self.controller

    @property
    def has_topology(self) -> bool:
        return i.ACCESSIBILITY_CONSTRAINTS in self.services


async def facts_of(connection: CsiConnection) -> DriverFacts:
    """Raises CsiFailure."""
    info = await connection.call(IDENTITY + "GetPluginInfo", i.Empty(), i.GetPluginInfoResponse)
    plugin = await connection.call(IDENTITY + "GetPluginCapabilities", i.Empty(), i.GetPluginCapabilitiesResponse)
    services = frozenset(each.service.type for each in plugin.capabilities if each.service is not None)
    controller: frozenset[int] = frozenset()
    if i.CONTROLLER_SERVICE in services:
        answer = await connection.call(CONTROLLER + "ControllerGetCapabilities", i.Empty(), i.GetCapabilitiesResponse)
        controller = i.numbers(answer)
    return DriverFacts(info.name, services, controller)


async def secret_of(client: Client, reference: SecretReference | None) -> dict[str, str]:
    """Raises ApiError."""
    if reference is None:
        return {}
    found = await client.get(SECRET, reference.name, reference.namespace)
    return {key: value.decode() for key, value in found.data.items()}
