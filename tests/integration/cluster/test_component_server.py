"""A controller manager that runs alone: its health is for anybody, its metrics for whom the API allows them."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import aiohttp
import pytest

from tiphys.api.kinds import SUBJECTACCESSREVIEW, TOKENREVIEW
from tiphys.base.clock import SystemClock
from tiphys.base.metrics import Metrics
from tiphys.cluster.component_server import serve


class Api:
    """Knows two tokens, and what their users may."""

    async def create(self, kind: Any, obj: Any) -> Any:
        if kind is TOKENREVIEW:
            obj.status.authenticated = obj.spec.token in ("operator", "visitor")
            obj.status.user.username = obj.spec.token
        elif kind is SUBJECTACCESSREVIEW:
            asked = obj.spec.non_resource_attributes
            obj.status.allowed = (obj.spec.user, asked.verb, asked.path) == ("operator", "get", "/metrics")
        return obj


@pytest.fixture
async def port(unused_tcp_port_factory: Any) -> Any:
    metrics = Metrics()
    metrics.counter("things_total", "Things.").inc()
    chosen = unused_tcp_port_factory()
    api: Any = Api()
    task = asyncio.create_task(serve(api, SystemClock(), metrics, "127.0.0.1", chosen))
    yield chosen
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def got(port: int, path: str, token: str = "") -> tuple[int, str]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            try:
                async with session.get(f"https://127.0.0.1:{port}{path}", ssl=context, headers=headers) as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)
    raise AssertionError("nobody listens")


async def test_health_is_for_anybody_and_metrics_are_not(port: int) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        assert await got(port, path) == (200, "ok")
    assert (await got(port, "/metrics"))[0] == 401
    assert (await got(port, "/metrics", "stranger"))[0] == 401
    assert await got(port, "/metrics", "visitor") == (403, 'forbidden: User "visitor" cannot get path "/metrics"\n')
    status, page = await got(port, "/metrics", "operator")
    assert status == 200 and "things_total 1" in page
    assert (await got(port, "/else", "operator"))[0] == 404


async def test_a_port_that_is_taken_is_said(port: int) -> None:
    await got(port, "/healthz")
    api: Any = Api()
    with pytest.raises(OSError, match="in use"):
        await serve(api, SystemClock(), Metrics(), "127.0.0.1", port)
