from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tiphys.api.errors import InternalError
from tiphys.api.kinds import DEPLOYMENT, NAMESPACE, POD, REPLICASET, SERVICEACCOUNT
from tiphys.api.meta.schema import copy_of
from tiphys.client.events import KeptEvents
from tiphys.controllers._expectations import Expectations
from tiphys.controllers._runtime import ControllerManager
from tiphys.controllers.settings import ControllerSettings
from tiphys.testing.clock import FakeClock, settle

from . import objects
from .memory import MemoryClient


class NamedEvents(KeptEvents):
    def named(self, component: str) -> NamedEvents:
        return self


@dataclass
class Running:
    client: MemoryClient
    clock: FakeClock
    manager: ControllerManager
    events: NamedEvents


@asynccontextmanager
async def running(*controllers: str) -> AsyncIterator[Running]:
    clock = FakeClock()
    client = MemoryClient(clock)
    events = NamedEvents()
    chosen = ControllerSettings(controllers=controllers or ("*",), root_ca="PEM")
    manager = ControllerManager(client, clock, events, chosen)  # type: ignore[arg-type] # a verified stand-in
    task = asyncio.create_task(manager.run())
    await settle()
    try:
        yield Running(client, clock, manager, events)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_deployment_becomes_pods_and_all_of_it_goes_again() -> None:
    async with running() as r:
        r.client.put(NAMESPACE, objects.namespace("default"))
        r.client.put(DEPLOYMENT, objects.deployment(replicas=3))
        await r.clock.advance(1)
        assert len(r.client.all(POD)) == 3
        for pod in r.client.all(POD):
            r.client.edit(POD, pod.metadata.name, "default", objects.make_ready)
        await r.clock.advance(1)
        status = r.client.all(DEPLOYMENT)[0].status
        assert (status.available_replicas, status.updated_replicas) == (3, 3)
        await r.client.delete(DEPLOYMENT, "web", "default")
        await r.clock.advance(10)
        assert r.client.all(REPLICASET) == []
        assert r.client.all(POD) == []


async def test_a_failing_key_backs_off_and_others_are_served() -> None:
    async with running("serviceaccount") as r:
        r.client.refuse = lambda verb, kind, name: InternalError("no") if r.client.all(SERVICEACCOUNT) == [] else None
        r.client.put(NAMESPACE, objects.namespace("bad"))
        await r.clock.advance(100)
        tries = len(r.client.calls)
        assert 10 <= tries <= 16, "5 ms doubled, for 100 s"
        r.client.refuse = lambda verb, kind, name: None
        r.client.put(NAMESPACE, objects.namespace("good"))
        await r.clock.advance(0)
        assert [each.metadata.namespace for each in r.client.all(SERVICEACCOUNT)] == ["good"]


async def test_a_failing_key_whose_world_is_busy_is_tried_once_a_second_at_most() -> None:
    async with running("serviceaccount") as r:
        r.client.refuse = lambda verb, kind, name: InternalError("no")
        r.client.put(NAMESPACE, objects.namespace("bad"))
        await r.clock.advance(60)
        before = len(r.client.calls)
        for number in range(100):
            r.client.edit(
                NAMESPACE, "bad", "", lambda obj, number=number: obj.metadata.annotations.update(n=str(number))
            )
            await r.clock.advance(0.1)
        assert len(r.client.calls) - before <= 11


async def test_a_fault_in_a_plan_is_a_retry_and_no_end() -> None:
    async with running("deployment") as r:
        broken = objects.deployment("broken")
        broken.spec.selector.match_labels = {"a": "not a label value!"}
        r.client.put(DEPLOYMENT, broken)
        r.client.put(DEPLOYMENT, objects.deployment("web"))
        await r.clock.advance(1)
        assert [each.metadata.labels["app"] for each in r.client.all(REPLICASET)] == ["web"]
        assert r.manager.statistics()["deployment-controller"].errors_total > 0


async def test_a_key_that_writes_something_and_then_fails_backs_off_all_the_same() -> None:
    """Waiting to see its own write is no success that would start the back-off over."""
    async with running("replicaset") as r:

        def refuse(verb: str, kind: Any, name: str) -> Any:
            if verb == "create":
                # Something else about the replica set changes with every try, so every try writes a status.
                r.client.edit(REPLICASET, "web", "default", bump)
                return InternalError("no")
            return None

        def bump(obj: Any) -> None:
            obj.metadata.generation += 1

        r.client.refuse = refuse
        r.client.put(REPLICASET, objects.replica_set(replicas=1))
        await r.clock.advance(100)
        tries = sum(call[0] == "create" for call in r.client.calls)
        assert tries <= 110, "at most one a second, plus the quick first ones"


async def test_an_unknown_controller_stops_the_start() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        ControllerManager(
            MemoryClient(),
            FakeClock(),
            NamedEvents(),  # type: ignore[arg-type] # a verified stand-in
            ControllerSettings(controllers=("nonsense",)),
        )


# --- reading one's own writes


def expectations() -> tuple[MemoryClient, FakeClock, Expectations]:
    clock = FakeClock()
    client = MemoryClient(clock)
    return client, clock, Expectations({POD: client.informer(POD)}, clock, 300)  # type: ignore[dict-item]


def written(name: str, revision: int, uid: str = "u1") -> Any:
    pod = objects.pod(name)
    pod.metadata.uid, pod.metadata.resource_version = uid, str(revision)
    return pod


def test_a_key_waits_until_its_write_is_seen() -> None:
    _, _, e = expectations()
    e.wrote("key", POD, written("a", 7))
    assert e.waits("key")
    assert e.observed("MODIFIED", written("a", 6)) == []
    assert e.observed("MODIFIED", written("a", 7)) == ["key"]
    assert not e.waits("key")


def test_a_deletion_is_seen_as_going_or_gone() -> None:
    client, _, e = expectations()
    pod = client.put(POD, objects.pod("a"))
    e.deleted("key", POD, "a", "default", pod.metadata.uid)
    going = copy_of(pod)
    assert e.observed("MODIFIED", going) == []
    going.metadata.deletion_timestamp = objects.NOW
    assert e.observed("MODIFIED", going) == ["key"]


def test_what_was_gone_before_the_answer_came_is_not_waited_for() -> None:
    _, _, e = expectations()
    e.observed("DELETED", written("a", 8))
    e.wrote("key", POD, written("a", 7))
    assert not e.waits("key")


async def test_waiting_ends_after_its_time() -> None:
    _, clock, e = expectations()
    e.wrote("key", POD, written("a", 7))
    await clock.advance(299)
    assert e.waits_at_all()
    await clock.advance(1)
    assert not e.waits_at_all()
