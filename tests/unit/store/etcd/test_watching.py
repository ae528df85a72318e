"""A watch over streams that fall silent: connections stay, and nothing comes any more."""

import asyncio
from typing import Any

import pytest

from tiphys.api import protobuf
from tiphys.store.etcd import messages as m
from tiphys.store.etcd import watching
from tiphys.store.etcd.address import EtcdAddress


class Stream:
    """Begins a watch; then `answers`, and progress whenever it is asked for, if it is `alive`."""

    def __init__(self, answers: list[m.WatchResponse], *, alive: bool) -> None:
        self._alive = alive
        self.asked = 0
        self.often_asked = asyncio.Event()
        self.began: m.WatchCreateRequest | None = None
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        for answer in (m.WatchResponse(created=True), *answers):
            self._queue.put_nowait(protobuf.encode(answer, proto3=True))

    async def write(self, data: bytes) -> None:
        request = protobuf.decode(m.WatchRequest, data)
        self.began = self.began or request.create
        if request.progress is not None:
            self.asked += 1
            if self.asked >= 30:
                self.often_asked.set()
            if self._alive:
                ahead = m.WatchResponse(header=m.ResponseHeader(revision=99), watch_id=-1)
                self._queue.put_nowait(protobuf.encode(ahead, proto3=True))

    async def read(self) -> bytes:
        return await self._queue.get()

    def cancel(self) -> None:
        """Nobody reads it any more."""

    def tell(self, revision: int) -> None:
        self._queue.put_nowait(protobuf.encode(put_at(revision), proto3=True))


class Members:
    address = EtcdAddress(("https://a:1", "https://b:1"))
    failure = ""

    def __init__(self, *streams: Stream) -> None:
        self.streams = list(streams)
        self.opened = 0

    def stream(self, _method: str) -> tuple[int, Any]:
        self.opened += 1
        return self.opened - 1, self.streams[self.opened - 1]

    async def check(self, _member: int, _timeout_s: float) -> None:
        """All are of one cluster."""

    def avoid(self, _member: int) -> None:
        """The next stream is another member's anyway."""


def put_at(revision: int) -> m.WatchResponse:
    kv = m.KeyValue(key=b"/a", create_revision=revision, mod_revision=revision, version=1)
    return m.WatchResponse(header=m.ResponseHeader(revision=revision), events=[m.Event(kv=kv)])


async def told(watch: watching.EtcdWatch, count: int) -> list[int]:
    found: list[int] = []
    async for batch in watch:
        found += [change.revision for change in batch]
        if len(found) >= count:
            watch.cancel()
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(watching, "_ASK_S", 0.02)
    monkeypatch.setattr(watching, "_SILENT_S", 0.3)


async def test_who_falls_silent_is_left_and_nothing_is_missed() -> None:
    silent = Stream([put_at(5)], alive=False)
    other = Stream([put_at(5), put_at(6)], alive=True)
    members = Members(silent, other)
    watch = watching.EtcdWatch(members, b"/", b"0", 5, previous=False, saw=lambda _: None)  # type: ignore[arg-type]
    assert await asyncio.wait_for(told(watch, 2), 20) == [5, 6]
    assert (members.opened, other.began.start_revision) == (2, 5), "one more than is missing, passed over"


async def test_a_call_that_is_ended_from_below_does_not_end_the_watch() -> None:
    class Ended(Stream):
        async def read(self) -> bytes:
            if self._queue.empty():
                raise asyncio.CancelledError
            return await super().read()

    other = Stream([put_at(6)], alive=True)
    members = Members(Ended([put_at(5)], alive=True), other)
    watch = watching.EtcdWatch(members, b"/", b"0", 5, previous=False, saw=lambda _: None)  # type: ignore[arg-type]
    assert await asyncio.wait_for(told(watch, 2), 20) == [5, 6]


async def test_a_quiet_stream_that_answers_is_kept() -> None:
    """And what it says ahead of events that are still on their way moves nothing."""
    quiet = Stream([], alive=True)
    members = Members(quiet)
    watch = watching.EtcdWatch(members, b"/", b"0", 5, previous=False, saw=lambda _: None)  # type: ignore[arg-type]
    reading = asyncio.create_task(told(watch, 1))
    await asyncio.wait_for(quiet.often_asked.wait(), 20)
    quiet.tell(7)
    assert await asyncio.wait_for(reading, 20) == [7]
    assert members.opened == 1
