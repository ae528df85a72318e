"""Requests to the kubelet's paths, with a runtime's stream server that is a few lines of this file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from multidict import MultiDict

from tiphys.api.errors import ApiError, BadRequest
from tiphys.kubelet.streaming import inside, routes
from tiphys.kubelet.streaming.v5 import Wanted

SPDY_AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    b"X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n"
)


class Runtime:
    """Remembers the upgrade; answers it, then echoes."""

    def __init__(self) -> None:
        self.answer = SPDY_AGREED
        self.heads: list[str] = []
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.answer)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        self.ended.set()
        writer.close()


class Kubelet:
    def __init__(self, port: int, runtime: Runtime, address: str) -> None:
        self.port, self.runtime, self.address = port, runtime, address
        self.asked: list[Any] = []


@pytest.fixture
async def kubelet(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kubelet]:
    runtime = Runtime()
    server = await asyncio.start_server(runtime.serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/exec/token"

    @web.middleware
    async def errors(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return web.Response(status=error.code, text=error.message)

    app = web.Application(middlewares=[errors])
    routes.add_routes(app.router, SimpleNamespace())  # type: ignore[arg-type] # who is meant is answered below
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made = Kubelet(runner.addresses[0][1], runtime, address)

    async def url(*arguments: Any, **options: Any) -> str:
        made.asked.append((arguments[2:], options))
        return address

    for name in ("exec_url", "attach_url", "port_forward_url"):
        monkeypatch.setattr(routes, name, url)
    monkeypatch.setattr(routes, "worker_of", lambda *_: None)
    yield made
    await runner.cleanup()
    server.close()


async def _raw(kubelet: Kubelet, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", kubelet.port)
    writer.write((head.replace("\n", "\r\n") + "\r\n\r\n").encode())
    return reader, writer


async def test_spdy_passes_as_it_is(kubelet: Kubelet) -> None:
    reader, writer = await _raw(
        kubelet,
        "POST /exec/ns/p/c?input=1&output=1&command=ls&command=-l HTTP/1.1\nHost: n\nConnection: Upgrade\n"
        "Upgrade: SPDY/3.1\nX-Stream-Protocol-Version: v4.channel.k8s.io\nX-Stream-Protocol-Version: channel.k8s.io\n"
        "Authorization: Bearer secret\nContent-Length: 0",
    )
    assert await asyncio.wait_for(reader.readexactly(len(SPDY_AGREED)), 5) == SPDY_AGREED
    data = bytes(range(256)) * 2000
    writer.write(data)
    assert await asyncio.wait_for(reader.readexactly(len(data)), 5) == data
    head = kubelet.runtime.heads[0]
    assert head.startswith("POST /exec/token HTTP/1.1\r\n")
    assert head.count("X-Stream-Protocol-Version: ") == 2
    assert "secret" not in head
    (arguments, options) = kubelet.asked[0]
    assert arguments == ("c", ["ls", "-l"])
    assert options == {"stdin": True, "stdout": True, "stderr": False, "tty": False}
    writer.close()
    await asyncio.wait_for(kubelet.runtime.ended.wait(), 5)


async def test_a_runtime_that_refuses_is_an_ordinary_answer(kubelet: Kubelet) -> None:
    kubelet.runtime.answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found"
    reader, writer = await _raw(
        kubelet, "POST /portForward/ns/p HTTP/1.1\nHost: n\nConnection: Upgrade\nUpgrade: SPDY/3.1\nContent-Length: 0"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert head.startswith(b"HTTP/1.1 404 ")
    assert await reader.readexactly(9) == b"not found"
    writer.close()


async def test_spdy_inside_a_websocket_is_unwrapped(kubelet: Kubelet) -> None:
    async with aiohttp.ClientSession() as session:
        offered = ("SPDY/3.1+portforward.k8s.io",)
        address = f"http://127.0.0.1:{kubelet.port}/portForward/ns/p"
        async with session.ws_connect(address, protocols=offered) as socket:
            assert socket.protocol == offered[0]
            data = b"x" * 200_000
            await socket.send_bytes(data[:5])
            await socket.send_bytes(data[5:])
            got = b""
            while len(got) < len(data):
                got += await socket.receive_bytes(timeout=5)
            assert got == data
    await asyncio.wait_for(kubelet.runtime.ended.wait(), 5)
    assert "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n" in kubelet.runtime.heads[0]


@pytest.mark.parametrize(
    ("path", "upgrade", "message"),
    [
        ("/exec/ns/p/c?command=ls", "SPDY/3.1", "you must specify at least 1 of stdin, stdout, stderr"),
        ("/exec/ns/p/c?command=ls&output=1", "", "Upgrade request required"),
        ("/portForward/ns/p", "websocket", 'query parameter "port" is required'),
        ("/portForward/ns/p?port=x", "SPDY/3.1", 'unable to parse "x" as a port'),
        ("/portForward/ns/p?port=80,0", "SPDY/3.1", 'port "0" must be > 0'),
    ],
)
async def test_what_is_refused_before_the_runtime_is_asked(
    kubelet: Kubelet, path: str, upgrade: str, message: str
) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": upgrade} if upgrade else {}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{kubelet.port}{path}", headers=headers) as answer,
    ):
        assert (answer.status, await answer.text()) == (400, message)
    assert kubelet.asked == []


def test_a_terminal_has_no_stderr_of_its_own() -> None:
    query = MultiDict({"output": "1", "error": "1", "tty": "1"})
    assert routes.streams(query) == Wanted(stdout=True, tty=True)
    with pytest.raises(BadRequest):
        routes.streams(MultiDict({"tty": "1"}))


def test_ports_may_stand_in_one_parameter_or_in_several() -> None:
    assert routes.ports(MultiDict([("port", "80,81"), ("port", "82")]), required=True) == [80, 81, 82]
    assert routes.ports(MultiDict(), required=False) == []


def test_which_subprotocols_carry_spdy() -> None:
    offered = ["v4.channel.k8s.io", "SPDY/3.1+portforward.k8s.io", "SPDY/3.1+x.example.com"]
    assert inside.tunnelled(offered) == ["portforward.k8s.io"]
