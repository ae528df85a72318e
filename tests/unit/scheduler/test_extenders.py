"""Programs elsewhere that filter, score, preempt and bind; and that fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from tests.unit.scheduler.test_scheduler import Cluster, running

from tiphys.api.kinds import NODE, POD
from tiphys.scheduler.settings import ExtenderSettings, SchedulerSettings
from tiphys.testing import builders as b


class Extender:
    """Answers what the test says, keeps what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Any]] = []

    async def handle(self, request: web.Request) -> web.Response:
        verb = request.path.rpartition("/")[2]
        self.asked.append((verb, json.loads(await request.read())))
        answer = self.answers[verb]
        if isinstance(answer, int):
            return web.Response(status=answer)
        if isinstance(answer, str):
            await asyncio.sleep(10)
        return web.json_response(answer)


@contextlib.asynccontextmanager
async def serving(answers: dict[str, Any], **settings: Any) -> AsyncIterator[tuple[Cluster, Extender]]:
    extender = Extender(answers)
    app = web.Application()
    app.router.add_post("/{verb}", extender.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    one = ExtenderSettings(f"http://127.0.0.1:{port}", **settings)
    try:
        async with running(SchedulerSettings(extenders=(one,))) as cluster:
            yield cluster, extender
    finally:
        await runner.cleanup()


async def until(cluster: Cluster, name: str) -> str:
    """The node that `name` gets, with real sockets in between."""
    for _ in range(200):
        await asyncio.sleep(0.005)
        await cluster.rest()
        if cluster.node_of(name) or any(e[0] == name for e in cluster.events.events):
            break
    return cluster.node_of(name)


async def test_it_filters_and_scores() -> None:
    answers = {
        "filter": {"NodeNames": ["n1", "n2"], "FailedNodes": {"n3": "no licence"}},
        "prioritize": [{"Host": "n1", "Score": 1}, {"Host": "n2", "Score": 10}],
    }
    async with serving(
        answers, filter_verb="filter", prioritize_verb="prioritize", weight=5, node_cache_capable=True
    ) as (c, extender):
        for name in ("n1", "n2", "n3"):
            c.api.put(NODE, b.node(name))
        c.api.put(POD, b.pod("web"))
        assert await until(c, "web") == "n2"
        assert sorted(extender.asked[0][1]["NodeNames"]) == ["n1", "n2", "n3"]
        assert extender.asked[0][1]["Pod"]["metadata"]["name"] == "web"


async def test_its_refusals_are_told() -> None:
    answers = {"filter": {"nodes": {"items": []}, "failedNodes": {"n1": "no licence"}}}
    async with serving(answers, filter_verb="filter") as (c, extender):
        c.api.put(NODE, b.node("n1"))
        c.api.put(POD, b.pod("web"))
        assert await until(c, "web") == ""
        assert c.events.events[0][3].startswith("0/1 nodes are available: 1 no licence. preemption:")
        assert extender.asked[0][1]["Nodes"]["items"][0]["metadata"]["name"] == "n1"


async def test_one_that_fails_or_hangs_is_named_and_the_pod_tried_again() -> None:
    for answer, told in ((500, "code 500"), ("hang", "no answer to filter within 0.05 s")):
        async with serving({"filter": answer}, filter_verb="filter", timeout_s=0.05) as (c, extender):
            c.api.put(NODE, b.node("n1"))
            c.api.put(POD, b.pod("web"))
            await until(c, "web")
            name, _, reason, message = c.events.events[0]
            assert (name, reason) == ("web", "FailedScheduling")
            assert told in message
            assert "http://127.0.0.1" in message
            extender.answers["filter"] = {"NodeNames": ["n1"]}
            await c.rest(2)
            for _ in range(100):
                await asyncio.sleep(0.005)
                await c.rest()
            assert c.node_of("web") == "n1"


async def test_an_ignorable_one_is_done_without() -> None:
    async with serving({"filter": 500}, filter_verb="filter", ignorable=True) as (c, _):
        c.api.put(NODE, b.node("n1"))
        c.api.put(POD, b.pod("web"))
        assert await until(c, "web") == "n1"


async def test_it_binds_what_is_its_business() -> None:
    async with serving({"bind": {}}, bind_verb="bind", managed_resources=(("example.com/gpu", False),)) as (
        c,
        extender,
    ):
        c.api.put(NODE, b.node("n1", resources={"example.com/gpu": "1"}))
        c.api.put(POD, b.pod("other"))
        assert await until(c, "other") == "n1"
        c.api.put(POD, b.pod("gpu", requests={"example.com/gpu": "1"}))
        await until(c, "gpu")
        assert extender.asked[0][0] == "bind"
        assert extender.asked[0][1]["Node"] == "n1"


async def test_it_has_a_say_in_preemption() -> None:
    async with serving({"preempt": {}}, preempt_verb="preempt", node_cache_capable=True) as (c, extender):
        victims = []
        for node in ("n1", "n2"):
            c.api.put(NODE, b.node(node, cpu="1"))
            victims.append(c.api.put(POD, b.pod(f"on-{node}", cpu="1", node=node)))
        extender.answers["preempt"] = {
            "nodeNameToMetaVictims": {"n2": {"pods": [{"uid": victims[1].metadata.uid}], "numPDBViolations": 0}}
        }
        c.api.put(POD, b.pod("urgent", cpu="1", priority=10))
        await until(c, "urgent")
        for _ in range(50):
            await asyncio.sleep(0.005)
            await c.rest()
        assert any(call.startswith("delete Pod on-n2") for call in c.api.calls)
        assert not any(call.startswith("delete Pod on-n1") for call in c.api.calls)
        assert set(extender.asked[0][1]["NodeNameToMetaVictims"]) == {"n1", "n2"}
