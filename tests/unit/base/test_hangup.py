from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from tiphys.base.hangup import ended_with, reset

GENEROUS_S = 30.0


@contextlib.asynccontextmanager
async def joined() -> AsyncIterator[tuple[socket.socket, asyncio.StreamWriter]]:
    """A client's socket, and our end of its connection, which is not read from."""
    ours: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _, writer: ours.set_result(writer), "127.0.0.1", 0)
    client = socket.create_connection(server.sockets[0].getsockname())
    try:
        writer = await ours
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        yield client, writer
    finally:
        client.close()
        writer.transport.abort()
        server.close()


def left(client: socket.socket) -> None:
    client.close()


def left_in_mid_sentence(client: socket.socket) -> None:
    client.sendall(b"x" * 10_000)
    client.close()


def broke(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()


@pytest.mark.parametrize("leave", [left, left_in_mid_sentence, broke])
def test_who_waits_in_vain_is_cut_off(leave: Callable[[socket.socket], None]) -> None:
    async def work() -> None:
        async with asyncio.timeout(GENEROUS_S), joined() as (client, writer):
            leave(client)
            with pytest.raises(ConnectionResetError, match="the client is gone"):
                async with ended_with(writer.transport, grace_s=0.0):
                    await asyncio.Event().wait()

    asyncio.run(work())


def test_what_ends_in_time_is_not_disturbed() -> None:
    async def work() -> None:
        async with asyncio.timeout(GENEROUS_S), joined() as (client, writer):
            client.close()
            async with ended_with(writer.transport, grace_s=GENEROUS_S):
                await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                async with ended_with(writer.transport, grace_s=GENEROUS_S):
                    raise TimeoutError
            async with ended_with(None):
                pass

    asyncio.run(work())


def test_a_reset_reaches_who_does_not_read() -> None:
    async def work() -> None:
        async with asyncio.timeout(GENEROUS_S), joined() as (client, writer):
            writer.write(b"x" * 50_000_000)
            reset(writer.transport)
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(_read_all, client)

    asyncio.run(work())


def _read_all(client: socket.socket) -> None:
    while client.recv(1 << 20):
        pass
