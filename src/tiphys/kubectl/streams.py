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
import tty
from collections.abc import Iterator, Mapping
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
    address = f"{session.access.server}{path}?{urlencode(query, doseq=True)}"
    context = tls_context(session.access)
    async with aiohttp.ClientSession(headers=session.headers()) as client:
        try:
            socket = await client.ws_connect(
                address,
                protocols=_PROTOCOLS,
                ssl=context if context is not None else True,
                max_msg_size=_MESSAGE_BYTES_MAX,
            )
        except aiohttp.WSServerHandshakeError as error:
            raise await _refusal(session, client, address, context, error) from error
        except (OSError, aiohttp.ClientError) as error:
            raise Unreachable(f"Unable to connect to the server: {error}") from error
        async with socket:
            return await _exchange(socket, stdin=stdin, terminal=terminal)


async def _refusal(
    session: Session, client: aiohttp.ClientSession, address: str, context: Any, error: aiohttp.WSServerHandshakeError
) -> ServerError:
    """The Status behind a refused upgrade: the handshake's error carries no body, a plain request does."""
    ssl = context if context is not None else True
    async with client.get(address, ssl=ssl, headers=session.headers()) as answer:
        with contextlib.suppress(ValueError, aiohttp.ClientError):
            status = json.loads(await answer.content.read(1 << 20))
            if isinstance(status, dict) and status.get("kind") == "Status":
                return ServerError(status, error.status)
    return ServerError({"message": error.message}, error.status)


async def _exchange(socket: aiohttp.ClientWebSocketResponse, *, stdin: bool, terminal: bool) -> int:
    tasks = [asyncio.ensure_future(_send_input(socket))] if stdin else []
    if terminal:
        await _send_size(socket)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, lambda: tasks.append(asyncio.ensure_future(_send_size(socket))))
    try:
        return await _receive(socket)
    finally:
        for task in tasks:
            task.cancel()


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> int:
    outputs = {STDOUT: sys.stdout.buffer, STDERR: sys.stderr.buffer}
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, content = message.data[0], message.data[1:]
        if channel in outputs:
            outputs[channel].write(content)
            outputs[channel].flush()
        elif channel == ERROR:
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
    loop = asyncio.get_running_loop()
    while chunk := await loop.run_in_executor(None, os.read, sys.stdin.fileno(), _CHUNK):
        await socket.send_bytes(bytes([STDIN]) + chunk)
    if socket.protocol == _PROTOCOLS[0]:
        await socket.send_bytes(bytes([CLOSE, STDIN]))


async def _send_size(socket: aiohttp.ClientWebSocketResponse) -> None:
    size = os.get_terminal_size(sys.stdout.fileno())
    await socket.send_bytes(bytes([RESIZE]) + json.dumps({"Width": size.columns, "Height": size.lines}).encode())


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
