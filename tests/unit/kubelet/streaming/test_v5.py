"""The translation, between a scripted client and a scripted runtime."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from tiphys.base.spdy.connection import Connection
from tiphys.base.spdy.frames import Data, Decoder, Encoder, Frame, SynReply, SynStream
from tiphys.kubelet.streaming.v5 import Wanted, translate

SUCCESS = b'{"metadata":{},"status":"Success"}'


class Runtime:
    """A wire whose other end answers what `script` says to each frame."""

    def __init__(self) -> None:
        self.encoder, self.decoder = Encoder(), Decoder()
        self.to_kubelet: asyncio.Queue[bytes] = asyncio.Queue()
        self.streams: dict[str, int] = {}
        self.input = b""
        self.input_ended = asyncio.Event()
        self.resizes = b""
        self.closed = asyncio.Event()

    async def read(self) -> bytes:
        return await self.to_kubelet.get()

    async def write(self, data: bytes) -> None:
        for frame in self.decoder.feed(data):
            if isinstance(frame, SynStream):
                self.streams[frame.headers["streamtype"]] = frame.stream
                self.say(SynReply(frame.stream))
            elif isinstance(frame, Data) and frame.stream == self.streams.get("stdin"):
                self.input += frame.data
                if frame.fin:
                    self.input_ended.set()
            elif isinstance(frame, Data) and frame.stream == self.streams.get("resize"):
                self.resizes += frame.data

    def close(self) -> None:
        self.closed.set()
        self.to_kubelet.put_nowait(b"")

    def say(self, *frames: Frame) -> None:
        for frame in frames:
            self.to_kubelet.put_nowait(self.encoder.encode(frame))

    def write_to(self, stream: str, data: bytes) -> None:
        self.say(Data(self.streams[stream], data))

    def end(self, status: bytes) -> None:
        """As runtimes do: the status, every stream's end, the connection's."""
        if status:
            self.write_to("error", status)
        for name in ("error", "stdout", "stderr"):
            if name in self.streams:
                self.say(Data(self.streams[name], b"", fin=True))
        self.to_kubelet.put_nowait(b"")


class Client:
    """A WebSocket whose other end is the test."""

    def __init__(self) -> None:
        self.to_kubelet: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.got: list[bytes] = []

    async def receive(self) -> bytes | None:
        return await self.to_kubelet.get()

    async def send(self, data: bytes) -> None:
        self.got.append(data)

    def text(self, channel: int) -> bytes:
        return b"".join(message[1:] for message in self.got if message[0] == channel)


async def _started(client: Client, runtime: Runtime, wanted: Wanted, idle_s: float = 60.0) -> asyncio.Task[None]:
    task = asyncio.create_task(translate(client, Connection(runtime), wanted, idle_s))
    await asyncio.wait_for(_until(lambda: "error" in runtime.streams and len(runtime.streams) == _count(wanted)), 5)
    return task


async def _until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 # gives way, does not sleep
        await asyncio.sleep(0)


def _count(wanted: Wanted) -> int:
    return 1 + wanted.stdin + wanted.stdout + (wanted.stderr and not wanted.tty) + wanted.tty


async def test_output_then_the_exit_code() -> None:
    client, runtime = Client(), Runtime()
    task = await _started(client, runtime, Wanted(stdout=True, stderr=True))
    assert list(runtime.streams) == ["error", "stdout", "stderr"]
    runtime.write_to("stdout", b"out")
    runtime.write_to("stderr", b"err")
    status = json.dumps({"status": "Failure", "reason": "NonZeroExitCode"}).encode()
    runtime.end(status)
    await asyncio.wait_for(task, 5)
    assert client.got[0] == b"\x01"
    assert client.got[-1] == b"\x03" + status
    assert (client.text(1), client.text(2)) == (b"out", b"err")
    assert runtime.closed.is_set()


async def test_closing_stdin_ends_it_for_the_process_and_output_goes_on() -> None:
    client, runtime = Client(), Runtime()
    task = await _started(client, runtime, Wanted(stdin=True, stdout=True))
    data = b"x" * 200_000
    for message in (b"\x00" + data, b"\x00y", b"", b"\xff\x00", b"\x00late"):
        client.to_kubelet.put_nowait(message)
    await asyncio.wait_for(runtime.input_ended.wait(), 5)
    assert runtime.input == data + b"y"
    runtime.write_to("stdout", data)
    runtime.end(SUCCESS)
    await asyncio.wait_for(task, 5)
    assert client.text(1) == data
    assert client.got[-1] == b"\x03" + SUCCESS


async def test_a_terminal_has_sizes_and_no_stderr() -> None:
    client, runtime = Client(), Runtime()
    task = await _started(client, runtime, Wanted(stdin=True, stdout=True, stderr=True, tty=True))
    assert list(runtime.streams) == ["error", "stdin", "stdout", "resize"]
    client.to_kubelet.put_nowait(b'\x04{"Width":80,"Height":24}\n')
    await asyncio.wait_for(_until(lambda: runtime.resizes), 5)
    assert runtime.resizes == b'{"Width":80,"Height":24}\n'
    runtime.end(SUCCESS)
    await asyncio.wait_for(task, 5)


async def test_a_client_that_leaves_ends_the_runtimes_connection() -> None:
    client, runtime = Client(), Runtime()
    task = await _started(client, runtime, Wanted(stdin=True, stdout=True))
    client.to_kubelet.put_nowait(None)
    await asyncio.wait_for(task, 5)
    assert runtime.closed.is_set()
    assert client.text(3) == b""


async def test_a_malformed_close_signal_is_the_end() -> None:
    client, runtime = Client(), Runtime()
    task = await _started(client, runtime, Wanted(stdin=True, stdout=True))
    client.to_kubelet.put_nowait(b"\xff")
    await asyncio.wait_for(task, 5)
    assert runtime.closed.is_set()


async def test_a_runtime_that_breaks_off_is_an_error_not_a_success() -> None:
    client, runtime = Client(), Runtime()
    task = await _started(client, runtime, Wanted(stdout=True))
    runtime.write_to("stdout", b"half")
    runtime.to_kubelet.put_nowait(b"")
    await asyncio.wait_for(task, 5)
    assert client.text(1) == b"half"
    status = json.loads(client.text(3))
    assert (status["status"], status["code"]) == ("Failure", 500)


async def test_silence_ends_it() -> None:
    client, runtime = Client(), Runtime()
    task = await _started(client, runtime, Wanted(stdin=True, stdout=True), idle_s=0.05)
    await asyncio.wait_for(task, 5)
    assert runtime.closed.is_set()
