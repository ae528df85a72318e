"""The driver as a program: its socket, its registration with the kubelet, and its controller, on one node."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from tiphys import __version__
from tiphys.addons.csi_controller.controller import CsiController
from tiphys.addons.csi_directory.driver import NAME, DirectoryDriver
from tiphys.addons.csi_directory.images import Images
from tiphys.api.csi.identity import RegistrationStatus
from tiphys.base.clock import Clock
from tiphys.base.tasks import supervised
from tiphys.client.csi import CsiConnection
from tiphys.client.events import Recorder
from tiphys.client.interface import Client
from tiphys.client.registration import registration
from tiphys.client.sockets import SocketServer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """Paths are absolute; sockets below the kubelet's directory, so no longer than 107 bytes in all."""

    node_name: str
    kubelet_dir: Path
    root: Path
    """Where the volumes are."""
    capacity_bytes: int
    attaches: bool = False
    """The driver attaches volumes, as those of disks elsewhere do; its CSIDriver has `attachRequired: true`."""


async def serve(client: Client, clock: Clock, recorder: Recorder, settings: DriverSettings) -> None:
    """Until cancelled. Raises OSError when a socket cannot be made."""
    settings.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    endpoint = settings.kubelet_dir / "plugins" / NAME / "csi.sock"
    images = Images(settings.root, settings.capacity_bytes)
    driver = DirectoryDriver(images, settings.node_name, __version__, attaches=settings.attaches)
    await images.thaw()
    server = SocketServer(endpoint, driver.methods())
    registry = settings.kubelet_dir / "plugins_registry" / f"{NAME}-reg.sock"
    registrar = SocketServer(registry, registration(NAME, endpoint, _told))
    await server.start()
    await registrar.start()
    connection = CsiConnection(endpoint)
    try:
        controller = CsiController(client, clock, recorder, connection, settings.node_name)
        await supervised(f"controller of {NAME}", controller.run, clock)
    finally:
        await connection.close()
        await asyncio.gather(registrar.stop(), server.stop())


def _told(status: RegistrationStatus) -> None:
    if status.plugin_registered:
        _log.info("%s is registered", NAME)
    else:
        _log.error("%s is not registered: %s", NAME, status.error)
