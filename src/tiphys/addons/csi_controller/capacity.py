"""How much room is left on a node, for the scheduler: one CSIStorageCapacity per class of the driver.

Source: github.com/kubernetes-csi/external-provisioner (pkg/capacity).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import Any

from tiphys.addons.csi_controller.driver import DriverFacts
from tiphys.addons.csi_controller.parameters import for_driver
from tiphys.api.csi import controller as c
from tiphys.api.csi.volume import Topology
from tiphys.api.errors import ApiError, NotFound
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import CSINODE, CSISTORAGECAPACITY, NODE, PERSISTENTVOLUME, STORAGECLASS
from tiphys.api.kinds.storage.storageclass import StorageClass
from tiphys.api.meta.schema import Quantity, copy_of
from tiphys.api.meta.types import LabelSelector
from tiphys.base.clock import Clock
from tiphys.base.quantity import from_value
from tiphys.client.csi import CONTROLLER, CsiConnection, CsiFailure
from tiphys.client.interface import Client

_EVERY_S, _RETRY_S = 30.0, 1.0
_NAMESPACE = "kube-system"


class CapacityReporter:
    """Of one driver on one node."""

    def __init__(
        self, client: Client, clock: Clock, connection: CsiConnection, facts: DriverFacts, node_name: str
    ) -> None:
        self._client, self._clock, self._connection = client, clock, connection
        self._facts, self._node_name = facts, node_name

    async def run(self) -> None:
        """Until cancelled: after each change of classes and volumes, and now and then without one."""
        changed = asyncio.Event()
        kinds: tuple[Kind[Any], ...] = (STORAGECLASS, PERSISTENTVOLUME)
        stops = [self._client.informer(kind).subscribe(lambda *_: changed.set()) for kind in kinds]
        try:
            while True:
                changed.clear()
                delay_s = _EVERY_S
                try:
                    await self._report()
                except (ApiError, CsiFailure):
                    delay_s = _RETRY_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay_s):
                        await changed.wait()
        finally:
            for stop in stops:
                stop()

    async def _report(self) -> None:
        node = await self._client.get(NODE, self._node_name)
        drivers = (await self._client.get(CSINODE, self._node_name)).spec.drivers
        keys = [key for driver in drivers if driver.name == self._facts.name for key in driver.topology_keys]
        segments = {key: node.metadata.labels[key] for key in keys if key in node.metadata.labels}
        if not segments:
            raise NotFound(f"driver {self._facts.name} is not registered on {self._node_name}")
        for found in (await self._client.list(STORAGECLASS)).items:
            if found.provisioner == self._facts.name:
                await self._write(found, segments)

    async def _write(self, found: StorageClass, segments: dict[str, str]) -> None:
        request = c.GetCapacityRequest(
            parameters=for_driver(found.parameters), accessible_topology=Topology(segments=segments)
        )
        answer = await self._connection.call(CONTROLLER + "GetCapacity", request, c.GetCapacityResponse)
        size = Quantity(from_value(answer.available_capacity, binary=True))
        key = f"{self._facts.name}/{self._node_name}/{found.metadata.name}"
        name = f"csisc-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        try:
            before = await self._client.get(CSISTORAGECAPACITY, name, _NAMESPACE)
        except NotFound:
            made = new(CSISTORAGECAPACITY, name, _NAMESPACE)
            made.storage_class_name, made.capacity = found.metadata.name, size
            made.node_topology = LabelSelector(match_labels=segments)
            await self._client.create(CSISTORAGECAPACITY, made)
            return
        if before.capacity != size:
            changed = copy_of(before)
            changed.capacity = size
            await self._client.update(CSISTORAGECAPACITY, changed)
