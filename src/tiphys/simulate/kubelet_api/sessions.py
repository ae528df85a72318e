"""Exec, attach and port-forward on a simulated pod: the rule that is for it, played over the client's streams."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from tiphys.api.errors import BadRequest
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import Clock
from tiphys.base.spdy.connection import Stream
from tiphys.simulate.kubelet_api.answers import Answers, ExecRule, PortRule, filled
from tiphys.simulate.kubelet_api.channels import (
    COMMAND_PROTOCOLS,
    PORT_CHANNELS,
    PORT_PROTOCOL,
    STDERR,
    STDOUT,
    TUNNELLED,
    Command,
    Port,
    SocketCommand,
    SocketPort,
    SpdyCommand,
    SpdyPort,
    Upgrading,
)
from tiphys.simulate.kubelet_api.http import Request

_END_OF_INPUT = (b"\x03", b"\x04")
"""^C and ^D of a terminal."""
_CONNECT_S = 10.0
_CHUNK = 64 * 1024


def wanted_streams(request: Request) -> set[str]:
    """From the query's flags. Raises BadRequest. A terminal has no stderr of its own."""
    tty = request.first("tty") == "1"
    named = {"input": "stdin", "output": "stdout", "error": "stderr"}
    wanted = {name for flag, name in named.items() if request.first(flag) == "1" and not (tty and name == "stderr")}
    if not wanted:
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return wanted


@contextlib.asynccontextmanager
async def command_streams(upgrading: Upgrading, wanted: set[str]) -> AsyncIterator[Command]:
    """Raises Refused, OSError, TimeoutError."""
    protocol = upgrading.chosen(COMMAND_PROTOCOLS)
    if upgrading.request.websocket:
        yield SocketCommand(await upgrading.websocket(protocol), wanted)
        return
    tty = {"resize"} if upgrading.request.first("tty") == "1" else set()
    async with upgrading.spdy(protocol) as queue:
        yield await SpdyCommand.collected(queue, wanted | tty | {"error"})


async def run_command(
    rule: ExecRule, streams: Command, pod: Pod, container: str, command: Sequence[str], clock: Clock, *, tty: bool
) -> None:
    """Raises OSError when the client is gone."""
    names = {"command": " ".join(command), "arguments": " ".join(command[1:])}
    if rule.after_s:
        await clock.sleep(rule.after_s)
    for channel, text in ((STDOUT, rule.stdout), (STDERR, rule.stderr)):
        if text:
            await streams.write(channel, filled(text, pod, container, **names).encode())
    if rule.echo:
        await echo(streams, tty=tty)
    await streams.end(outcome(rule.exit_code))


async def echo(streams: Command, *, tty: bool) -> None:
    """Until the input ends; at a terminal, also at ^C or ^D. Raises OSError."""
    while data := await streams.stdin():
        if tty and any(each in data for each in _END_OF_INPUT):
            return
        await streams.write(STDOUT, data.replace(b"\r", b"\r\n") if tty else data)


async def attached(streams: Command, pieces: AsyncIterator[bytes], *, reads: bool, tty: bool) -> None:
    """What the container writes, until it ends; input is echoed. Its end at a terminal detaches.

    Raises OSError when the client is gone."""

    async def output() -> None:
        async for piece in pieces:
            await streams.write(STDOUT, piece)

    writing = asyncio.ensure_future(output())
    reading = asyncio.ensure_future(echo(streams, tty=tty)) if reads else None
    try:
        await asyncio.wait(
            [task for task in (writing, reading) if task is not None],
            return_when=asyncio.FIRST_COMPLETED if tty else asyncio.ALL_COMPLETED,
        )
    finally:
        for task in (writing, reading):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in (writing, reading) if task is not None), return_exceptions=True)
    await streams.end(outcome(0))


def outcome(exit_code: int) -> bytes:
    """As the runtime tells it. Source: k8s.io/apimachinery pkg/util/remotecommand."""
    status: dict[str, Any] = {"metadata": {}, "status": "Success"}
    if exit_code:
        status = {
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": f"command terminated with non-zero exit code: exit status {exit_code}",
            "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
        }  # fmt: skip
    return msgspec.json.encode(status)


# Ports


def asked_ports(request: Request) -> list[int]:
    """From `port=80&port=81,82`. Raises BadRequest."""
    texts = [text for listed in request.query.get("port", []) for text in listed.split(",")]
    for text in texts:
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
            raise BadRequest(f'unable to parse "{text}" as a port')
    return [int(text) for text in texts]


async def forward(upgrading: Upgrading, answers: Answers, pod: Pod) -> None:
    """Until the client is gone. Raises Refused, BadRequest, OSError inside an ExceptionGroup."""
    request = upgrading.request
    if not request.websocket:
        await _streams(upgrading, upgrading.chosen((PORT_PROTOCOL,)), None, answers, pod)
        return
    protocol = upgrading.chosen((TUNNELLED + PORT_PROTOCOL, PORT_CHANNELS))
    ports = asked_ports(request)
    if protocol == PORT_CHANNELS and not ports:
        raise BadRequest('query parameter "port" is required')
    socket = await upgrading.websocket(protocol)
    if protocol != PORT_CHANNELS:
        await _streams(upgrading, PORT_PROTOCOL, socket, answers, pod)
        return
    served = [SocketPort(socket, index, number) for index, number in enumerate(ports)]
    for index, number in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            await socket.send(bytes([channel]) + number.to_bytes(2, "little"))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(serve_port(answers.port_of(pod, port.number), port, pod)) for port in served]
        reading = group.create_task(_sorted(socket, served))
        await asyncio.wait(tasks)
        reading.cancel()
    await socket.close()


async def _sorted(socket: Any, ports: Sequence[SocketPort]) -> None:
    """Each message to its port; the end to all."""
    while (message := await socket.receive()) is not None:
        if message[0] % 2 == 0 and message[0] // 2 < len(ports) and len(message) > 1:
            await ports[message[0] // 2].came.put(message[1:])
    for port in ports:
        await port.came.put(b"")


async def _streams(upgrading: Upgrading, protocol: str, socket: Any, answers: Answers, pod: Pod) -> None:
    """A pair of streams, data and error, for each connection; paired by the request's number."""
    waiting: dict[str, Stream] = {}
    async with upgrading.spdy(protocol, socket) as queue, asyncio.TaskGroup() as group:
        while (stream := await queue.get()) is not None:
            number = stream.headers.get("requestid", "")
            other = waiting.pop(number, None)
            if other is None:
                waiting[number] = stream
                continue
            pair = {each.headers.get("streamtype", ""): each for each in (stream, other)}
            if pair.keys() != {"data", "error"} or not pair["data"].headers.get("port", "").isdigit():
                await stream.abandon()
                await other.abandon()
                continue
            port = SpdyPort(pair["data"], pair["error"])
            group.create_task(serve_port(answers.port_of(pod, port.number), port, pod))


async def serve_port(rule: PortRule, port: Port, pod: Pod) -> None:
    """What the rule says answers there, until it or the client ends."""
    try:
        if rule.refuse:
            await port.finish(f"error forwarding port {port.number} to pod {pod.metadata.uid}: connection refused")
        elif rule.connect:
            await _connected(rule.connect, port)
        elif rule.echo:
            while data := await port.read():
                await port.write(data)
            await port.finish()
        else:
            await _answered(filled(rule.http, pod, "", port=port.number).encode(), port)
    except OSError:
        return  # the client is gone


async def _answered(text: bytes, port: Port) -> None:
    """One HTTP answer to one request, whose body is not waited for."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _CHUNK:
        data = await port.read()
        if not data:
            break
        head += data
    if head:
        lines = ("HTTP/1.1 200 OK", "Content-Type: text/plain", f"Content-Length: {len(text)}", "Connection: close")
        await port.write("\r\n".join((*lines, "", "")).encode() + (b"" if head.startswith(b"HEAD ") else text))
    await port.finish()


async def _connected(place: str, port: Port) -> None:
    host, _, number = place.rpartition(":")
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(number))
    except (OSError, TimeoutError) as error:
        await port.finish(f"error forwarding port {port.number}: {error or 'i/o timeout'}")
        return

    async def up() -> None:
        while data := await port.read():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    going_up = asyncio.ensure_future(up())
    try:
        while data := await reader.read(_CHUNK):
            await port.write(data)
        await port.finish()
    finally:
        going_up.cancel()
        await asyncio.gather(going_up, return_exceptions=True)
        writer.close()
