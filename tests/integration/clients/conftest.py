"""What real clients are pointed at: a kubeconfig, a kind of the user's own, a pod whose kubelet is a few lines."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from api_harness import ADMIN_TOKEN, RunningServer

from tiphys.base import pki

NODE = "clients-node"
LOG = "first\nsecond\n"


async def _kubelet(request: web.Request) -> web.StreamResponse:
    """Logs are two lines; what is executed says its command, and succeeds."""
    if request.path.startswith("/containerLogs/"):
        return web.Response(text=LOG)
    socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"))
    await socket.prepare(request)
    await socket.send_bytes(b"\x01" + " ".join(request.query.getall("command")).encode() + b"\n")
    await socket.send_bytes(b"\x03" + json.dumps({"metadata": {}, "status": "Success"}).encode())
    await socket.close()
    return socket


@pytest.fixture(scope="session")
def kubelet_port(api: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A kubelet with a certificate of the cluster's CA, in a thread of its own."""
    directory = tmp_path_factory.mktemp("kubelet")
    paths = api.settings.pki
    own = pki.PairPaths(directory / "kubelet.crt", directory / "kubelet.key")
    ca = pki.load(pki.PairPaths(paths.ca_cert, paths.ca_key))
    pki.save(own, pki.new_server(ca, NODE, [NODE, "127.0.0.1"], now=datetime.now(UTC)))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(paths.ca_cert))
    context.load_cert_chain(own.certificate, own.key)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="kubelet", daemon=True)
    thread.start()

    async def start() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(_kubelet))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield int(runner.addresses[0][1])
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(70)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="session")
def node(api: RunningServer, kubelet_port: int) -> str:
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
    }
    assert api.request("POST", "/api/v1/nodes", {"metadata": {"name": NODE}, "status": status}).status == 201
    api.request(
        "PATCH", f"/api/v1/nodes/{NODE}/status", {"status": status}, content_type="application/merge-patch+json"
    )
    return NODE


@pytest.fixture
def pod(api: RunningServer, namespace: str, node: str) -> str:
    """The name of a pod on that node."""
    body = {"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}}
    assert api.request("POST", f"/api/v1/namespaces/{namespace}/pods", body).status == 201
    conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
    status = {"status": {"phase": "Running", "conditions": conditions, "containerStatuses": [
        {"name": "c", "image": "i", "imageID": "", "ready": True, "restartCount": 0,
         "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}}},
    ]}}  # fmt: skip
    path = f"/api/v1/namespaces/{namespace}/pods/p/status"
    assert api.request("PATCH", path, status, content_type="application/merge-patch+json").status == 200
    return "p"


@pytest.fixture
def kubeconfig(api: RunningServer, namespace: str, tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": api.url, "certificate-authority": str(api.ca)}}],
        "users": [{"name": "u", "user": {"token": ADMIN_TOKEN}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
    }))  # fmt: skip
    return path
