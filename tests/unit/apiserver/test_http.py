"""The wire: what a client sends byte by byte, and what it gets back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tiphys.api.errors import ApiError
from tiphys.apiserver.chain.exchange import PIECE_BYTES, Answer, Duplex, Exchange, Joined, Reply, Stream, Takeover
from tiphys.apiserver.http import HttpServer

LIMIT = 100
LATE: list[asyncio.Event] = []
PARTS = [b"%d" % number * (number % 50 + 1) for number in range(100_000)]
LARGE = b",".join(PARTS)


async def answer(exchange: Exchange) -> Reply:
    if exchange.path == "/stream":
        return Stream(batches(exchange))
    if exchange.path == "/feed":
        return Stream(FEEDS[-1], close=FEEDS[-1].finish)
    if exchange.path == "/tunnel":
        return Takeover(echo)
    if exchange.path == "/large":
        return Answer(LARGE)
    if exchange.path == "/joined":
        return Answer(Joined(PARTS))
    if exchange.path == "/unread":
        return Answer(b"no", 403)
    if exchange.path == "/late":
        await LATE[-1].wait()
        return Answer(b"%d" % len(await exchange.body(10_000_000)))
    try:
        body = await exchange.body(LIMIT)
    except ApiError as error:
        return Answer(error.message.encode(), error.code)
    return Answer(f"{exchange.method} {exchange.path}?{exchange.raw_query} {body.decode()}".encode())


class Events:
    """A feed that the test fills."""

    def __init__(self) -> None:
        self.ready: Callable[[], None] = lambda: None
        self.waiting: list[bytes] = []
        self.closed = False
        self.finished = 0

    @property
    def ended(self) -> bool:
        return self.closed and not self.waiting

    def put(self, *events: bytes) -> None:
        self.waiting += events
        self.ready()

    def take(self) -> list[bytes]:
        taken, self.waiting = self.waiting, []
        return taken

    def close(self) -> None:
        self.closed = True
        self.ready()

    def __aiter__(self) -> AsyncIterator[list[bytes]]:
        raise AssertionError("feeds are taken from")

    def finish(self) -> None:
        self.finished += 1


FEEDS: list[Events] = []


async def batches(_exchange: Exchange) -> AsyncIterator[list[bytes]]:
    yield [b"one", b"two"]
    yield [b"three"]


async def echo(client: Duplex) -> None:
    while data := await client.read():
        await client.write(data.upper())


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[HttpServer, asyncio.StreamReader, asyncio.StreamWriter]]:
    http = HttpServer(answer, max_connections=1, audit_ids=lambda: "an-id")
    listener = await asyncio.get_running_loop().create_server(http, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    try:
        yield http, reader, writer
    finally:
        writer.close()
        listener.close()
        await http.shutdown(5.0)


async def one(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    return head[0], headers, await reader.readexactly(int(headers.get("content-length", 0)))


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with connected() as (_, reader, writer):
        writer.write(
            b"GET /a%20b?x=%20 HTTP/1.1\r\nHost: h\r\n\r\n"
            b"POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
            b"GET /d HTTP/1.1\r\nHost: h\r\n\r\n"
        )
        assert [(await one(reader))[2] for _ in range(3)] == [b"GET /a b?x=%20 ", b"POST /c? hi", b"GET /d? "]


async def test_large_bodies_arrive_whole_however_they_are_held() -> None:
    async with connected() as (_, reader, writer):
        for path in (b"/large", b"/joined", b"/small"):
            writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await one(reader))[2] == LARGE
        assert (await one(reader))[2] == LARGE
        assert (await one(reader))[2] == b"GET /small? "


async def test_a_large_body_that_is_there_before_it_is_read_does_not_deafen_the_connection() -> None:
    body = b"x" * 2_000_000
    LATE.append(arrived := asyncio.Event())
    async with connected() as (http, reader, writer):
        writer.write(b"POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body))
        await until(lambda: any(connection.busy for connection in http.connections))
        (connection,) = http.connections
        connection.data_received(body)
        arrived.set()
        assert (await one(reader))[2] == b"2000000"
        writer.write(b"GET /after HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(10.0):
            assert (await one(reader))[2] == b"GET /after? "


async def test_a_client_that_goes_away_ends_a_large_answer() -> None:
    async with connected() as (http, reader, writer):
        writer.write(b"GET /joined HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readexactly(1000)
        writer.transport.abort()
        await until(lambda: not http.connections)


async def test_a_feed_is_sent_as_it_comes_and_the_connection_goes_on() -> None:
    async with connected() as (_, reader, writer):
        FEEDS.append(events := Events())
        events.put(b"first,")
        writer.write(b"GET /feed HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readuntil(b",\r\n") == b"6\r\nfirst,\r\n"
        events.put(b"a")
        events.put(b"bcd", b"efghijkl,")
        # What came in one turn goes out as one chunk.
        assert await reader.readuntil(b",\r\n") == b"d\r\nabcdefghijkl,\r\n"
        events.put(b"last,")
        events.close()
        assert await reader.readuntil(b"\r\n0\r\n\r\n") == b"5\r\nlast,\r\n0\r\n\r\n"
        writer.write(b"GET /after HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await one(reader))[2] == b"GET /after? "
        assert events.finished == 1


async def test_a_feed_waits_while_the_client_does_not_read() -> None:
    async with connected() as (http, reader, writer):
        FEEDS.append(events := Events())
        writer.write(b"GET /feed HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        (connection,) = http.connections
        connection.pause_writing()
        events.put(b"one")
        await asyncio.sleep(0)
        events.put(b"two")
        await asyncio.sleep(0)
        assert events.waiting == [b"one", b"two"]
        connection.resume_writing()
        assert await reader.readuntil(b"two\r\n") == b"6\r\nonetwo\r\n"
        writer.transport.abort()
        await until(lambda: events.finished == 1)
        assert not http.connections


async def test_a_feed_ends_when_the_server_stops() -> None:
    async with connected() as (http, reader, writer):
        FEEDS.append(events := Events())
        events.put(b"one")
        writer.write(b"GET /feed HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"one\r\n")
        http.begin_stopping()
        assert await reader.read() == b"0\r\n\r\n"
        assert events.finished == 1


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if not condition():
            await asyncio.sleep(0)
    assert condition()


def test_joined_bodies_are_their_parts_and_commas() -> None:
    for parts in ([b""], [b"one"], [b"", b""], PARTS[:3], PARTS, [b"x" * PIECE_BYTES * 3, b"y"]):
        joined = Joined(parts)
        assert b"".join(joined) == b",".join(parts)
        assert len(joined) == len(b",".join(parts))


async def test_a_request_may_come_in_single_bytes() -> None:
    async with connected() as (_, reader, writer):
        for byte in b"POST /slow HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n":
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await one(reader))[2] == b"POST /slow? hi"


async def test_absolute_targets_and_old_clients() -> None:
    async with connected() as (_, reader, writer):
        writer.write(b"GET http://host:1/a HTTP/1.0\r\n\r\n")
        status, headers, body = await one(reader)
        assert (status, headers["connection"], body) == ("HTTP/1.1 200 OK", "close", b"GET /a? ")
        assert await reader.read() == b""


async def test_head_has_no_body() -> None:
    async with connected() as (_, reader, writer):
        writer.write(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 9\r\n" in head
        assert (await one(reader))[2] == b"GET /b? "


@pytest.mark.parametrize("framing", [b"Content-Length: 101\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n65\r\n"])
async def test_a_body_that_is_too_large_is_refused(framing: bytes) -> None:
    async with connected() as (_, reader, writer):
        writer.write(b"POST /a HTTP/1.1\r\nHost: h\r\n" + framing + b"x" * 101)
        status, headers, _ = await one(reader)
        assert status == "HTTP/1.1 413 Request Entity Too Large"
        if b"chunked" in framing:
            assert headers["connection"] == "close"


async def test_a_client_that_waits_for_permission_gets_it_only_when_its_body_is_read() -> None:
    async with connected() as (_, reader, writer):
        writer.write(b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"hi")
        assert (await one(reader))[2] == b"POST /a? hi"
        writer.write(b"POST /unread HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await one(reader))[0] == "HTTP/1.1 403 Forbidden"
        assert await reader.read() == b""


async def test_a_body_that_breaks_off_answers_nobody() -> None:
    async with connected() as (http, _, writer):
        writer.write(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhi")
        await writer.drain()
        writer.close()
        await http._empty.wait()


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"\x16\x03\x01\x02", b"400 Bad Request"), (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"b" * 70_000, b"431 ")],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(sent: bytes, status: bytes) -> None:
    async with connected() as (_, reader, writer):
        writer.write(sent)
        assert (await reader.read()).startswith(b"HTTP/1.1 " + status)


async def test_a_stream_is_sent_batch_by_batch() -> None:
    async with connected() as (_, reader, writer):
        writer.write(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"Transfer-Encoding: chunked\r\n" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readuntil(b"0\r\n\r\n") == b"6\r\nonetwo\r\n5\r\nthree\r\n0\r\n\r\n"
        assert (await one(reader))[2] == b"GET /next? "


async def test_after_an_upgrade_every_byte_is_the_tunnels() -> None:
    async with connected() as (_, reader, writer):
        writer.write(b"GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfirst")
        assert await reader.readexactly(5) == b"FIRST"
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.readexactly(18) == b"GET / HTTP/1.1\r\n\r\n"


async def test_a_refused_upgrade_ends_the_connection() -> None:
    async with connected() as (_, reader, writer):
        writer.write(b"GET /unread HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        assert (await one(reader))[1]["connection"] == "close"
        assert await reader.read() == b""


async def test_more_connections_than_allowed_are_cut() -> None:
    async with connected() as (_, reader, writer):
        writer.write(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
        await one(reader)
        second, other = await asyncio.open_connection(*writer.get_extra_info("peername"))
        with contextlib.suppress(ConnectionResetError):
            assert await second.read() == b""
        other.close()


async def test_a_repeated_header_is_kept() -> None:
    seen: list[list[str]] = []

    async def look(exchange: Exchange) -> Reply:
        seen.append(exchange.all_values("impersonate-group"))
        return Answer(exchange.headers["IMPERSONATE-GROUP"].encode())

    async with connected() as (http, reader, writer):
        http.serve = look
        writer.write(b"GET /a HTTP/1.1\r\nHost: h\r\nImpersonate-Group: a\r\nimpersonate-group: b\r\n\r\n")
        assert (await one(reader))[2] == b"a"
        assert seen == [["a", "b"]]
