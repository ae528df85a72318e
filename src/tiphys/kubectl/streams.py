"""The client's end of exec and attach: a WebSocket with one channel per standard stream (v5.channel.k8s.io).

Source: k8s.io/client-go tools/remotecommand (websocket.go, v5.go).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tiphys.client.credentials import tls_context
from tiphys.kubectl.session import ServerError, Session, Unreachable

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_MESSAGE_BYTES_MAX = 32 << 20
_CHUNK = 32 * 1024


def run(session: Session, path: str, query: Mapping[str, Any], *, stdin: bool, terminal: bool) -> int:
    """Connect our streams to a container's process; returns its exit code. Raises ServerError, Unreachable."""
    with _raw_terminal() if terminal else contextlib.nullcontext():
        return asyncio.run(_run(session, path, query, stdin=stdin, terminal=terminal))


async def _run(session: Session, path: str, query: Mapping[str, Any], *, stdin: bool, terminal: bool) -> int:
    async with connected(session, path, query, _PROTOCOLS) as socket:
        sending = ([_send_input(socket)] if stdin else []) + ([_send_sizes(socket)] if terminal else [])
        tasks = [asyncio.create_task(each) for each in sending]
        try:
            return await _receive(socket)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def connected(
    session: Session, path: str, query: Mapping[str, Any], protocols: Sequence[str]
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket to the API server. Raises ServerError with the server's own words, Unreachable."""
    address = f"{session.access.server}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")
    context = tls_context(session.access)
    async with aiohttp.ClientSession(headers=session.headers(), raise_for_status=_refuse) as client:
        try:
            socket = await client.ws_connect(
                address,
                protocols=protocols,
                ssl=context if context is not None else True,
                max_msg_size=_MESSAGE_BYTES_MAX,
            )
        except aiohttp.WSServerHandshakeError as error:
            raise ServerError({"message": error.message}, error.status) from error
        except (OSError, aiohttp.ClientError) as error:
            raise Unreachable(f"Unable to connect to the server: {error}") from error
        async with socket:
            yield socket


async def _refuse(answer: aiohttp.ClientResponse) -> None:
    """The reason stands in the body, which aiohttp's own error does not have."""
    if answer.status < 400:
        return
    text = (await answer.content.read(1 << 20)).decode(errors="replace")
    with contextlib.suppress(ValueError):
        status = json.loads(text)
        if isinstance(status, dict) and status.get("kind") == "Status":
            raise ServerError(status, answer.status)
    raise ServerError({"message": f"unable to upgrade connection: {text.strip()[:500]}"}, answer.status)


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> int:
    outputs = {STDOUT: sys.stdout.buffer, STDERR: sys.stderr.buffer}
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, content = message.data[0], message.data[1:]
        if channel in outputs:
            outputs[channel].write(content)
            outputs[channel].flush()
        elif channel == ERROR and content:
            return exit_code(json.loads(content))
    raise Unreachable("error: the connection ended before the command did")


def exit_code(status: dict[str, Any]) -> int:
    """The process's exit code from the final Status. Raises ServerError for any other failure."""
    if status.get("status") == "Success":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
    raise ServerError(status, int(status.get("code") or 500))


async def _send_input(socket: aiohttp.ClientWebSocketResponse) -> None:
    # The command may have ended meanwhile: then `_receive` hears of it.
    with contextlib.suppress(ConnectionError):
        async for chunk in _input():
            await socket.send_bytes(bytes([STDIN]) + chunk)
        if socket.protocol == _PROTOCOLS[0]:
            await socket.send_bytes(bytes([CLOSE, STDIN]))


async def _input() -> AsyncIterator[bytes]:
    """Our standard input, read by a thread that nobody waits for: a read that never returns must not keep us here."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue(1)

    def read() -> None:
        descriptor = sys.stdin.fileno()
        chunk = b"more"
        with contextlib.suppress(OSError, RuntimeError):  # the terminal, or the loop, is gone
            while chunk:
                chunk = os.read(descriptor, _CHUNK)
                asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()

    threading.Thread(target=read, daemon=True, name="stdin").start()
    while chunk := await chunks.get():
        yield chunk


async def _send_sizes(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Now, and whenever the window changes."""
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        while True:
            with contextlib.suppress(OSError):  # the output is no terminal: it has no size
                size = os.get_terminal_size(sys.stdout.fileno())
                text = json.dumps({"Width": size.columns, "Height": size.lines})
                await socket.send_bytes(bytes([RESIZE]) + text.encode())
            await changed.wait()
            changed.clear()
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Keys go to the container one by one; the terminal is as before when this ends."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
