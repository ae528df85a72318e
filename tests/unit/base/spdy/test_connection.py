from __future__ import annotations

import asyncio

import pytest

from tiphys.base.spdy.connection import STREAM_BUFFER_BYTES, Connection
from tiphys.base.spdy.frames import Data, Decoder, Encoder, Frame, GoAway, Ping, Reset, SynReply, SynStream


class Peer:
    """The other end of the wire, played by the test."""

    def __init__(self) -> None:
        self.encoder, self.decoder = Encoder(), Decoder()
        self.to_client: asyncio.Queue[bytes] = asyncio.Queue()
        self.got: list[Frame] = []
        self.wire_closed = False

    async def read(self) -> bytes:
        return await self.to_client.get()

    async def write(self, data: bytes) -> None:
        self.got += self.decoder.feed(data)

    def close(self) -> None:
        self.wire_closed = True

    def say(self, *frames: Frame) -> None:
        for frame in frames:
            self.to_client.put_nowait(self.encoder.encode(frame))

    def hang_up(self) -> None:
        self.to_client.put_nowait(b"")


async def _everything(stream: object) -> bytes:
    data = b""
    while piece := await stream.read():  # type: ignore[attr-defined] # a Stream, seen from outside
        data += piece
    return data


async def test_streams_are_numbered_named_and_half_closed() -> None:
    peer = Peer()
    connection = Connection(peer)
    first = await connection.open({"streamType": "error"})
    second = await connection.open({"streamType": "data"}, finished=True)
    await first.write(b"abc")
    await first.finish()
    await first.write(b"dropped")
    assert (first.number, second.number) == (1, 3)
    assert peer.got == [
        SynStream(1, {"streamtype": "error"}),
        SynStream(3, {"streamtype": "data"}, fin=True),
        Data(1, b"abc"),
        Data(1, b"", fin=True),
    ]


async def test_data_goes_to_its_stream_and_the_end_is_seen() -> None:
    peer = Peer()
    connection = Connection(peer)
    first, second = await connection.open({}), await connection.open({})
    peer.say(SynReply(1), SynReply(3), Data(3, b"b"), Data(1, b"a"), Data(1, b"A", fin=True), GoAway(3))
    peer.say(Data(3, b"B", fin=True))
    peer.hang_up()
    await connection.run()
    assert (await _everything(first), await _everything(second)) == (b"aA", b"bB")
    assert connection.closed
    assert peer.wire_closed


async def test_only_the_servers_pings_are_answered() -> None:
    peer = Peer()
    connection = Connection(peer)
    peer.say(Ping(2), Ping(1))
    peer.hang_up()
    await connection.run()
    assert peer.got == [Ping(2)]


async def test_a_reset_ends_both_directions() -> None:
    peer = Peer()
    connection = Connection(peer)
    stream = await connection.open({})
    peer.say(Reset(1, 5))
    peer.hang_up()
    await connection.run()
    assert await stream.read() == b""
    assert stream.reset
    assert stream.finished


async def test_a_wire_that_ends_ends_the_streams() -> None:
    peer = Peer()
    connection = Connection(peer)
    stream = await connection.open({})
    peer.hang_up()
    await connection.run()
    assert await stream.read() == b""
    with pytest.raises(ConnectionResetError):
        await connection.open({})


async def test_a_stream_that_is_not_read_stops_the_wire_being_read() -> None:
    peer = Peer()
    connection = Connection(peer)
    stream = await connection.open({})
    pieces = 3 * STREAM_BUFFER_BYTES // 65536
    peer.say(*[Data(1, b"x" * 65536)] * pieces, Data(1, b"", fin=True))
    running = asyncio.create_task(connection.run())
    for _ in range(100):
        await asyncio.sleep(0)
    assert peer.to_client.qsize() == pieces + 1 - STREAM_BUFFER_BYTES // 65536
    assert len(await _everything(stream)) == pieces * 65536
    peer.hang_up()
    await running


async def test_an_abandoned_stream_does_not_hold_up_the_others() -> None:
    peer = Peer()
    connection = Connection(peer)
    lost, kept = await connection.open({}), await connection.open({})
    peer.say(*[Data(1, b"x" * 65536)] * (STREAM_BUFFER_BYTES // 65536 + 2), Data(3, b"kept", fin=True))
    running = asyncio.create_task(connection.run())
    for _ in range(100):
        await asyncio.sleep(0)
    await lost.abandon()
    assert await _everything(kept) == b"kept"
    assert peer.got[-1] == Reset(1, 5)
    peer.hang_up()
    await running


async def test_a_server_accepts_streams_and_answers_its_clients_pings() -> None:
    peer, accepted = Peer(), []
    connection = Connection(peer, accepted.append)
    running = asyncio.ensure_future(connection.run())
    peer.say(SynStream(1, {"streamType": "data", "port": "80"}), Ping(1), Data(1, b"hello", fin=True))
    peer.hang_up()
    await running
    [stream] = accepted
    assert stream.headers == {"streamtype": "data", "port": "80"}
    assert await _everything(stream) == b"hello"
    assert [SynReply(1, {}), Ping(1)] == peer.got
