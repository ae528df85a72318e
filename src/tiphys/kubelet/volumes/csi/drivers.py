"""The CSI drivers of this node: found by their registration sockets, shown in CSINode and in the Node's labels.

Source: pkg/kubelet/pluginmanager, pkg/volume/csi/csi_plugin.go (RegistrationHandler), nodeinfomanager.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import stat
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
from tiphys.client.csi import IDENTITY, REGISTRATION, CsiConnection, CsiFailure
from tiphys.client.csi import NODE as NODE_SERVICE
from tiphys.client.interface import Client
from tiphys.kubelet.volumes.content import BadVolume
from tiphys.kubelet.volumes.csi.sockets import SocketEvents

_log = logging.getLogger(__name__)

_NODE_ID = "csi.volume.kubernetes.io/nodeid"
_TYPE = "CSIPlugin"
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
    """Registers what appears in `plugins_registry` and forgets what goes. `changed` is called after either."""

    def __init__(
        self, client: Client, clock: Clock, node: Callable[[], Node | None], root_dir: Path, changed: Callable[[], None]
    ) -> None:
        self._client, self._clock, self._node, self._changed = client, clock, node, changed
        self._directory = root_dir / "plugins_registry"
        self._sockets: dict[Path, Driver | None] = {}
        """None: a plugin of another type."""

    def get(self, name: str) -> Driver:
        """Raises BadVolume."""
        for driver in self._sockets.values():
            if driver is not None and driver.name == name:
                return driver
        raise BadVolume(f"driver name {name} not found in the list of registered CSI drivers")

    async def run(self) -> None:
        """Until cancelled. Raises OSError when the directory cannot be watched."""
        self._directory.mkdir(parents=True, exist_ok=True)
        events = SocketEvents(self._directory)
        try:
            await self._ensure_object()
            while True:
                failed = await self._compare()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S if failed else None):
                        await events.wait()
        finally:
            events.close()
            for driver in self._sockets.values():
                if driver is not None:
                    await driver.connection.close()
            self._sockets.clear()

    async def _compare(self) -> bool:
        """Register new sockets and forget those that are gone; whether any failed and should be tried again."""
        there = {path for path in self._directory.rglob("*") if stat.S_ISSOCK(_mode_of(path))}
        failed = False
        for path in set(self._sockets) - there:
            await self._forget(path)
        for path in sorted(there - set(self._sockets)):
            try:
                await self._register(path)
            except (CsiFailure, ApiError, OSError) as error:
                failed = True
                _log.warning("plugin %s: not registered: %s", path.name, error)
        return failed

    async def _register(self, path: Path) -> None:
        registration = CsiConnection(path, _CALL_S)
        try:
            plugin = await registration.call(REGISTRATION + "GetInfo", i.Empty(), i.PluginInfo)
            if plugin.type != _TYPE:
                self._sockets[path] = None
                return
            status = i.RegistrationStatus(plugin_registered=True)
            try:
                self._check(plugin, path)
                driver = await self._connect(plugin, path)
            except (CsiFailure, ApiError, BadVolume, TimeoutError) as error:
                status = i.RegistrationStatus(
                    error=f"RegisterPlugin error -- plugin registration failed with err: {error}"
                )
                await registration.call(REGISTRATION + "NotifyRegistrationStatus", status, i.Empty)
                raise OSError(status.error) from None
            self._sockets[path] = driver
            await registration.call(REGISTRATION + "NotifyRegistrationStatus", status, i.Empty)
            _log.info("CSI driver %s is registered", driver.name)
            self._changed()
        finally:
            await registration.close()

    def _check(self, plugin: i.PluginInfo, path: Path) -> None:
        if not any(version.removeprefix("v").split(".")[0] == "1" for version in plugin.supported_versions):
            what = f"validating the driver failed; unsupported versions {plugin.supported_versions}"
            raise BadVolume(f"CSI driver {plugin.name} {what}")
        for other, driver in self._sockets.items():
            if driver is not None and driver.name == plugin.name and other != path and not other.exists():
                del self._sockets[other]
                break

    async def _connect(self, plugin: i.PluginInfo, path: Path) -> Driver:
        connection = CsiConnection(plugin.endpoint or path)
        try:
            found = await connection.call(IDENTITY + "GetPluginInfo", i.Empty(), i.GetPluginInfoResponse, _CALL_S)
            if found.name != plugin.name:
                raise BadVolume(f"the driver calls itself {found.name!r}, its registration {plugin.name!r}")
            answer = await connection.call(
                NODE_SERVICE + "NodeGetCapabilities", i.Empty(), i.GetCapabilitiesResponse, _CALL_S
            )
            info = await connection.call(NODE_SERVICE + "NodeGetInfo", i.Empty(), NodeGetInfoResponse, _CALL_S)
            if not info.node_id:
                raise BadVolume(f"CSI driver {plugin.name} returned an empty node ID")
            await self._announce(plugin.name, info)
        except BaseException:
            await connection.close()
            raise
        return Driver(plugin.name, connection, info.node_id, i.numbers(answer))

    async def _forget(self, path: Path) -> None:
        driver = self._sockets.pop(path)
        if driver is None:
            return
        await driver.connection.close()
        _log.info("CSI driver %s is gone", driver.name)
        try:
            await self._write(lambda drivers: [each for each in drivers if each.name != driver.name])
            await self._note_node(driver.name, None, {})
        except ApiError as error:
            _log.warning("CSI driver %s: not taken out of CSINode: %s", driver.name, error)
        self._changed()

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

    async def _ensure_object(self) -> None:
        """The CSINode exists."""
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


def _mode_of(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0
