"""`kubectl proxy`: the API on a local port, with our credentials; whoever reaches the port needs none.

Each request gets a connection of its own to the server and its bytes pass through as they are, upgrades too.
Source: k8s.io/kubectl pkg/proxy, pkg/cmd/proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.session import Session

HEAD_BYTES_MAX = 64 * 1024
_CHUNK = 64 * 1024
_HEAD_S = 60.0
_OWN = (b"host", b"authorization", b"connection", b"proxy-connection", b"keep-alive")


def run(context: Context) -> int:
    """Until interrupted."""
    options = context.options
    if "unix-socket" in options.given and "port" in options.given:
        raise UsageError("cannot set --unix-socket and --port at the same time")
    prefix = "/" + str(options["api-prefix"]).strip("/")
    server = _Server(context.session, None if options["disable-filter"] else _filter(context), prefix.rstrip("/"))
    if options["disable-filter"] and not options["unix-socket"]:
        print("Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious", file=sys.stderr)
    try:
        asyncio.run(server.run(options["address"], options["port"], options["unix-socket"]))
    except OSError as error:
        raise UsageError(f"{error.strerror or error}") from error
    return 0


@dataclass(frozen=True, slots=True)
class Filter:
    """What comes through: patterns of paths, hosts and methods."""

    accept_paths: Sequence[re.Pattern[str]]
    reject_paths: Sequence[re.Pattern[str]]
    accept_hosts: Sequence[re.Pattern[str]]
    reject_methods: Sequence[re.Pattern[str]]

    def accepts(self, method: str, path: str, host: str) -> bool:
        """`host` as the Host header has it."""
        bare = re.sub(r":\d+$", "", host)
        if _any(self.reject_paths, path) or _any(self.reject_methods, method):
            return False
        return _any(self.accept_paths, path) and _any(self.accept_hosts, bare)


def _any(patterns: Sequence[re.Pattern[str]], text: str) -> bool:
    return any(pattern.search(text) for pattern in patterns)


def _filter(context: Context) -> Filter:
    names = ("accept-paths", "reject-paths", "accept-hosts", "reject-methods")
    return Filter(*(_patterns(name, context.options[name]) for name in names))


def _patterns(flag: str, text: str) -> list[re.Pattern[str]]:
    try:
        return [re.compile(part) for part in text.split(",") if part]
    except re.error as error:
        raise UsageError(f"--{flag}: error parsing regexp: {error}") from error


class _Server:
    def __init__(self, session: Session, accepts: Filter | None, prefix: str) -> None:
        self._session = session
        self._filter = accepts
        self._prefix = prefix
        self._running: set[asyncio.Task[None]] = set()
        parts = urlsplit(session.access.server)
        self._host, self._port = parts.hostname or "localhost", parts.port or (80 if parts.scheme == "http" else 443)
        self._base = parts.path.rstrip("/")
        self._is_tls = parts.scheme != "http"

    async def run(self, address: str, port: int, path: str) -> None:
        """Raises OSError where nothing can listen."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        if path:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    os.unlink(path)
            mask = os.umask(0o077)
            try:
                server = await asyncio.start_unix_server(self._accept, path, limit=HEAD_BYTES_MAX)
            finally:
                os.umask(mask)
            print(f"Starting to serve on {path}", flush=True)
        else:
            server = await asyncio.start_server(self._accept, address, port, limit=HEAD_BYTES_MAX)
            shown = f"[{address}]" if ":" in address else address
            print(f"Starting to serve on {shown}:{server.sockets[0].getsockname()[1]}", flush=True)
        await stop.wait()
        server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            refusal, sent = self._rewritten(head)
            if refusal:
                writer.write(_answer(refusal))
                await writer.drain()
            else:
                await self._pass(sent, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # one side has closed, or never said what it wants
        finally:
            writer.close()

    def _rewritten(self, head: bytes) -> tuple[str, bytes]:
        """(why it is refused, or the head as the server shall see it)."""
        first, *lines = head[:-4].split(b"\r\n")
        method, _, rest = first.partition(b" ")
        target, _, version = rest.rpartition(b" ")
        headers = [(name.strip().lower(), line) for line in lines for name in [line.partition(b":")[0]]]
        values = {name: line.partition(b":")[2].strip() for name, line in headers}
        path = urlsplit(target.decode("latin-1")).path
        if not target.startswith(b"/") or not version.startswith(b"HTTP/1."):
            return "400 Bad Request", b""
        host = values.get(b"host", b"").decode("latin-1")
        if self._filter and not self._filter.accepts(method.decode("latin-1"), unquote(path), host):
            return "403 Forbidden", b""
        if not (path == self._prefix or path.startswith(f"{self._prefix}/")):
            return "404 Not Found", b""
        # One request on each connection, so that no second one slips through unseen.
        upgrade = b"upgrade" in values
        own = [("Host", f"{self._host}:{self._port}"), ("Connection", "Upgrade" if upgrade else "close")]
        own += self._session.headers()
        kept = [line for name, line in headers if name not in _OWN]
        kept += [f"{name}: {value}".encode() for name, value in own]
        target = self._base.encode() + (target[len(self._prefix) :] or b"/")
        return "", b"\r\n".join([method + b" " + target + b" " + version, *kept]) + b"\r\n\r\n"

    async def _pass(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from tiphys.client.credentials import tls_context

        context = tls_context(self._session.access) if self._is_tls else None
        tls = (context or True) if self._is_tls else None
        try:
            back, there = await asyncio.open_connection(self._host, self._port, ssl=tls)
        except OSError:
            writer.write(_answer("502 Bad Gateway"))
            await writer.drain()
            return
        there.write(head)
        up = asyncio.create_task(_copy(reader, there))
        try:
            await _copy(back, writer)
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            there.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()


def _answer(status: str) -> bytes:
    body = status.partition(" ")[2] + "\n"
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}"
    ).encode()


COMMAND = Command(
    usage="[--port=PORT] [--address=IP | --unix-socket=PATH]",
    help="Show the API on a local port, with your own credentials.",
    run=run,
    flags=(
        Flag("port", "the local port (0: any)", short="p", kind="int", default=8001),
        Flag("address", "where to listen", default="127.0.0.1"),
        Flag("unix-socket", "listen on this socket file instead", short="u"),
        Flag("api-prefix", "the path under which the API is shown", default="/"),
        Flag("accept-paths", "patterns of paths that come through", default="^.*"),
        Flag(
            "reject-paths",
            "patterns of paths that do not",
            default="^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach",
        ),
        Flag("accept-hosts", "patterns of hosts", default=r"^localhost$,^127\.0\.0\.1$,^\[::1\]$"),
        Flag("reject-methods", "patterns of methods that do not come through", default="^$"),
        Flag("disable-filter", "let everything through", kind="bool"),
    ),
    examples="proxy --port=8080\nproxy --unix-socket=/tmp/api.sock",
)
