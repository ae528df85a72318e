"""Two API servers on one etcd give node ports out of one range, and never one port to two Services."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from etcd_cluster import needs_etcd

from tiphys.api.errors import AlreadyExists, ApiError, Invalid
from tiphys.api.kind import new
from tiphys.api.kinds import NAMESPACE, SERVICE
from tiphys.api.kinds.core.service import ServicePort, ServiceSpec
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.registry.interface import WriteOptions
from tiphys.apiserver.registry.nodeports import PREFIX
from tiphys.apiserver.registry.registry import RegistrySettings, open_registry
from tiphys.apiserver.request import User
from tiphys.base.clock import SystemClock
from tiphys.store.etcd.store import EtcdStore
from tiphys.store.interface import prefix_end

OPTIONS = WriteOptions(user=User("admin", groups=("system:masters",)))
FIRST, LAST = 30000, 30079


def service(name: str, port: int = 0):
    spec = ServiceSpec(type="NodePort", ports=[ServicePort(port=80, protocol="TCP", node_port=port)])
    return new(SERVICE, name, "default", spec=spec)


@asynccontextmanager
async def registries(cluster, count: int):
    settings = RegistrySettings(service_cidr="10.96.0.0/16", node_ports=(FIRST, LAST))
    stores = [await EtcdStore.open(cluster.address) for _ in range(count)]
    opened = [await open_registry(store, SystemClock(), settings=settings) for store in stores]
    try:
        for registry in opened[:1]:
            with suppress(AlreadyExists):
                await registry.create(NAMESPACE, "", new(NAMESPACE, "default"), OPTIONS)
        yield opened, stores[0]
    finally:
        for registry in opened:
            for entry in registry.cache_of(SERVICE).entries():
                with suppress(ApiError):
                    await registry.delete(SERVICE, "default", entry.name, DeleteOptions(), OPTIONS)
        for registry in opened:
            await registry.close()
        for store in stores:
            await store.close()


async def port_of(registry, wanted) -> int:
    made = await registry.create(SERVICE, "default", wanted, OPTIONS)
    return made.obj.spec.ports[0].node_port


@needs_etcd
async def test_side_by_side_every_service_has_a_port_of_its_own(one_member) -> None:
    async with registries(one_member, 2) as (opened, store):
        given = await asyncio.gather(*(port_of(opened[n % 2], service(f"s-{n}")) for n in range(60)))
        assert len(set(given)) == 60
        assert all(FIRST <= port <= LAST for port in given)
        # A claim that a write took back is gone from the store, too.
        with pytest.raises(Invalid):
            await opened[0].create(SERVICE, "default", service("Not_A_Name"), OPTIONS)
        claims = await store.range(PREFIX, prefix_end(PREFIX))
        assert {record.value for record in claims.records} <= {f"default/s-{n}".encode() for n in range(60)}


@needs_etcd
async def test_of_two_that_ask_for_one_port_one_gets_it(one_member) -> None:
    async with registries(one_member, 2) as (opened, _):
        for port in (30070, 30071, 30072):
            asked = await asyncio.gather(
                *(port_of(opened[n % 2], service(f"w-{port}-{n}", port)) for n in range(4)), return_exceptions=True
            )
            got = [answer for answer in asked if answer == port]
            assert len(got) == 1, asked
            assert all("already allocated" in str(answer) for answer in asked if answer != port)
        # Given up by one server, it is free at once, through the other as well.
        (holder,) = [e.name for e in opened[0].cache_of(SERVICE).entries() if e.obj.spec.ports[0].node_port == 30070]
        await opened[0].delete(SERVICE, "default", holder, DeleteOptions(), OPTIONS)
        for _ in range(100):
            if opened[1].cache_of(SERVICE).get("default", holder) is None:
                break
            await asyncio.sleep(0.05)
        assert await port_of(opened[1], service("again", 30070)) == 30070
