from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tiphys.api.errors import Conflict, ServiceUnavailable
from tiphys.api.kinds import LEASE, NODE, POD
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import Quantity, copy_of
from tiphys.simulate.nodes import SimulatedNodes, SimulationSettings
from tiphys.simulate.objects import LEASE_NAMESPACE, Addresses
from tiphys.testing import builders as b
from tiphys.testing.clock import FakeClock
from tiphys.testing.memory_api import MemoryApi


@contextlib.asynccontextmanager
async def simulated(
    settings: SimulationSettings, api: MemoryApi | None = None
) -> AsyncIterator[tuple[MemoryApi, FakeClock]]:
    api, clock = api or MemoryApi(), FakeClock()
    task = asyncio.ensure_future(SimulatedNodes(api, clock, settings).run())
    await clock.advance(0)
    try:
        yield api, clock
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def pod_of(api: MemoryApi, name: str = "web") -> Pod | None:
    found: Pod | None = api.informer(POD).get(name, "default")
    return found


async def test_nodes_register_ready_with_capacity_zones_and_leases() -> None:
    async with simulated(SimulationSettings(nodes=3, zones=("a", "b"))) as (api, clock):
        await clock.advance(0)
        nodes = {n.metadata.name: n for n in api.informer(NODE).list()}
        assert sorted(nodes) == ["sim-0", "sim-1", "sim-2"]
        node = nodes["sim-2"]
        assert node.metadata.labels["topology.kubernetes.io/zone"] == "a"
        assert node.status.allocatable == {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}
        assert {c.type: c.status for c in node.status.conditions}["Ready"] == "True"
        assert len({n.status.addresses[0].address for n in nodes.values()}) == 3
        lease = api.informer(LEASE).get("sim-0", LEASE_NAMESPACE)
        assert lease.metadata.owner_references[0].uid == nodes["sim-0"].metadata.uid


async def test_leases_are_renewed_in_turn() -> None:
    async with simulated(SimulationSettings(nodes=10)) as (api, clock):
        await clock.advance(0)
        before = {key: lease.spec.renew_time for key, lease in api.informer(LEASE).objects.items()}
        await clock.advance(5)
        after = {key: lease.spec.renew_time for key, lease in api.informer(LEASE).objects.items()}
        assert sum(before[key] != after[key] for key in before) == 5


def test_many_nodes_renew_less_often() -> None:
    assert SimulationSettings(nodes=100).lease_interval_s == 10
    assert SimulationSettings(nodes=1000).lease_interval_s == 20
    assert SimulationSettings(nodes=5000).lease_interval_s == 25


async def test_a_bound_pod_runs_and_a_deleted_one_goes_after_its_time() -> None:
    async with simulated(SimulationSettings()) as (api, clock):
        api.put(POD, b.pod("web", node="sim-0"))
        api.put(POD, b.pod("elsewhere", node="other"))
        await clock.advance(0.05)
        running = pod_of(api)
        assert running is not None
        assert running.status.phase == "Pending"
        await clock.advance(0.1)
        running = pod_of(api)
        assert running is not None
        assert running.status.phase == "Running"
        assert running.status.pod_ip
        leaving = copy_of(running)
        leaving.metadata.deletion_timestamp = b.CREATED
        leaving.metadata.deletion_grace_period_seconds = 30
        api.put(POD, leaving)
        await clock.advance(0.1)
        assert pod_of(api) is not None
        await clock.advance(0.15)
        assert pod_of(api) is None
        assert "delete Pod web 0" in api.calls
        assert (other := pod_of(api, "elsewhere")) is not None
        assert other.status.phase == "Pending"


async def test_a_failed_write_is_tried_again_with_the_same_address() -> None:
    async with simulated(SimulationSettings()) as (api, clock):
        api.refuse["update Pod web"] = Conflict("changed meanwhile")
        api.put(POD, b.pod("web", node="sim-0"))
        await clock.advance(0.5)
        await clock.advance(1.0)
        assert (pod := pod_of(api)) is not None
        assert (pod.status.phase, pod.status.pod_ip) == ("Running", "10.200.0.1")


async def test_a_node_registers_when_the_api_comes_back() -> None:
    api, clock = MemoryApi(), FakeClock()
    api.refuse["create Node sim-0"] = ServiceUnavailable("starting")
    task = asyncio.ensure_future(SimulatedNodes(api, clock).run())
    await clock.advance(1.5)
    assert api.informer(NODE).get("sim-0") is not None
    task.cancel()


async def test_a_deleted_node_is_not_simulated_any_more() -> None:
    async with simulated(SimulationSettings()) as (api, clock):
        await clock.advance(0)
        api.remove(NODE, "sim-0")
        await clock.advance(10)
        api.remove(LEASE, "sim-0", LEASE_NAMESPACE)
        await clock.advance(30)
        assert api.informer(LEASE).get("sim-0", LEASE_NAMESPACE) is None
        api.put(POD, b.pod("web", node="sim-0"))
        await clock.advance(1)
        assert (pod := pod_of(api)) is not None
        assert pod.status.phase == "Pending"


async def test_an_existing_node_is_taken_over() -> None:
    api, clock = MemoryApi(), FakeClock()
    old = api.put(NODE, b.node("sim-0", labels={"mine": "kept"}, ready=False))
    task = asyncio.ensure_future(SimulatedNodes(api, clock).run())
    await clock.advance(0.1)
    node = api.informer(NODE).get("sim-0")
    assert node.metadata.uid == old.metadata.uid
    assert node.metadata.labels["mine"] == "kept"
    assert {c.type: c.status for c in node.status.conditions}["Ready"] == "True"
    task.cancel()


def test_addresses_are_unique_reserved_ones_skipped_and_returned_ones_reused() -> None:
    pool = Addresses("10.0.0.0/29")
    pool.reserve("10.0.0.2")
    taken = [pool.take() for _ in range(5)]
    assert taken == ["10.0.0.1", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
    pool.give_back("10.0.0.4")
    pool.give_back("192.0.2.1")
    assert pool.take() == "10.0.0.4"


async def test_a_lost_node_is_silent_until_it_is_found() -> None:
    api, clock = MemoryApi(), FakeClock()
    nodes = SimulatedNodes(api, clock, SimulationSettings(nodes=2))
    task = asyncio.ensure_future(nodes.run())
    await clock.advance(30)
    nodes.lose("sim-1")
    assert nodes.missing() == ["sim-1"]
    before = api.informer(LEASE).get("sim-1", LEASE_NAMESPACE).spec.renew_time
    await clock.advance(60)
    assert api.informer(LEASE).get("sim-1", LEASE_NAMESPACE).spec.renew_time == before
    nodes.find("sim-1")
    await clock.advance(30)
    assert api.informer(LEASE).get("sim-1", LEASE_NAMESPACE).spec.renew_time > before
    assert nodes.missing() == []
    with pytest.raises(KeyError):
        nodes.lose("other")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Slow(MemoryApi):
    """Never answers what is said of pods."""

    async def update(self, kind: Any, obj: Any, **how: Any) -> Any:
        if kind is POD:
            await asyncio.Event().wait()
        return await super().update(kind, obj, **how)


async def test_leases_are_renewed_however_much_there_is_to_say_of_pods() -> None:
    async with simulated(SimulationSettings(calls_in_flight_max=1), Slow()) as (api, clock):
        await clock.advance(0)
        await api.create(POD, b.pod(node="sim-0"))
        before = api.informer(LEASE).get("sim-0", LEASE_NAMESPACE).spec.renew_time
        await clock.advance(21)
        assert "update Pod web" not in api.calls, "that call is under way, and no other may be"
        assert api.informer(LEASE).get("sim-0", LEASE_NAMESPACE).spec.renew_time > before


async def test_extended_resources_in_the_capacity_become_allocatable_and_go_with_it() -> None:
    async with simulated(SimulationSettings()) as (api, clock):
        await clock.advance(0)
        node = copy_of(api.informer(NODE).get("sim-0"))
        node.status.capacity["example.com/seat"] = Quantity("3")
        await api.update(NODE, node, subresource="status")
        await clock.advance(0)
        node = copy_of(api.informer(NODE).get("sim-0"))
        assert node.status.allocatable == node.status.capacity
        assert node.status.allocatable["example.com/seat"] == "3"
        del node.status.capacity["example.com/seat"]
        await api.update(NODE, node, subresource="status")
        await clock.advance(0)
        assert "example.com/seat" not in api.informer(NODE).get("sim-0").status.allocatable
