"""WebSocket v5.channel.k8s.io translated to SPDY v4.channel.k8s.io, which runtimes speak.

Each message is a channel's number and bytes; 255 and a number half-closes that channel, which older WebSocket
protocols cannot say. The process's end comes as a Status on the error stream and is passed on when all output is out.

Source: staging/src/k8s.io/apiserver/pkg/util/proxy/streamtranslator.go, websocket.go; client-go tools/remotecommand.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Protocol

import msgspec

from tiphys.base.spdy.connection import Connection, Stream

PROTOCOL = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
IDLE_S = 4 * 3600.0
_STATUS_BYTES_MAX = 64 * 1024


class Messages(Protocol):
    """A WebSocket."""

    async def receive(self) -> bytes | None:
        """The next message; None when the client has gone. Raises ConnectionError."""

    async def send(self, data: bytes) -> None:
        """Returns when there is room for more. Raises ConnectionError."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The streams that the client asked for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class ClientGone(Exception):
    """The client left, or kept silent for too long, before the command ended."""


async def translate(socket: Messages, connection: Connection, wanted: Wanted, idle_s: float = IDLE_S) -> None:
    """Returns when the command has ended and the client was told how, or when the client is gone.

    Raises ConnectionError inside an ExceptionGroup when the client's connection breaks. Closes `connection`.
    """
    # Tells the client that it is connected; the lowest channel that is written.
    await socket.send(bytes([STDOUT if wanted.stdout else STDERR if wanted.stderr else ERROR]))
    try:
        async with asyncio.timeout(idle_s) as idle, asyncio.TaskGroup() as group:
            pump = group.create_task(_pump(connection))
            session = await _Session.open(socket, connection, wanted, idle, idle_s)
            reading = group.create_task(session.input())
            await session.output()
            reading.cancel()
            connection.close()
            pump.cancel()
    except* (ClientGone, TimeoutError):
        pass
    finally:
        connection.close()


async def _pump(connection: Connection) -> None:
    # The streams end with the connection, and `output` sees that no Status came.
    with contextlib.suppress(ConnectionError):
        await connection.run()


class _Session:
    """The open streams of one command."""

    def __init__(self, socket: Messages, connection: Connection, idle: asyncio.Timeout, idle_s: float) -> None:
        self._socket, self._connection = socket, connection
        self._idle, self._idle_s = idle, idle_s
        self._inputs: dict[int, Stream] = {}
        self._outputs: dict[int, Stream] = {}
        self._error: Stream

    @classmethod
    async def open(
        cls, socket: Messages, connection: Connection, wanted: Wanted, idle: asyncio.Timeout, idle_s: float
    ) -> _Session:
        """In upstream's order, error first: the runtime begins when it has them all."""
        session = cls(socket, connection, idle, idle_s)
        session._error = await connection.open({"streamType": "error"})
        if wanted.stdin:
            session._inputs[STDIN] = await connection.open({"streamType": "stdin"})
        if wanted.stdout:
            session._outputs[STDOUT] = await connection.open({"streamType": "stdout"})
        if wanted.stderr and not wanted.tty:
            session._outputs[STDERR] = await connection.open({"streamType": "stderr"})
        if wanted.tty:
            session._inputs[RESIZE] = await connection.open({"streamType": "resize"})
        return session

    async def input(self) -> None:
        """What the client sends, until it is gone: that raises ClientGone."""
        while (message := await self._socket.receive()) is not None:
            self._busy()
            if not message:
                continue
            channel = message[0]
            if channel == CLOSE:
                if len(message) != 2:
                    raise ClientGone
                if (closing := self._inputs.get(message[1])) is not None:
                    await self._write(closing, None)
            elif (stream := self._inputs.get(channel)) is not None:
                await self._write(stream, message[1:])
        raise ClientGone

    async def output(self) -> None:
        """What the process writes, to its end, and then how it ended."""
        async with asyncio.TaskGroup() as group:
            for channel, stream in self._outputs.items():
                group.create_task(self._copy(channel, stream))
            status = group.create_task(self._status())
        await self._socket.send(bytes([ERROR]) + status.result())

    async def _write(self, stream: Stream, data: bytes | None) -> None:
        try:
            await (stream.finish() if data is None else stream.write(data))
        except ConnectionError:
            # The runtime has ended the connection: what it said last is on its way to the client.
            await asyncio.Event().wait()

    async def _copy(self, channel: int, stream: Stream) -> None:
        head = bytes([channel])
        while data := await stream.read():
            self._busy()
            await self._socket.send(head + data)

    async def _status(self) -> bytes:
        text = b""
        while data := await self._error.read():
            text += data
            if len(text) > _STATUS_BYTES_MAX:
                return _failure("the runtime's answer on how the command ended is too long")
        return text or _failure("the runtime ended the connection before the command did")

    def _busy(self) -> None:
        self._idle.reschedule(asyncio.get_running_loop().time() + self._idle_s)


def _failure(message: str) -> bytes:
    text = f"Internal error occurred: {message}"
    status = {"metadata": {}, "status": "Failure", "message": text, "reason": "InternalError", "code": 500}
    return msgspec.json.encode({**status, "details": {"causes": [{"message": message}]}})
