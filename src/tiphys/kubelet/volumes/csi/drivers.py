"""The CSI drivers of this node, shown in CSINode and in the Node's labels.

Source: pkg/volume/csi/csi_plugin.go (RegistrationHandler), nodeinfomanager.go.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.api.csi import identity as i
from tiphys.api.csi.node import NodeGetInfoResponse
from tiphys.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import CSINODE, NODE
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.storage.csinode import CSINode, CSINodeDriver, VolumeNodeResources
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import OwnerReference
from tiphys.base.clock import Clock
from tiphys.client.csi import IDENTITY, CsiConnection
from tiphys.client.csi import NODE as NODE_SERVICE
from tiphys.client.interface import Client
from tiphys.kubelet.plugins import PluginRefused
from tiphys.kubelet.volumes.content import BadVolume

_log = logging.getLogger(__name__)

_NODE_ID = "csi.volume.kubernetes.io/nodeid"
_CALL_S = 10.0
_RETRY_S = 0.5
_WRITES = 5


@dataclass(frozen=True, slots=True)
class Driver:
    """One registered driver."""

    name: str
    connection: CsiConnection
    node_id: str
    capabilities: frozenset[int]
    """Of its node service."""


class CsiDrivers:
    """Takes in CSI drivers (a `plugins.PluginHandler`) and shows them in the API."""

    def __init__(self, client: Client, clock: Clock, node: Callable[[], Node | None]) -> None:
        self._client, self._clock, self._node = client, clock, node
        self._drivers: dict[str, Driver] = {}

    def get(self, name: str) -> Driver:
        """Raises BadVolume."""
        driver = self._drivers.get(name)
        if driver is None:
            raise BadVolume(f"driver name {name} not found in the list of registered CSI drivers")
        return driver

    async def close(self) -> None:
        for driver in self._drivers.values():
            await driver.connection.close()
        self._drivers.clear()

    async def register(self, plugin: i.PluginInfo, endpoint: Path) -> None:
        """Raises PluginRefused, CsiFailure, ApiError."""
        if not any(version.removeprefix("v").split(".")[0] == "1" for version in plugin.supported_versions):
            what = f"validating the driver failed; unsupported versions {plugin.supported_versions}"
            raise PluginRefused(f"CSI driver {plugin.name} {what}")
        before = self._drivers.get(plugin.name)
        self._drivers[plugin.name] = await self._connect(plugin, endpoint)
        if before is not None:
            await before.connection.close()

    async def _connect(self, plugin: i.PluginInfo, endpoint: Path) -> Driver:
        connection = CsiConnection(endpoint)
        try:
            found = await connection.call(IDENTITY + "GetPluginInfo", i.Empty(), i.GetPluginInfoResponse, _CALL_S)
            if found.name != plugin.name:
                raise PluginRefused(f"the driver calls itself {found.name!r}, its registration {plugin.name!r}")
            answer = await connection.call(
                NODE_SERVICE + "NodeGetCapabilities", i.Empty(), i.GetCapabilitiesResponse, _CALL_S
            )
            info = await connection.call(NODE_SERVICE + "NodeGetInfo", i.Empty(), NodeGetInfoResponse, _CALL_S)
            if not info.node_id:
                raise PluginRefused(f"CSI driver {plugin.name} returned an empty node ID")
            await self._announce(plugin.name, info)
        except BaseException:
            await connection.close()
            raise
        return Driver(plugin.name, connection, info.node_id, i.numbers(answer))

    async def forget(self, name: str) -> None:
        """Take the driver out of what the API shows."""
        driver = self._drivers.pop(name, None)
        if driver is None:
            return
        await driver.connection.close()
        try:
            await self._write(lambda drivers: [each for each in drivers if each.name != name])
            await self._note_node(name, None, {})
        except ApiError as error:
            _log.warning("CSI driver %s: not taken out of CSINode: %s", name, error)

    # --- what the API shows ------------------------------------------------------------------------------------

    async def _announce(self, name: str, info: NodeGetInfoResponse) -> None:
        """Node first: who waits for the CSINode finds the labels there. Raises ApiError."""
        segments = info.accessible_topology.segments if info.accessible_topology is not None else {}
        await self._note_node(name, info.node_id, segments)
        most = info.max_volumes_per_node
        made = CSINodeDriver(
            name=name,
            node_id=info.node_id,
            topology_keys=sorted(segments),
            allocatable=VolumeNodeResources(count=most) if most > 0 else None,
        )
        await self._write(lambda drivers: [*(each for each in drivers if each.name != name), made])

    async def _note_node(self, name: str, node_id: str | None, labels: dict[str, str]) -> None:
        node = await self._own_node()
        ids = json.loads(node.metadata.annotations.get(_NODE_ID, "{}"))
        ids.pop(name, None)
        if node_id is not None:
            ids[name] = node_id
        note = json.dumps(ids, sort_keys=True, separators=(",", ":")) if ids else None
        patch = {"metadata": {"annotations": {_NODE_ID: note}, "labels": labels}}
        await self._client.patch(NODE, node.metadata.name, patch)

    async def _own_node(self) -> Node:
        while (node := self._node()) is None:
            await self._clock.sleep(0.1)
        return node

    async def ensure_object(self) -> None:
        """The CSINode exists; tries until it does."""
        failures = 0
        while True:
            try:
                await self._write(lambda drivers: drivers)
            except ApiError as error:
                failures += 1
                _log.warning("CSINode: %s", error)
                await self._clock.sleep(min(_RETRY_S * failures, 30.0))
            else:
                return

    async def _write(self, change: Callable[[Sequence[CSINodeDriver]], Sequence[CSINodeDriver]]) -> None:
        """Raises ApiError."""
        node = await self._own_node()
        for attempt in range(_WRITES):
            try:
                await self._write_once(node, change)
            except (Conflict, AlreadyExists):
                if attempt == _WRITES - 1:
                    raise
            else:
                return

    async def _write_once(
        self, node: Node, change: Callable[[Sequence[CSINodeDriver]], Sequence[CSINodeDriver]]
    ) -> None:
        try:
            before: CSINode = await self._client.get(CSINODE, node.metadata.name)
        except NotFound:
            made = new(CSINODE, node.metadata.name)
            owner = OwnerReference(api_version="v1", kind="Node", name=node.metadata.name, uid=node.metadata.uid)
            made.metadata.owner_references = [owner]
            made.spec.drivers = list(change([]))
            await self._client.create(CSINODE, made)
            return
        drivers = list(change(before.spec.drivers))
        if drivers == before.spec.drivers:
            return
        wanted = copy_of(before)
        wanted.spec.drivers = drivers
        await self._client.update(CSINODE, wanted)
