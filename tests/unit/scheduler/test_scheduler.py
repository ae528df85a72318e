"""The component against an API in memory: what it binds, says and survives."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator

from tiphys.api.errors import Conflict, NotFound
from tiphys.api.kinds import NODE, POD, REPLICASET, SERVICE
from tiphys.api.meta.schema import copy_of
from tiphys.client.events import KeptEvents
from tiphys.scheduler.scheduler import Scheduler
from tiphys.scheduler.settings import SchedulerSettings
from tiphys.scheduler.writes import NOTE_MAX, truncated
from tiphys.testing import builders as b
from tiphys.testing.clock import FakeClock
from tiphys.testing.memory_api import MemoryApi


class Cluster:
    def __init__(self, settings: SchedulerSettings | None = None) -> None:
        self.api, self.clock, self.events = MemoryApi(), FakeClock(), KeptEvents()
        self.scheduler = Scheduler(self.api, self.clock, self.events, settings)

    def node_of(self, name: str) -> str:
        pod = self.api.informer(POD).get(name, "default")
        return str(pod.spec.node_name)

    async def rest(self, seconds: float = 0.0) -> None:
        await self.clock.advance(seconds)
        await self.clock.advance(0)


@contextlib.asynccontextmanager
async def running(settings: SchedulerSettings | None = None) -> AsyncIterator[Cluster]:
    cluster = Cluster(settings)
    task = asyncio.ensure_future(cluster.scheduler.run())
    while cluster.scheduler.engine is None and not task.done():  # noqa: ASYNC110 - numpy is imported in a thread
        await asyncio.sleep(0.001)
    await cluster.rest()
    try:
        yield cluster
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_pod_is_bound_and_the_user_told() -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1"))
        c.api.put(POD, b.pod("web", cpu="1"))
        await c.rest()
        assert c.node_of("web") == "n1"
        assert c.events.events == [("web", "Normal", "Scheduled", "Successfully assigned default/web to n1")]
        assert c.scheduler.engine is not None
        assert not c.scheduler.engine.table.assumed


async def test_other_schedulers_pods_gated_deleted_and_finished_ones_are_left_alone() -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1"))
        leaving = b.pod("leaving")
        leaving.metadata.deletion_timestamp = b.CREATED
        for pod in (b.pod("theirs", scheduler="other"), b.pod("gated", gates=["g"]), b.pod("done", phase="Succeeded")):
            c.api.put(POD, pod)
        c.api.put(POD, leaving)
        await c.rest(60)
        assert c.api.calls == []


async def test_a_pod_that_fits_nowhere_says_why_once_and_starts_when_there_is_room() -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1", cpu="1"))
        c.api.put(POD, b.pod("first", cpu="1"))
        await c.rest()
        c.api.put(POD, b.pod("second", cpu="1"))
        await c.rest()
        why = (
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
            "1 No preemption victims found for incoming pod."
        )
        assert c.events.events[-1] == ("second", "Warning", "FailedScheduling", why)
        (name, patch) = c.api.patches[-1]
        condition = patch["status"]["conditions"][0]
        assert (name, condition["status"], condition["reason"], condition["message"]) == (
            "second",
            "False",
            "Unschedulable",
            why,
        )
        await c.rest(301)  # tried again, with nothing new to write
        assert len(c.api.patches) == 1
        assert len(c.events.events) == 3
        c.api.remove(POD, "first", "default")
        await c.rest(11)
        assert c.node_of("second") == "n1"


async def test_a_failed_binding_gives_the_room_back_and_is_tried_again() -> None:
    async with running() as c:
        c.api.refuse["bind web"] = Conflict("not now")
        c.api.put(NODE, b.node("n1", cpu="1"))
        c.api.put(POD, b.pod("web", cpu="1"))
        await c.rest()
        assert c.node_of("web") == ""
        await c.rest(0.5)
        assert c.api.calls == ["bind web"]
        await c.rest(1)
        assert c.node_of("web") == "n1"


async def test_a_pod_that_is_gone_when_it_should_be_bound_is_forgotten() -> None:
    async with running() as c:
        c.api.refuse["bind web"] = NotFound("gone")
        c.api.put(NODE, b.node("n1", cpu="1"))
        c.api.put(POD, b.pod("web", cpu="1"))
        await c.rest(20)
        assert c.api.calls == ["bind web"]
        assert c.scheduler.engine is not None
        assert not c.scheduler.engine.table.pods


async def test_a_replicasets_pods_are_spread() -> None:
    async with running() as c:
        replicaset = c.api.put(REPLICASET, b.replicaset("web", selector={"app": "web"}))
        c.api.put(SERVICE, b.service("web", selector={"app": "web"}))
        for name, zone in (("n1", "a"), ("n2", "a"), ("n3", "b")):
            c.api.put(NODE, b.node(name, zone=zone))
        for i in range(6):
            c.api.put(POD, b.pod(f"web-{i}", labels={"app": "web"}, owner=b.owned_by(replicaset)))
        await c.rest()
        where = [c.node_of(f"web-{i}") for i in range(6)]
        assert sorted(where).count("n3") >= 2
        assert set(where) == {"n1", "n2", "n3"}


async def test_calls_in_flight_are_bounded_and_room_is_never_given_twice() -> None:
    async with running(SchedulerSettings(calls_in_flight_max=3)) as c:
        c.api.put(NODE, b.node("n1", cpu="10"))
        for i in range(20):
            c.api.put(POD, b.pod(f"p{i}", cpu="1"))
        await c.rest()
        await c.rest()
        assert sum(c.node_of(f"p{i}") == "n1" for i in range(20)) == 10


async def test_pods_that_found_the_queue_full_are_found_again() -> None:
    async with running(SchedulerSettings(queue_max=2)) as c:
        for i in range(6):
            c.api.put(POD, b.pod(f"p{i}"))
        c.api.put(NODE, b.node("n1"))
        for _ in range(20):
            await c.rest(11)
        assert all(c.node_of(f"p{i}") == "n1" for i in range(6))


async def test_a_pod_made_again_under_the_same_name_is_another_pod() -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1", cpu="1"))
        c.api.put(POD, b.pod("web", cpu="1", node="n1"))
        c.api.put(POD, b.pod("web", cpu="1"))
        await c.rest(11)
        assert c.node_of("web") == "n1"
        assert c.scheduler.engine is not None
        assert c.scheduler.engine.table.requested[0, 0] == 1000


async def test_status_updates_of_bound_pods_change_nothing() -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1"))
        pod = c.api.put(POD, b.pod("web", cpu="1", node="n1"))
        assert c.scheduler.engine is not None
        position = c.scheduler.engine.table.position
        running_pod = copy_of(pod)
        running_pod.status.phase = "Running"
        c.api.put(POD, running_pod)
        assert c.scheduler.engine.table.position == position
        finished = copy_of(running_pod)
        finished.status.phase = "Succeeded"
        c.api.put(POD, finished)
        assert c.scheduler.engine.table.requested[0, 0] == 0


def test_messages_fit_into_an_event() -> None:
    assert truncated("x" * NOTE_MAX) == "x" * NOTE_MAX
    assert len(truncated("x" * 5000)) == NOTE_MAX
    assert truncated("x" * 5000).endswith("x ...")


def test_importing_the_component_does_not_import_numpy() -> None:
    code = "import sys, tiphys.scheduler.scheduler, tiphys.scheduler.settings; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
