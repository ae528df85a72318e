"""/exec, /attach and /portForward of the kubelet's server: which tunnel a request gets.

Source: pkg/kubelet/server/server.go; k8s.io/cri-streaming pkg/streaming.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from tiphys.api.errors import BadRequest
from tiphys.base.hangup import ended_with
from tiphys.base.spdy.connection import Connection, TcpWire
from tiphys.kubelet.streaming import inside, v5
from tiphys.kubelet.streaming.runtime import SPDY, Refusal, shut, upgrade
from tiphys.kubelet.streaming.splice import Done, splice, take_over
from tiphys.kubelet.streaming.target import attach_url, exec_url, port_forward_url, worker_of

if TYPE_CHECKING:
    from tiphys.kubelet.kubelet import Kubelet

_log = logging.getLogger(__name__)
_FORWARDED = (
    "Upgrade", "Connection", "X-Stream-Protocol-Version", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
    "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Origin", "User-Agent",
)  # fmt: skip
_MESSAGE_BYTES_MAX = 32 << 20
_CLOSE_S = 5.0
_V4 = "v4.channel.k8s.io"


def add_routes(router: web.UrlDispatcher, kubelet: Kubelet) -> None:
    """Both methods: browsers can only GET. Upstream also has paths that pin the pod's uid."""
    endpoints = _Endpoints(kubelet)
    for name, handler in (("exec", endpoints.exec), ("attach", endpoints.attach)):
        for path in (
            f"/{name}/{{namespace}}/{{pod}}/{{container}}",
            f"/{name}/{{namespace}}/{{pod}}/{{uid}}/{{container}}",
        ):
            _add(router, path, handler)
    for path in ("/portForward/{namespace}/{pod}", "/portForward/{namespace}/{pod}/{uid}"):
        _add(router, path, endpoints.port_forward)


def _add(router: web.UrlDispatcher, path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
    router.add_get(path, handler, allow_head=False)
    router.add_post(path, handler)


class _Endpoints:
    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet

    async def exec(self, request: web.Request) -> web.StreamResponse:
        wanted = streams(request.query)
        where = request.match_info
        worker = worker_of(self._kubelet, where["namespace"], where["pod"], where.get("uid", ""))
        _require_upgrade(request)
        url = await exec_url(
            self._kubelet, worker, where["container"], request.query.getall("command", []),
            stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty,
        )  # fmt: skip
        return await self._command(request, url, wanted)

    async def attach(self, request: web.Request) -> web.StreamResponse:
        wanted = streams(request.query)
        where = request.match_info
        worker = worker_of(self._kubelet, where["namespace"], where["pod"], where.get("uid", ""))
        _require_upgrade(request)
        url = await attach_url(
            self._kubelet, worker, where["container"],
            stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty,
        )  # fmt: skip
        return await self._command(request, url, wanted)

    async def port_forward(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        spdy = inside.tunnelled(subprotocols(request)) if _is_websocket(request) else []
        wanted = [] if spdy else ports(request.query, required=_is_websocket(request))
        worker = worker_of(self._kubelet, where["namespace"], where["pod"], where.get("uid", ""))
        _require_upgrade(request)
        url = await port_forward_url(self._kubelet, worker, wanted)
        return await (_spdy_inside(request, url, spdy) if spdy else _raw(request, url))

    async def _command(self, request: web.Request, url: str, wanted: v5.Wanted) -> web.StreamResponse:
        if _is_websocket(request) and v5.PROTOCOL in subprotocols(request):
            return await _translated(request, url, wanted)
        return await _raw(request, url)


async def _raw(request: web.Request, url: str) -> web.StreamResponse:
    """What the runtime speaks itself."""
    headers = [(name, value) for name in _FORWARDED for value in request.headers.getall(name, ())]
    try:
        runtime = await upgrade(url, request.method, headers)
    except Refusal as refusal:
        return _refused(refusal)
    try:
        client = take_over(request)
    except OSError:
        await shut(runtime.writer)
        return Done()
    await splice(client, runtime)
    return Done()


async def _translated(request: web.Request, url: str, wanted: v5.Wanted) -> web.StreamResponse:
    try:
        runtime = await upgrade(url, "POST", _spdy_headers([_V4]))
    except Refusal as refusal:
        return _refused(refusal)
    try:
        async with _Socket(request, v5.PROTOCOL) as socket, ended_with(request.transport):
            await v5.translate(socket, Connection(TcpWire(runtime.reader, runtime.writer)), wanted)
        return socket.response
    finally:
        await shut(runtime.writer)


async def _spdy_inside(request: web.Request, url: str, protocols: Sequence[str]) -> web.StreamResponse:
    try:
        runtime = await upgrade(url, "POST", _spdy_headers(protocols))
    except Refusal as refusal:
        return _refused(refusal)
    try:
        chosen = inside.PREFIX + runtime.headers.get("X-Stream-Protocol-Version", protocols[0]).strip()
        async with _Socket(request, chosen) as socket, ended_with(request.transport):
            await inside.unwrap(socket, runtime)
        return socket.response
    finally:
        await shut(runtime.writer)


class _Socket:
    """aiohttp's WebSocket as `Messages`; closed in good order at the end of the block."""

    def __init__(self, request: web.Request, protocol: str) -> None:
        self._request = request
        self.response = web.WebSocketResponse(
            protocols=(protocol,), compress=False, max_msg_size=_MESSAGE_BYTES_MAX, timeout=_CLOSE_S
        )

    async def __aenter__(self) -> _Socket:
        await self.response.prepare(self._request)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        gone = error is not None and _is_loss(error)
        if gone:
            _log.debug("a tunnel ended: %s", error)
        await self.response.close()
        return gone

    async def receive(self) -> bytes | None:
        while True:
            message = await self.response.receive()
            if message.type is WSMsgType.BINARY:
                data: bytes = message.data
                return data
            if message.type is WSMsgType.TEXT:
                return str(message.data).encode()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return None

    async def send(self, data: bytes) -> None:
        await self.response.send_bytes(data)


def _is_loss(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_loss(inner) for inner in error.exceptions)
    return isinstance(error, OSError)


def streams(query: Any) -> v5.Wanted:
    """From the query's flags. Raises BadRequest. A terminal has no stderr of its own."""
    tty = query.get("tty") == "1"
    wanted = v5.Wanted(
        stdin=query.get("input") == "1",
        stdout=query.get("output") == "1",
        stderr=query.get("error") == "1" and not tty,
        tty=tty,
    )
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return wanted


def ports(query: Any, *, required: bool) -> list[int]:
    """From `port=80&port=81,82`. Raises BadRequest. SPDY names ports per stream and needs none."""
    texts = [text for value in query.getall("port", []) for text in value.split(",")]
    if required and not texts:
        raise BadRequest('query parameter "port" is required')
    for text in texts:
        if not text.isascii() or not text.isdigit():
            raise BadRequest(f'unable to parse "{text}" as a port')
        if not 0 < int(text) < 65536:
            raise BadRequest(f'port "{text}" must be > 0')
    return [int(text) for text in texts]


def subprotocols(request: web.Request) -> list[str]:
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ()))
    return [protocol.strip() for protocol in offered.split(",") if protocol.strip()]


def _is_websocket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _require_upgrade(request: web.Request) -> None:
    if "upgrade" not in request.headers.get("Connection", "").lower() or "Upgrade" not in request.headers:
        raise BadRequest("Upgrade request required")


def _spdy_headers(protocols: Sequence[str]) -> list[tuple[str, str]]:
    return [("Connection", "Upgrade"), ("Upgrade", SPDY), *(("X-Stream-Protocol-Version", p) for p in protocols)]


def _refused(refusal: Refusal) -> web.Response:
    return web.Response(status=refusal.status, text=refusal.text)
