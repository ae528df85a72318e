"""Local ports whose connections travel to a pod: SPDY streams inside one WebSocket (SPDY/3.1+portforward.k8s.io).

Each connection is a pair of streams that name the pod's port: `data`, and `error` for what went wrong there.
Source: k8s.io/client-go tools/portforward (portforward.go, tunneling_dialer.go).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from tiphys.base.spdy.connection import Connection, Stream
from tiphys.kubectl.flags import UsageError
from tiphys.kubectl.session import Session
from tiphys.kubectl.streams import connected

_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_CHUNK = 32 * 1024
_ERROR_BYTES_MAX = 16 * 1024


@dataclass(frozen=True, slots=True)
class Pair:
    """A port here and one of the pod."""

    local: int
    """0: any that is free."""
    remote: int


def run(session: Session, path: str, addresses: Sequence[str], pairs: Sequence[Pair]) -> int:
    """Until interrupted (0) or the pod is lost (1). Raises ServerError, Unreachable, UsageError."""
    return asyncio.run(_run(session, path, addresses, pairs))


async def _run(session: Session, path: str, addresses: Sequence[str], pairs: Sequence[Pair]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with connected(session, path, {}, (_PROTOCOL,)) as socket:
        if socket.protocol != _PROTOCOL:
            raise UsageError(f"unable to negotiate protocol: the server does not speak {_PROTOCOL}")
        connection = Connection(_Wire(socket))
        forwarder = _Forwarder(connection)
        reading, stopping = asyncio.create_task(connection.run()), asyncio.create_task(stop.wait())
        try:
            await forwarder.listen(addresses, pairs)
            await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await forwarder.close()
            reading.cancel()
            stopping.cancel()
            await asyncio.gather(reading, stopping, return_exceptions=True)
    if stop.is_set():
        return 0
    print("error: lost connection to pod", file=sys.stderr)
    return 1


class _Wire:
    """Binary messages as the bytes of a connection. The socket is closed by who opened it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return b""
            if message.data:
                data: bytes = message.data
                return data

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    def close(self) -> None:
        return None


class _Forwarder:
    """Listeners, and the connections that came in."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._servers: list[asyncio.Server] = []
        self._running: set[asyncio.Task[None]] = set()
        self._next_request = 0

    async def listen(self, addresses: Sequence[str], pairs: Sequence[Pair]) -> None:
        """Raises UsageError where not one port is left."""
        for pair in pairs:
            local, errors = pair.local, []
            for address in addresses:
                for host in ("127.0.0.1", "::1") if address == "localhost" else (address,):
                    try:
                        local = await self._listen_on(host, local, pair.remote)
                    except OSError as error:
                        errors.append((address, f"unable to create listener: Error {error.strerror or error}"))
            named = [text for address, text in errors if address != "localhost"]
            if named or (errors and not local):
                texts = " ".join(text for _, text in errors)
                told = f"Listeners failed to create with the following errors: [{texts}]"
                print(f"Unable to listen on port {local}: {told}", file=sys.stderr)
        if not self._servers:
            wanted = " ".join(f"{{{pair.local} {pair.remote}}}" for pair in pairs)
            raise UsageError(f"unable to listen on any of the requested ports: [{wanted}]")

    async def _listen_on(self, host: str, local: int, remote: int) -> int:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._carry(reader, writer, port, remote))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        server = await asyncio.start_server(accept, host, local, limit=_CHUNK)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        print(f"Forwarding from {shown}:{port} -> {remote}", flush=True)
        return port

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._connection.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, local: int, remote: int) -> None:
        print(f"Handling connection for {local}", flush=True)
        headers = {"port": str(remote), "requestID": str(self._next_request)}
        self._next_request += 1
        try:
            error = await self._connection.open({"streamType": "error", **headers})
            await error.finish()
            data = await self._connection.open({"streamType": "data", **headers})
            try:
                async with asyncio.TaskGroup() as group:
                    up = group.create_task(_up(reader, data))
                    failed = group.create_task(_text(error))
                    await _down(data, writer)
                    up.cancel()
            finally:
                with contextlib.suppress(ConnectionError):
                    await data.abandon()
            if failed.result():
                print(f"an error occurred forwarding {local} -> {remote}: {failed.result()}", file=sys.stderr)
                if "connection refused" not in failed.result():
                    # Not merely nobody listening yet: the pod is gone, and with it all that we could forward to.
                    self._connection.close()
        except* OSError:
            pass  # either side has closed: that is how connections end
        finally:
            writer.close()


async def _up(reader: asyncio.StreamReader, data: Stream) -> None:
    while chunk := await reader.read(_CHUNK):
        await data.write(chunk)
    await data.finish()


async def _down(data: Stream, writer: asyncio.StreamWriter) -> None:
    while chunk := await data.read():
        writer.write(chunk)
        await writer.drain()


async def _text(error: Stream) -> str:
    text = b""
    while chunk := await error.read():
        text = (text + chunk)[:_ERROR_BYTES_MAX]
    return text.decode(errors="replace").strip()
