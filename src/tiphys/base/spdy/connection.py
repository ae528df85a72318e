"""One end of a SPDY connection: streams that are read, written and half-closed on their own.

Clients open streams; a server is given `accept`, which is called with each stream that its client opens.

Neither client-go nor the runtimes use SPDY's windows, so nobody may wait for a WINDOW_UPDATE: pressure comes from the
connection below. A stream that is not read holds at most `STREAM_BUFFER_BYTES`; then the whole connection is not read
until there is room, as with upstream's clients.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from tiphys.base.spdy.frames import Data, Decoder, Encoder, Frame, GoAway, Ping, Reset, SynReply, SynStream

STREAM_BUFFER_BYTES = 256 * 1024
_CHUNK = 64 * 1024
STREAMS_MAX = 1000
"""Open at once, of those that the client opens; more are refused."""
_REFUSED, _CANCEL = 3, 5


class Wire(Protocol):
    """What a SPDY connection runs on: a TCP connection, or a WebSocket that carries one."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises ConnectionError."""

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more. Raises ConnectionError."""

    def close(self) -> None: ...


class Stream:
    """Two byte streams, one each way. Made by `Connection.open`, or by the client whose server we are."""

    def __init__(self, connection: Connection, number: int, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self.number = number
        self.headers = headers
        """What it was opened with; names in lower case where the peer opened it."""
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._abandoned = False
        self.finished = False
        """Whether what we write has ended: by us, or by the peer's reset."""
        self.reset = False
        """Whether the peer ended both directions at once."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end, also when the connection ended (`Connection.closed` tells)."""
        while not self._chunks:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = self._chunks.popleft()
        self._size -= len(data)
        if self._size < STREAM_BUFFER_BYTES:
            self._room.set()
        return data

    async def write(self, data: bytes) -> None:
        """Returns when the wire has room. What comes after the end is dropped. Raises ConnectionError."""
        for start in range(0, len(data), _CHUNK):
            if self.finished:
                return
            await self._connection.send(Data(self.number, data[start : start + _CHUNK]))

    async def finish(self) -> None:
        """We write no more; reading goes on."""
        if not self.finished:
            self.finished = True
            await self._connection.send(Data(self.number, b"", fin=True))
            self._connection.forget_if_done(self)

    async def abandon(self) -> None:
        """Neither side shall go on. Data that still comes is dropped."""
        self._abandoned = True
        self._room.set()
        if not (self.finished and self._ended):
            self.finished = True
            self.end()
            await self._connection.send(Reset(self.number, _CANCEL))
            self._connection.forget_if_done(self)

    @property
    def done(self) -> bool:
        return self.finished and self._ended

    async def put(self, data: bytes) -> None:
        """From the connection. Waits while the stream is full."""
        if self._abandoned or self._ended or not data:
            return
        self._chunks.append(data)
        self._size += len(data)
        self._changed.set()
        if self._size >= STREAM_BUFFER_BYTES:
            self._room.clear()
            await self._room.wait()

    def end(self) -> None:
        """From the connection: the peer writes no more."""
        self._ended = True
        self._changed.set()
        self._room.set()


class Connection:
    """Streams over one wire. `run` must be running for anything to be read."""

    def __init__(self, wire: Wire, accept: Callable[[Stream], None] | None = None) -> None:
        self._wire = wire
        self._accept = accept
        self._encoder, self._decoder = Encoder(), Decoder()
        self._sending = asyncio.Lock()
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self.closed = False
        """Whether the wire has ended."""

    async def open(self, headers: Mapping[str, str], *, finished: bool = False) -> Stream:
        """A new stream; `finished`: we will only read it. Raises ConnectionError."""
        stream = Stream(self, self._next, headers)
        self._next += 2
        stream.finished = finished
        self._streams[stream.number] = stream
        await self.send(SynStream(stream.number, headers, fin=finished))
        return stream

    async def run(self) -> None:
        """Read until the wire ends, then end every stream. Raises ConnectionError (frames.ProtocolError too)."""
        try:
            while data := await self._wire.read():
                for frame in self._decoder.feed(data):
                    await self._received(frame)
        finally:
            self.close()

    async def send(self, frame: Frame) -> None:
        """Frames go out in the order in which they are encoded: the headers' compression depends on it."""
        async with self._sending:
            if self.closed:
                raise ConnectionResetError("the connection has ended")
            await self._wire.write(self._encoder.encode(frame))

    def close(self) -> None:
        self.closed = True
        for stream in self._streams.values():
            stream.finished = True
            stream.end()
        self._streams.clear()
        self._wire.close()

    def forget_if_done(self, stream: Stream) -> None:
        if stream.done:
            self._streams.pop(stream.number, None)

    async def _received(self, frame: Frame) -> None:
        match frame:
            case Data(number, data, fin):
                stream = self._streams.get(number)
                if stream is not None:
                    await stream.put(data)
                    self._end_if(stream, fin)
            case SynReply(number, _, fin):
                stream = self._streams.get(number)
                if stream is not None:
                    self._end_if(stream, fin)
            case Reset(number, _):
                stream = self._streams.pop(number, None)
                if stream is not None:
                    stream.reset = stream.finished = True
                    stream.end()
            case Ping(number) if number % 2 == (self._accept is not None):
                await self.send(Ping(number))
            case SynStream(number, headers, fin):
                await self._opened(number, headers, fin=fin)
            case GoAway():
                # Streams that are open still end in order, or with the wire.
                pass
            case _:
                pass

    async def _opened(self, number: int, headers: Mapping[str, str], *, fin: bool) -> None:
        """By the peer. Servers open none in these protocols: refused."""
        if self._accept is None or len(self._streams) >= STREAMS_MAX or number in self._streams:
            await self.send(Reset(number, _REFUSED))
            return
        stream = self._streams[number] = Stream(self, number, headers)
        await self.send(SynReply(number, {}))
        self._end_if(stream, fin)
        self._accept(stream)

    def _end_if(self, stream: Stream, fin: bool) -> None:
        if fin:
            stream.end()
            self.forget_if_done(stream)


class TcpWire:
    """A `Wire` of asyncio's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(_CHUNK)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()
