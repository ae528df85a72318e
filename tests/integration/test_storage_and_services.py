"""Volumes, Service addresses and load balancers on the real API server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tiphys.api.errors import Invalid
from tiphys.api.kind import new
from tiphys.api.kinds import (
    ENDPOINTS,
    ENDPOINTSLICE,
    IPADDRESS,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    SERVICE,
    SERVICEACCOUNT,
    SERVICECIDR,
    STORAGECLASS,
    VOLUMEATTRIBUTESCLASS,
)
from tiphys.api.kinds.core.endpoints import EndpointAddress, EndpointPort, EndpointSubset
from tiphys.api.kinds.core.pod.volumes import HostPathVolumeSource
from tiphys.api.kinds.core.service import ServicePort
from tiphys.base.clock import SystemClock
from tiphys.client.events import EventRecorder
from tiphys.cloud.loops import loops
from tiphys.cloud.provider import provider
from tiphys.cluster.local_path import LocalPaths
from tiphys.controllers import local_path
from tiphys.controllers._runtime import ControllerManager
from tiphys.controllers._volumes import SELECTED_NODE
from tiphys.controllers.settings import ControllerSettings

from .test_controllers import Cluster, running


@pytest.fixture(params=["local", "https"])
async def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with running(tmp_path, request.param) as made:
        await made.until(lambda: made.get(SERVICEACCOUNT, "default"))
        yield made


@contextlib.asynccontextmanager
async def also(
    cluster: Cluster, specs: Sequence[Any], settings: ControllerSettings | None = None
) -> AsyncIterator[None]:
    """These controllers alone, beside the others."""
    clock = SystemClock()
    recorder = EventRecorder(cluster.client, clock, "alone")
    manager = ControllerManager(cluster.client, clock, recorder, settings, controllers=specs)
    tasks = [asyncio.create_task(work) for work in (manager.run(), recorder.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def claim(name: str = "data", storage_class: str = "") -> Any:
    made = new(PERSISTENTVOLUMECLAIM, name, "default")
    made.spec.access_modes, made.spec.resources.requests = ["ReadWriteOnce"], {"storage": "1Gi"}
    made.spec.storage_class_name = storage_class
    return made


def service(name: str = "web", **spec: Any) -> Any:
    made = new(SERVICE, name, "default")
    made.spec.ports = [ServicePort(port=80)]
    for field, value in spec.items():
        setattr(made.spec, field, value)
    return made


async def phase(cluster: Cluster, kind: Any, name: str, wanted: str) -> Any:
    async def reached() -> Any:
        found = await cluster.get(kind, name)
        return found if found is not None and found.status.phase == wanted else None

    return await cluster.until(reached)


async def test_a_claim_gets_a_volume_that_is_there_and_releases_it(cluster: Cluster) -> None:
    volume = new(PERSISTENTVOLUME, "disk")
    volume.spec.capacity, volume.spec.access_modes = {"storage": "2Gi"}, ["ReadWriteOnce"]
    volume.spec.host_path = HostPathVolumeSource(path="/data/disk")
    await cluster.client.create(PERSISTENTVOLUMECLAIM, claim())
    await cluster.client.create(PERSISTENTVOLUME, volume)
    bound = await phase(cluster, PERSISTENTVOLUMECLAIM, "data", "Bound")
    assert (bound.spec.volume_name, bound.status.capacity) == ("disk", {"storage": "2Gi"})
    await phase(cluster, PERSISTENTVOLUME, "disk", "Bound")
    await cluster.client.delete(PERSISTENTVOLUMECLAIM, "data", "default")
    await phase(cluster, PERSISTENTVOLUME, "disk", "Released")
    await cluster.client.delete(PERSISTENTVOLUME, "disk")

    async def gone() -> bool:
        return await cluster.get(PERSISTENTVOLUME, "disk") is None

    await cluster.until(gone)


async def test_a_local_volume_comes_and_goes(cluster: Cluster, tmp_path: Path) -> None:
    local = new(
        STORAGECLASS, "local", provisioner=local_path.PROVISIONER_NAME, volume_binding_mode="WaitForFirstConsumer"
    )
    await cluster.client.create(STORAGECLASS, local)
    await cluster.client.create(NODE, new(NODE, "n1"))
    directory = tmp_path / "volumes"
    node = asyncio.create_task(LocalPaths(cluster.client, SystemClock(), directory, "n1").run())
    async with also(cluster, (local_path.SPEC,), ControllerSettings(local_path_dir=str(directory))):
        await cluster.client.create(PERSISTENTVOLUMECLAIM, claim(storage_class="local"))
        note = {"metadata": {"annotations": {SELECTED_NODE: "n1"}}}
        await cluster.client.patch(PERSISTENTVOLUMECLAIM, "data", note, "default")  # as the scheduler does
        bound = await phase(cluster, PERSISTENTVOLUMECLAIM, "data", "Bound")
        path = directory / bound.spec.volume_name
        (path / "deep").mkdir(parents=True)
        await cluster.client.delete(PERSISTENTVOLUMECLAIM, "data", "default")

        async def gone() -> bool:
            return await cluster.get(PERSISTENTVOLUME, bound.spec.volume_name) is None

        await cluster.until(gone)
        assert not path.exists()
        assert directory.exists()
    node.cancel()


async def test_service_addresses_are_objects_and_ranges_can_be_added(cluster: Cluster) -> None:
    default = await cluster.get(SERVICECIDR, "kubernetes")
    assert [(each.type, each.status) for each in default.status.conditions] == [("Ready", "True")]
    with pytest.raises(Invalid, match="does not match the current range"):
        await cluster.client.create(SERVICE, service(cluster_ip="203.0.113.10"))
    more = new(SERVICECIDR, "more")
    more.spec.cidrs = ["203.0.113.0/24"]
    await cluster.client.create(SERVICECIDR, more)

    async def ready() -> bool:
        return any(each.status == "True" for each in (await cluster.get(SERVICECIDR, "more")).status.conditions)

    await cluster.until(ready)
    await cluster.client.create(SERVICE, service(cluster_ip="203.0.113.10"))
    assert (await cluster.get(IPADDRESS, "203.0.113.10")).spec.parent_ref.name == "web"
    await cluster.client.delete(IPADDRESS, "203.0.113.10")
    await cluster.until(lambda: cluster.get(IPADDRESS, "203.0.113.10"))
    await cluster.client.delete(SERVICECIDR, "more")

    async def held() -> bool:
        conditions = (await cluster.get(SERVICECIDR, "more")).status.conditions
        return [each.reason for each in conditions] == ["Terminating"]

    await cluster.until(held)
    await cluster.client.delete(SERVICE, "web", "default")
    assert await cluster.get(IPADDRESS, "203.0.113.10") is None


async def test_endpoints_of_users_are_mirrored(cluster: Cluster) -> None:
    await cluster.client.create(SERVICE, service())
    made = new(ENDPOINTS, "web", "default")
    ports = [EndpointPort(name="http", port=8080, protocol="TCP")]
    made.subsets = [EndpointSubset(addresses=[EndpointAddress(ip="10.1.2.3")], ports=ports)]
    await cluster.client.create(ENDPOINTS, made)

    async def mirrored() -> Any:
        found = [each for each in await cluster.all(ENDPOINTSLICE) if each.metadata.generate_name == "web-"]
        return found[0] if found else None

    mirror = await cluster.until(mirrored)
    assert [each.addresses for each in mirror.endpoints] == [["10.1.2.3"]]
    await cluster.client.delete(ENDPOINTS, "web", "default")

    async def gone() -> bool:
        return await mirrored() is None

    await cluster.until(gone)


async def test_a_load_balancer_comes_and_goes(cluster: Cluster) -> None:
    async with also(cluster, loops(provider("local", cluster.client, "192.0.2.0/29"))):
        await cluster.client.create(SERVICE, service(type="LoadBalancer"))

        async def addressed() -> Any:
            return (await cluster.get(SERVICE, "web")).status.load_balancer.ingress

        assert [each.ip for each in await cluster.until(addressed)] == ["192.0.2.1"]
        await cluster.client.delete(SERVICE, "web", "default")

        async def gone() -> bool:
            return await cluster.get(SERVICE, "web") is None

        await cluster.until(gone)


async def test_an_attributes_class_goes(cluster: Cluster) -> None:
    fast = new(VOLUMEATTRIBUTESCLASS, "fast", driver_name="disk.example", parameters={"iops": "9"})
    await cluster.client.create(VOLUMEATTRIBUTESCLASS, fast)
    await cluster.client.delete(VOLUMEATTRIBUTESCLASS, "fast")

    async def gone() -> bool:
        return await cluster.get(VOLUMEATTRIBUTESCLASS, "fast") is None

    await cluster.until(gone)
