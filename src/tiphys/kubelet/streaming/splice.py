"""Taking a connection away from the HTTP server, and joining two connections byte by byte."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from tiphys.base.hangup import ended_with
from tiphys.kubelet.streaming.runtime import Upgraded, shut

_log = logging.getLogger(__name__)
_CHUNK = 64 * 1024
_READ_LIMIT = 256 * 1024


class Done(web.StreamResponse):
    """What aiohttp gets back once the tunnel has ended: there is nothing left to write."""

    def __init__(self) -> None:
        super().__init__(status=101)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class _Handover(asyncio.StreamReaderProtocol):
    """Feeds the tunnel. aiohttp's own protocol only hears of the end, so that it forgets the connection."""

    def __init__(self, reader: asyncio.StreamReader, former: asyncio.BaseProtocol) -> None:
        super().__init__(reader)
        self._former = former

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._former.connection_lost(exc)


@dataclass(frozen=True, slots=True)
class Client:
    """The client's connection, out of HTTP."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def take_over(request: web.Request) -> Client:
    """From now on the connection's bytes are ours. Raises ConnectionResetError when it is gone."""
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(_READ_LIMIT, loop)
    protocol = _Handover(reader, request.protocol)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    transport.resume_reading()
    return Client(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


async def splice(client: Client, runtime: Upgraded) -> None:
    """Both ways, until either side ends; then both are closed."""
    try:
        client.writer.write(runtime.head)
        async with ended_with(client.writer.transport), asyncio.TaskGroup() as group:
            up = group.create_task(_copy(client.reader, runtime.writer))
            down = group.create_task(_copy(runtime.reader, client.writer))
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            down.cancel()
    except* OSError as gone:
        _log.debug("a tunnel ended: %s", gone.exceptions[0])
    finally:
        await asyncio.gather(shut(client.writer), shut(runtime.writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
