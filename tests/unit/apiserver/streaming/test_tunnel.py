"""The join of two connections: when it begins, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tiphys.apiserver.chain.exchange import Answer, Reply, Takeover
from tiphys.apiserver.streaming.kubelet import Unreachable, dial_error
from tiphys.apiserver.streaming.tunnel import tunnel

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"GET /exec HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class Client:
    """A `Duplex`."""

    def __init__(self, *sent: bytes) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        for piece in sent:
            self.sent.put_nowait(piece)
        self.got = b""

    async def read(self) -> bytes:
        return await self.sent.get()

    async def write(self, data: bytes) -> None:
        self.got += data

    def close(self) -> None: ...


@pytest.fixture
async def dial() -> AsyncIterator[Callable[[Script], Awaitable[Reply]]]:
    servers = []

    async def dialled(script: Script) -> Reply:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readuntil(b"\r\n\r\n") == HEAD
            await script(reader, writer)
            writer.close()

        server = await asyncio.start_server(play, "127.0.0.1", 0)
        servers.append(server)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        return await tunnel(reader, writer, HEAD)

    yield dialled
    for server in servers:
        server.close()


async def test_bytes_pass_both_ways_once_the_backend_agreed(dial: Callable[[Script], Awaitable[Reply]]) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(AGREED + b"early")
        writer.write(await reader.readexactly(300_000))
        await writer.drain()

    reply = await dial(echo)
    assert isinstance(reply, Takeover)
    client = Client(b"a" * 100_000, b"b" * 200_000)
    await asyncio.wait_for(reply.run(client), 5)
    assert client.got == AGREED + b"early" + b"a" * 100_000 + b"b" * 200_000


async def test_a_client_that_leaves_closes_the_backend(dial: Callable[[Script], Awaitable[Reply]]) -> None:
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(AGREED)
        assert await reader.read() == b"last words"
        ended.set()

    reply = await dial(wait)
    assert isinstance(reply, Takeover)
    await asyncio.wait_for(reply.run(Client(b"last words", b"")), 5)
    await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\ngone",
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"4\r\ngone\r\n0\r\n\r\n",
    ],
    ids=["length", "chunks"],
)
async def test_a_refusal_is_an_answer_and_the_connection_is_not_the_clients(
    dial: Callable[[Script], Awaitable[Reply]], answer: bytes
) -> None:
    rest: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        rest.set_result(await reader.read())

    reply = await dial(refuse)
    assert isinstance(reply, Answer)
    assert (reply.status, reply.body, reply.content_type) == (404, b"gone", "text/plain")
    assert await asyncio.wait_for(rest, 5) == b""


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "invalid upgrade response: status code 200"),
        (b"SSH-2.0-x\r\n\r\n", "error dialing backend: malformed HTTP response"),
        (b"", "error dialing backend: unexpected EOF"),
    ],
)
async def test_an_answer_that_makes_no_sense(
    dial: Callable[[Script], Awaitable[Reply]], answer: bytes, message: str
) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    with pytest.raises(Unreachable) as refused:
        await dial(speak)
    assert (refused.value.message, refused.value.reason, refused.value.code) == (message, "", 500)


def test_an_unreachable_kubelet_reads_as_upstream() -> None:
    error = dial_error(ConnectionRefusedError(111, "Connect call failed"), "10.0.0.1:10250")
    assert error.message == "error dialing backend: dial tcp 10.0.0.1:10250: connect: connection refused"
