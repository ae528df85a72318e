"""An HTTP server on loopback that answers as a test says and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tiphys.client.kubeconfig import Access
from tiphys.client.rest import RestClient

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scripted:
    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.answers: list[Answer] = []
        """Given in turn; the last one stays."""
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    @asynccontextmanager
    async def serving(self, **access: Any) -> AsyncIterator[RestClient]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        client = RestClient(Access(server=self.url, **access))
        try:
            yield client
        finally:
            await client.close()
            await runner.cleanup()


def reply(body: Any, status: int = 200, **headers: str) -> Answer:
    async def answer(_request: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=status, content_type="application/json", headers=headers)

    return answer


def stream(*events: Any, hold: asyncio.Event | None = None) -> Answer:
    """A watch that sends `events`, then stays open until `hold` is set (None: ends at once)."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for event in events:
            await response.write(json.dumps(event).encode() + b"\n")
        if hold is not None:
            await hold.wait()
        return response

    return answer


def config_map(name: str, revision: int, **data: str) -> dict[str, Any]:
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": str(revision)},
        "data": data,
    }


def event(kind: str, obj: Any) -> dict[str, Any]:
    return {"type": kind, "object": obj}


def bookmark(revision: int, *, end: bool = False) -> dict[str, Any]:
    annotations = {"k8s.io/initial-events-end": "true"} if end else {}
    metadata = {"resourceVersion": str(revision), "annotations": annotations}
    return event("BOOKMARK", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})


def listing(revision: int, *items: Any, token: str = "") -> dict[str, Any]:
    metadata = {"resourceVersion": str(revision), "continue": token}
    return {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": list(items)}


def refusal(code: int, reason: str, message: str = "no") -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
