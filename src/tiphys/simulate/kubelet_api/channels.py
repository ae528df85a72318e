"""How commands and ports travel: the streams of a SPDY connection, or the numbered channels of a WebSocket.

Source: k8s.io/cri-streaming pkg/streaming; k8s.io/apimachinery pkg/util/{httpstream,portforward,remotecommand}.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from tiphys.base.spdy.connection import Connection, Stream
from tiphys.base.websocket import VERSION, accepted
from tiphys.simulate.kubelet_api.http import Request

if TYPE_CHECKING:
    from wsproto.events import Event

COMMAND_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
PORT_PROTOCOL = "portforward.k8s.io"
PORT_CHANNELS = "v4.channel.k8s.io"
TUNNELLED = "SPDY/3.1+"
"""Before the name of a SPDY protocol that runs inside a WebSocket."""
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_MESSAGE_BYTES_MAX = 32 << 20
_CHUNK = 64 * 1024
_STREAMS_S = 30.0


class Refused(Exception):
    """The upgrade is none that we know. Holds the sentence."""


class Command(Protocol):
    """The streams of a command, as its program sees them."""

    async def stdin(self) -> bytes:
        """What came; empty at the end, or where the client gave no stdin."""

    async def write(self, channel: int, data: bytes) -> None:
        """To STDOUT or STDERR; dropped where the client did not ask for it. Raises OSError."""

    async def end(self, status: bytes) -> None:
        """Say how the command ended, as a Status. Raises OSError."""


class Port(Protocol):
    """One forwarded connection, or as many as the client tells apart."""

    number: int

    async def read(self) -> bytes:
        """Empty at the end."""

    async def write(self, data: bytes) -> None: ...

    async def finish(self, error: str = "") -> None:
        """Nothing more will be written; `error` says why nothing was."""


class WebSocket:
    """The server's end, after the handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from wsproto.connection import Connection as Framing
        from wsproto.connection import ConnectionType

        self._reader, self._writer = reader, writer
        self._framing = Framing(ConnectionType.SERVER)
        self._parts = bytearray()

    async def receive(self) -> bytes | None:
        """The next message; None when the client has gone. Raises OSError."""
        from wsproto.utilities import RemoteProtocolError

        while True:
            for event in self._framing.events():
                message = await self._taken(event)
                if message is not None:
                    return message or None
            data = await self._reader.read(_CHUNK)
            if not data:
                return None
            try:
                self._framing.receive_data(data)
            except RemoteProtocolError as error:
                raise ConnectionError(str(error)) from error

    async def _taken(self, event: Event) -> bytes | None:
        """A whole message; empty at the end; None for anything else."""
        from wsproto.events import CloseConnection, Message, Ping

        if isinstance(event, Message):
            data = event.data
            self._parts += data.encode() if isinstance(data, str) else data
            if len(self._parts) > _MESSAGE_BYTES_MAX:
                raise ConnectionError("a message is too long")
            if event.message_finished:
                whole = bytes(self._parts)
                self._parts.clear()
                return whole or None
        elif isinstance(event, Ping):
            await self._write(self._framing.send(event.response()))
        elif isinstance(event, CloseConnection):
            with contextlib.suppress(OSError):
                await self._write(self._framing.send(event.response()))
            return b""
        return None

    async def send(self, data: bytes) -> None:
        """Raises OSError."""
        from wsproto.events import BytesMessage

        await self._write(self._framing.send(BytesMessage(data)))

    async def close(self) -> None:
        from wsproto.events import CloseConnection
        from wsproto.utilities import LocalProtocolError

        with contextlib.suppress(OSError, LocalProtocolError):
            await self._write(self._framing.send(CloseConnection(1000)))

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


class _Wire:
    """SPDY on the connection itself, or inside a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: WebSocket | None) -> None:
        self._reader, self._writer, self._socket = reader, writer, socket

    async def read(self) -> bytes:
        return await self._reader.read(_CHUNK) if self._socket is None else (await self._socket.receive() or b"")

    async def write(self, data: bytes) -> None:
        if self._socket is not None:
            await self._socket.send(data)
            return
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


class Upgrading:
    """A request to leave HTTP, and its connection."""

    def __init__(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request, self._reader, self._writer = request, reader, writer

    def chosen(self, known: tuple[str, ...]) -> str:
        """The first of the client's protocols that is known. Raises Refused."""
        header = "sec-websocket-protocol" if self.request.websocket else "x-stream-protocol-version"
        asked = self.request.listed(header)
        found = next((each for each in asked if each in known), "")
        if not found:
            raise Refused(f"unable to upgrade: unable to negotiate protocol: client supports {asked}, server {known}")
        return found

    async def websocket(self, protocol: str) -> WebSocket:
        """Raises Refused, OSError."""
        key = self.request.header("sec-websocket-key")
        if not key or self.request.header("sec-websocket-version") != VERSION:
            raise Refused("not a WebSocket handshake")
        self._writer.write(accepted(key, protocol))
        await self._writer.drain()
        return WebSocket(self._reader, self._writer)

    @contextlib.asynccontextmanager
    async def spdy(self, protocol: str, socket: WebSocket | None = None) -> AsyncIterator[asyncio.Queue[Stream | None]]:
        """The streams that the client opens, None when it is gone. Raises OSError."""
        if socket is None:
            head = (
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                f"X-Stream-Protocol-Version: {protocol}\r\n\r\n"
            )
            self._writer.write(head.encode())
            await self._writer.drain()
        streams: asyncio.Queue[Stream | None] = asyncio.Queue()
        connection = Connection(_Wire(self._reader, self._writer, socket), streams.put_nowait)

        async def run() -> None:
            with contextlib.suppress(OSError):
                await connection.run()
            streams.put_nowait(None)

        running = asyncio.ensure_future(run())
        try:
            yield streams
        finally:
            connection.close()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


class SpdyCommand:
    """`streams` by their type."""

    def __init__(self, streams: dict[str, Stream]) -> None:
        self._streams = streams
        self._by_channel = {STDOUT: streams.get("stdout"), STDERR: streams.get("stderr")}

    @classmethod
    async def collected(cls, queue: asyncio.Queue[Stream | None], wanted: set[str]) -> SpdyCommand:
        """Once the client has opened all that it announced. Raises ConnectionError, TimeoutError."""
        found: dict[str, Stream] = {}
        async with asyncio.timeout(_STREAMS_S):
            while not wanted <= found.keys():
                stream = await queue.get()
                if stream is None:
                    raise ConnectionError("the client is gone")
                found[stream.headers.get("streamtype", "")] = stream
        return cls(found)

    async def stdin(self) -> bytes:
        stream = self._streams.get("stdin")
        return await stream.read() if stream is not None else b""

    async def write(self, channel: int, data: bytes) -> None:
        stream = self._by_channel[channel]
        if stream is not None:
            await stream.write(data)

    async def end(self, status: bytes) -> None:
        error = self._streams["error"]
        await error.write(status)
        for stream in (*self._streams.values(),):
            await stream.finish()


class SocketCommand:
    """Each message begins with its channel's number. Version 5 can also close stdin."""

    def __init__(self, socket: WebSocket, wanted: set[str]) -> None:
        self._socket = socket
        self._open = {"stdin" in wanted and STDIN, "stdout" in wanted and STDOUT, "stderr" in wanted and STDERR}
        self._reads = "stdin" in wanted

    async def stdin(self) -> bytes:
        while self._reads and (message := await self._socket.receive()) is not None:
            if message[0] == STDIN and len(message) > 1:
                return message[1:]
            if message[0] == CLOSE and message[1:] == bytes([STDIN]):
                break
        self._reads = False
        return b""

    async def write(self, channel: int, data: bytes) -> None:
        if channel in self._open:
            await self._socket.send(bytes([channel]) + data)

    async def end(self, status: bytes) -> None:
        await self._socket.send(bytes([ERROR]) + status)
        await self._socket.close()


class SpdyPort:
    def __init__(self, data: Stream, error: Stream) -> None:
        self.number = int(data.headers.get("port", "0") or 0)
        self._data, self._error = data, error

    async def read(self) -> bytes:
        return await self._data.read()

    async def write(self, data: bytes) -> None:
        await self._data.write(data)

    async def finish(self, error: str = "") -> None:
        if error:
            await self._error.write(error.encode())
        await self._error.finish()
        await self._data.finish()


class SocketPort:
    """Two channels of a WebSocket: data, and what went wrong."""

    def __init__(self, socket: WebSocket, index: int, number: int) -> None:
        self.number = number
        self.came: asyncio.Queue[bytes] = asyncio.Queue(64)
        self._socket, self._index = socket, index

    async def read(self) -> bytes:
        return await self.came.get()

    async def write(self, data: bytes) -> None:
        await self._socket.send(bytes([2 * self._index]) + data)

    async def finish(self, error: str = "") -> None:
        if error:
            await self._socket.send(bytes([2 * self._index + 1]) + error.encode())
