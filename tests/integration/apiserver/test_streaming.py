"""Logs, tunnels and proxies, with a kubelet that is a few lines of this file."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from api_harness import ADMIN_TOKEN, RunningServer

from tiphys.base import pki

NODE = "stream-node"


async def _kubelet(request: web.Request) -> web.StreamResponse:
    """Answers logs; echoes whatever comes after an upgrade."""
    if request.path.startswith("/containerLogs/"):
        if "previous" in request.query:
            return web.Response(status=400, text="previous terminated container not found")
        return web.Response(text=f"log of {request.path} {request.query_string}\n")
    if request.path == "/headers":
        return web.json_response(sorted(request.headers))
    if request.path == "/page.html":
        return web.Response(text='<a href="/there">x</a>', content_type="text/html")
    if request.headers.get("Upgrade") == "websocket":
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await socket.prepare(request)
        await socket.send_str(f"{request.path}?{request.query_string}")
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket
    return web.Response(text=f"{request.method} {request.path_qs} auth={request.headers.get('Authorization')}")


@pytest.fixture
async def node(api: RunningServer, tmp_path: Any) -> AsyncIterator[None]:
    """A Node whose kubelet is here, with a certificate of the cluster's CA that names the node."""
    paths = api.settings.pki
    ca = pki.load(pki.PairPaths(paths.ca_cert, paths.ca_key))
    own = pki.PairPaths(tmp_path / "kubelet.crt", tmp_path / "kubelet.key")
    pki.save(own, pki.new_server(ca, NODE, [NODE, "127.0.0.1"], now=datetime.now(UTC)))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(paths.ca_cert))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(own.certificate, own.key)
    runner = web.ServerRunner(web.Server(_kubelet))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    body = {
        "metadata": {"name": NODE},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        },
    }
    await asyncio.to_thread(api.request, "POST", "/api/v1/nodes", body)
    await asyncio.to_thread(
        api.request, "PATCH", f"/api/v1/nodes/{NODE}/status", {"status": body["status"]},
        content_type="application/merge-patch+json",
    )  # fmt: skip
    yield
    await asyncio.to_thread(api.request, "DELETE", f"/api/v1/nodes/{NODE}")
    await runner.cleanup()


@pytest.fixture
async def pod(api: RunningServer, namespace: str, node: None) -> str:
    spec = {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}
    answer = await asyncio.to_thread(
        api.request, "POST", f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": "p"}, "spec": spec}
    )
    assert answer.status == 201, answer.body
    return f"/api/v1/namespaces/{namespace}/pods/p"


@pytest.fixture
async def session(api: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with aiohttp.ClientSession(api.url, headers=headers, connector=aiohttp.TCPConnector(ssl=api.tls())) as opened:
        yield opened


async def test_logs(session: aiohttp.ClientSession, pod: str, namespace: str) -> None:
    async with session.get(f"{pod}/log?container=c&tailLines=5&follow=true") as answer:
        assert answer.content_type == "text/plain"
        assert await answer.text() == f"log of /containerLogs/{namespace}/p/c follow=true&tailLines=5\n"
    async with session.get(f"{pod}/log") as answer:
        assert answer.status == 400
        message = (await answer.json())["message"]
        assert message == "a container name must be specified for pod p, choose one of: [c d]"
    async with session.get(f"{pod}/log?container=c&previous=true") as answer:
        assert (await answer.json())["message"] == "previous terminated container not found"
    async with session.get(f"{pod}/log?container=c&tailLines=-1") as answer:
        assert answer.status == 422


async def test_logs_as_messages(session: aiohttp.ClientSession, pod: str, namespace: str) -> None:
    line = f"log of /containerLogs/{namespace}/p/c \n"
    async with session.ws_connect(f"{pod}/log?container=c", protocols=("binary.k8s.io",)) as socket:
        assert (socket.protocol, await socket.receive_bytes(timeout=10)) == ("binary.k8s.io", line.encode())
        assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
    async with session.ws_connect(f"{pod}/log?container=c", protocols=("base64.binary.k8s.io",)) as socket:
        assert base64.b64decode(await socket.receive_str(timeout=10)) == line.encode()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await session.ws_connect(f"{pod}/log?container=c", protocols=("unheard.of",))
    assert refused.value.status == 400


async def test_exec_is_tunnelled(session: aiohttp.ClientSession, pod: str, namespace: str) -> None:
    path = f"{pod}/exec?container=d&command=ls&command=-l&stdout=true&stdin=true"
    async with session.ws_connect(path, protocols=("v5.channel.k8s.io",)) as socket:
        assert socket.protocol == "v5.channel.k8s.io"
        first = await socket.receive_str(timeout=10)
        assert first == f"/exec/{namespace}/p/d?input=1&output=1&command=ls&command=-l"
        data = b"\x00" + b"x" * 300_000
        await socket.send_bytes(data)
        assert await socket.receive_bytes(timeout=10) == data


async def test_exec_needs_an_upgrade(session: aiohttp.ClientSession, pod: str) -> None:
    async with session.post(f"{pod}/exec?container=c&command=ls&stdout=true") as answer:
        assert (answer.status, (await answer.json())["message"]) == (400, "Upgrade request required")


async def test_node_proxy_drops_credentials(session: aiohttp.ClientSession, node: None) -> None:
    async with session.get(f"/api/v1/nodes/{NODE}/proxy/stats/summary?x=1") as answer:
        assert await answer.text() == "GET /stats/summary?x=1 auth=None"


async def test_pod_proxy_passes_the_path_as_it_is(api: RunningServer, session: aiohttp.ClientSession) -> None:
    """Also where namespace, pod and path hold the word that ends the API's part of it."""
    runner = web.ServerRunner(web.Server(_kubelet))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    space = "proxy-1"
    async with session.post("/api/v1/namespaces", json={"metadata": {"name": space}}) as made:
        assert made.status == 201
    async with session.post(
        f"/api/v1/namespaces/{space}/serviceaccounts", json={"metadata": {"name": "default"}}
    ) as made:
        assert made.status == 201
    pods = f"/api/v1/namespaces/{space}/pods"
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    async with session.post(pods, json={"metadata": {"name": "proxy"}, "spec": spec}) as made:
        assert made.status == 201, await made.text()
    status = {"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    merge = {"Content-Type": "application/merge-patch+json"}
    async with session.patch(f"{pods}/proxy/status", data=json.dumps(status), headers=merge) as patched:
        assert patched.status == 200, await patched.text()
    for tail in ("/", "/a/proxy/b/?x=1"):
        async with session.get(f"{pods}/proxy:{port}/proxy{tail}") as answer:
            assert await answer.text() == f"GET {tail} auth=None"
    for verb in ("OPTIONS", "DELETE", "PATCH"):
        async with session.request(verb, f"{pods}/proxy:{port}/proxy?x=1") as answer:
            assert await answer.text() == f"{verb} /?x=1 auth=None"
    bare = ("Content-Type", "User-Agent", "Accept-Encoding")
    async with session.post(f"{pods}/proxy:{port}/proxy/headers", data=b"{}", skip_auto_headers=bare) as answer:
        passed = await answer.json()
        assert not {"Content-Type", "User-Agent", "Accept-Encoding"} & set(passed), passed
    async with session.get(f"{pods}/proxy:{port}/proxy?x=1", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, f"{pods}/proxy:{port}/proxy/?x=1")
    async with session.get(f"{pods}/proxy:{port}/proxy/page.html") as answer:
        assert await answer.text() == f'<a href="{pods}/proxy:{port}/proxy/there">x</a>'
    await session.delete(f"/api/v1/namespaces/{space}")
    await runner.cleanup()


async def test_a_kubelet_that_is_gone(api: RunningServer, session: aiohttp.ClientSession, pod: str) -> None:
    status = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}}
    await asyncio.to_thread(
        api.request, "PATCH", f"/api/v1/nodes/{NODE}/status", status, content_type="application/merge-patch+json"
    )
    async with session.get(f"{pod}/log?container=c") as answer:
        assert answer.status == 500
        assert "error dialing backend" in (await answer.json())["message"]


async def test_binding_and_eviction(api: RunningServer, session: aiohttp.ClientSession, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    body = {"metadata": {"name": "q"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    async with session.post(pods, json=body) as answer:
        assert answer.status == 201
    binding = {"metadata": {"name": "q"}, "target": {"kind": "Node", "name": "n9"}}
    async with session.post(f"{pods}/q/binding", json=binding) as answer:
        assert (answer.status, (await answer.json())["status"]) == (201, "Success")
    async with session.get(f"{pods}/q") as answer:
        bound = await answer.json()
    assert (bound["spec"]["nodeName"], bound["metadata"]["generation"]) == ("n9", 1)
    assert "f:nodeName" not in str(bound["metadata"]["managedFields"])
    async with session.post(f"{pods}/q/binding", json=binding) as answer:
        assert (await answer.json())["message"] == (
            'Operation cannot be fulfilled on pods/binding "q": pod q is already assigned to node "n9"'
        )
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "q"}}
    async with session.post(f"{pods}/q/eviction", json=eviction) as answer:
        assert answer.status == 201
    async with session.get(f"{pods}/q") as answer:
        found = await answer.json()
    assert found["metadata"]["deletionTimestamp"]
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert conditions["DisruptionTarget"] == conditions["PodScheduled"] == "True"
