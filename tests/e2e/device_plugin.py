"""A device plugin as a vendor would write one: its devices are `/dev/full` under other names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from tiphys.api.meta.schema import Struct
from tiphys.client.csi import CsiConnection
from tiphys.client.sockets import Method, Refused, SocketServer, Stream
from tiphys.kubelet.resources.devices import messages as m

RESOURCE = "example.com/brick"


class BrickPlugin:
    """Prefers the device with the last name. `asked` has the names of the calls that it answered."""

    def __init__(self, kubelet_dir: Path, *devices: str) -> None:
        self._directory = kubelet_dir / "device-plugins"
        self._health = dict.fromkeys(devices, m.HEALTHY)
        self._changed = asyncio.Event()
        self.asked: list[str] = []
        self.refuses = ""
        """Why Allocate fails; empty: it does not."""
        self._server = SocketServer(
            self._directory / "brick.sock",
            {
                m.PLUGIN + "GetDevicePluginOptions": Method(m.Empty, self._options),
                m.PLUGIN + "ListAndWatch": Stream(m.Empty, self._devices),
                m.PLUGIN + "GetPreferredAllocation": Method(m.PreferredAllocationRequest, self._prefer),
                m.PLUGIN + "Allocate": Method(m.AllocateRequest, self._allocate),
                m.PLUGIN + "PreStartContainer": Method(m.PreStartContainerRequest, self._pre_start),
            },
        )

    async def start(self) -> None:
        """Again, where the kubelet took the socket away."""
        await self._server.stop()
        await self._server.start()

    async def register(self, version: str = m.VERSION, resource: str = RESOURCE) -> None:
        """Raises CsiFailure."""
        connection = CsiConnection(self._directory / "kubelet.sock")
        try:
            request = m.RegisterRequest(version=version, endpoint="brick.sock", resource_name=resource)
            await connection.call(m.REGISTER, request, m.Empty)
        finally:
            await connection.close()

    async def stop(self) -> None:
        await self._server.stop()

    def turn(self, device: str, health: str) -> None:
        self._health[device] = health
        self._changed.set()

    async def _options(self, _: Struct) -> Struct:
        return m.DevicePluginOptions(pre_start_required=True, get_preferred_allocation_available=True)

    async def _devices(self, _: Struct) -> AsyncIterator[Struct]:
        while True:
            self._changed.clear()
            yield m.ListAndWatchResponse(
                devices=[m.PluginDevice(id=name, health=health) for name, health in self._health.items()]
            )
            await self._changed.wait()

    async def _prefer(self, request: m.PreferredAllocationRequest) -> Struct:
        self.asked.append("GetPreferredAllocation")
        (wanted,) = request.container_requests
        best = sorted(wanted.available_device_ids, reverse=True)[: wanted.allocation_size]
        return m.PreferredAllocationResponse(
            container_responses=[m.ContainerPreferredAllocationResponse(device_ids=best)]
        )

    async def _allocate(self, request: m.AllocateRequest) -> Struct:
        self.asked.append("Allocate")
        if self.refuses:
            raise Refused("INTERNAL", self.refuses)
        (wanted,) = request.container_requests
        answer = m.ContainerAllocateResponse(
            envs={"BRICKS": ",".join(wanted.devices_ids)},
            devices=[
                m.DeviceSpec(container_path=f"/dev/{name}", host_path="/dev/full", permissions="rw")
                for name in wanted.devices_ids
            ],
            mounts=[m.PluginMount(container_path="/bricks", host_path=str(self._directory), read_only=True)],
            annotations={"example.com/bricks": "given"},
        )
        return m.AllocateResponse(container_responses=[answer])

    async def _pre_start(self, _: Struct) -> Struct:
        self.asked.append("PreStartContainer")
        return m.Empty()
