"""A client that knows several API servers of one cluster asks the next when one cannot be reached."""

import pytest
from aiohttp import web

from tiphys.api.errors import ServiceUnavailable
from tiphys.api.kinds import CONFIGMAP
from tiphys.client import kubeconfig
from tiphys.client.kubeconfig import Access
from tiphys.client.rest import RestClient
from tiphys.cluster.etcd_members import free_ports


async def _server(answers):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answers)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def test_the_next_server_is_asked_and_stays_first() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.json_response({"metadata": {"name": "a", "namespace": "b"}})

    runner, url = await _server(answer)
    dead = f"http://127.0.0.1:{free_ports(1)[0]}"
    client = RestClient(Access(dead, more_servers=(url,)))
    assert (await client.get(CONFIGMAP, "a", "b")).metadata.name == "a"
    await client.create(CONFIGMAP, await client.get(CONFIGMAP, "a", "b"))
    assert asked == ["GET", "GET", "POST"]
    await client.close()
    await runner.cleanup()


async def test_a_write_that_may_have_happened_is_not_repeated() -> None:
    async def breaks_off(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def never(request: web.Request) -> web.Response:
        raise AssertionError("asked twice")

    (first, url), (second, other) = await _server(breaks_off), await _server(never)
    client = RestClient(Access(url, more_servers=(other,)))
    body = CONFIGMAP.schema()
    body.metadata.name, body.metadata.namespace = "a", "b"
    with pytest.raises(ServiceUnavailable, match="cannot reach"):
        await client.create(CONFIGMAP, body)
    await client.close()
    await first.cleanup()
    await second.cleanup()


def test_a_kubeconfig_keeps_them_where_others_pass_over_them(tmp_path) -> None:
    access = Access("https://a:1", more_servers=("https://b:2", "https://c:3"))
    (tmp_path / "config").write_text(kubeconfig.render(access))
    assert kubeconfig.load([tmp_path / "config"]).access().more_servers == access.more_servers
