"""The API server under test: where it is, how to speak to it, and a client that costs little beside it.

A benchmark on a small machine shares the cores with what it measures, so the client is a bare HTTP/1.1 connection over
asyncio: one request at a time, kept alive, no header objects.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

_ACCOUNT, _NAMESPACE = "tiphys-bench", "kube-system"


@dataclass(frozen=True)
class Target:
    url: str
    token: str

    @property
    def host(self) -> str:
        return urllib.parse.urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        parts = urllib.parse.urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    def tls(self) -> ssl.SSLContext | None:
        """No verification: figures are wanted, not secrecy, and the server is named by the user."""
        if not self.url.startswith("https"):
            return None
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


class Refused(Exception):
    """An answer that the benchmark did not expect."""


class Connection:
    """One kept-alive connection. Not for concurrent use."""

    def __init__(self, target: Target, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls or target.tls()
        self._head = f"Host: {target.host}\r\nAccept: application/json\r\n" + (
            f"Authorization: Bearer {target.token}\r\n" if target.token else ""
        )

    async def open(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(
            self._target.host, self._target.port, ssl=self._tls, limit=1 << 22
        )
        return self

    def close(self) -> None:
        self._writer.close()

    def _send(self, method: str, path: str, body: bytes, content_type: str) -> None:
        head = f"{method} {path} HTTP/1.1\r\n{self._head}"
        if body or method != "GET":
            head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)

    async def _answer_head(self) -> tuple[int, bytes]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        return int(head[9:12]), head

    async def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and whole body."""
        self._send(method, path, body, content_type)
        status, head = await self._answer_head()
        if b"transfer-encoding: chunked" in head:
            return status, b"".join([chunk async for chunk in self._chunks()])
        start = head.find(b"content-length: ")
        if start < 0:
            return status, b""
        length = int(head[start + 16 : head.index(b"\r", start)])
        return status, await self._reader.readexactly(length)

    async def ask(self, method: str, path: str, obj: object = None, *, allow: tuple[int, ...] = ()) -> Any:
        """The decoded answer. Raises Refused unless it is 2xx or allowed."""
        status, body = await self.request(method, path, b"" if obj is None else msgspec.json.encode(obj))
        if status >= 300 and status not in allow:
            raise Refused(f"{method} {path}: {status} {body[:300].decode(errors='replace')}")
        return msgspec.json.decode(body) if body else None

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """The chunks of a watch, as they come. The first yield is empty: the server has answered."""
        self._send("GET", path, b"", "")
        status, head = await self._answer_head()
        if status != 200:
            raise Refused(f"GET {path}: {status}")
        yield b""
        if b"transfer-encoding: chunked" in head:
            async for chunk in self._chunks():
                yield chunk
        else:
            while chunk := await self._reader.read(1 << 16):
                yield chunk

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)


@asynccontextmanager
async def connections(target: Target, count: int) -> AsyncIterator[list[Connection]]:
    tls = target.tls()
    opened = [await Connection(target, tls).open() for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def for_each(
    target: Target, count: int, workers: int, work: Callable[[Connection, int], Awaitable[None]]
) -> None:
    """`work(connection, i)` for i below `count`, by so many connections side by side."""
    numbers = iter(range(count))

    async def worker(connection: Connection) -> None:
        for number in numbers:
            await work(connection, number)

    async with connections(target, min(workers, count)) as opened, asyncio.TaskGroup() as tasks:
        for connection in opened:
            tasks.create_task(worker(connection))


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines of a watch; an empty one first, when it is open."""
    rest = b""
    async for chunk in chunks:
        if not chunk:
            yield b""
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the API server, with --token")
    parser.add_argument("--token", default="", help="a bearer token of a cluster admin")
    parser.add_argument("--kubeconfig", type=Path, help="instead: an admin's kubeconfig with a client certificate")


async def resolve(args: argparse.Namespace) -> Target:
    """What the arguments name. With a kubeconfig, a service account with a token is made: load tools want tokens."""
    if args.url:
        return Target(args.url.rstrip("/"), args.token)
    if args.kubeconfig is None:
        raise SystemExit("name the API server: --url and --token, or --kubeconfig")
    return await target_of(args.kubeconfig)


async def target_of(kubeconfig: Path) -> Target:
    config = yaml.safe_load(kubeconfig.read_text())
    bare = Target(config["clusters"][0]["cluster"]["server"], "")
    user = config["users"][0]["user"]
    if user.get("token"):
        return Target(bare.url, user["token"])
    tls = bare.tls()
    if tls is None:
        return bare
    _load_certificate(tls, user, kubeconfig.parent)
    admin = await Connection(bare, tls).open()
    try:
        return Target(bare.url, await _admin_token(admin))
    finally:
        admin.close()


def _load_certificate(tls: ssl.SSLContext, user: dict[str, str], directory: Path) -> None:
    if "client-certificate" in user:
        tls.load_cert_chain(directory / user["client-certificate"], directory / user["client-key"])
        return
    import os
    import tempfile

    with tempfile.NamedTemporaryFile(delete=False) as both:  # the ssl module reads certificates from files only
        both.write(base64.b64decode(user["client-certificate-data"]))
        both.write(b"\n" + base64.b64decode(user["client-key-data"]))
    try:
        tls.load_cert_chain(both.name)
    finally:
        os.unlink(both.name)


async def _admin_token(admin: Connection) -> str:
    path = f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts"
    await admin.ask("POST", path, {"metadata": {"name": _ACCOUNT}}, allow=(409,))
    binding = {
        "metadata": {"name": _ACCOUNT},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": _NAMESPACE}],
    }
    await admin.ask("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding, allow=(409,))
    answer = await admin.ask("POST", f"{path}/{_ACCOUNT}/token", {"spec": {"expirationSeconds": 36000}})
    return str(answer["status"]["token"])
