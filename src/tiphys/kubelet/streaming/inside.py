"""SPDY inside a WebSocket: `SPDY/3.1+portforward.k8s.io`. Binary messages are the bytes of one SPDY connection.

Source: staging/src/k8s.io/apiserver/pkg/util/proxy/streamtunnel.go; client-go tools/portforward.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tiphys.kubelet.streaming.runtime import Upgraded
from tiphys.kubelet.streaming.v5 import IDLE_S, ClientGone, Messages

PREFIX = "SPDY/3.1+"
_SUFFIX = ".k8s.io"
_CHUNK = 32 * 1024


def tunnelled(protocols: Iterable[str]) -> list[str]:
    """The SPDY protocols that WebSocket subprotocols offer, in order."""
    return [p.removeprefix(PREFIX) for p in protocols if p.startswith(PREFIX) and p.endswith(_SUFFIX)]


async def unwrap(socket: Messages, runtime: Upgraded, idle_s: float = IDLE_S) -> None:
    """Until either side ends. The caller closes both. Raises ConnectionError inside an ExceptionGroup."""
    try:
        async with asyncio.timeout(idle_s) as idle, asyncio.TaskGroup() as group:
            up = group.create_task(_up(socket, runtime, idle, idle_s))
            while data := await runtime.reader.read(_CHUNK):
                idle.reschedule(asyncio.get_running_loop().time() + idle_s)
                await socket.send(data)
            up.cancel()
    except* (ClientGone, TimeoutError):
        pass


async def _up(socket: Messages, runtime: Upgraded, idle: asyncio.Timeout, idle_s: float) -> None:
    while (data := await socket.receive()) is not None:
        idle.reschedule(asyncio.get_running_loop().time() + idle_s)
        runtime.writer.write(data)
        await runtime.writer.drain()
    raise ClientGone
