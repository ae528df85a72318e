"""The process behind the fixture and behind `tiphys test-server`: a test cluster that is told what to do by lines.

On standard output the first line says that it is ready, and where. After that each line on standard input is a JSON
object with `do` and arguments, and is answered with one line: `{"ok": ...}` or `{"error": "..."}`. The end of the input
is the end of the cluster, so it never outlives whoever started it. See docs/testing-operators.md for the commands.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any

import msgspec

from tiphys.testing.controlplane import TestClusterSettings, TestControlPlane
from tiphys.testing.traffic import Fault

log = logging.getLogger(__name__)

_LINE_MAX = 1 << 20
"""Bytes of a command."""


def main(settings: TestClusterSettings, kubeconfig: Path | None = None, *, log_level: str = "WARNING") -> None:
    """Run until standard input ends. `kubeconfig`: where to write it; else a temporary directory."""
    logging.basicConfig(stream=sys.stderr, level=log_level, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    # Collecting often would scan for nothing what lives as long as the process.
    gc.set_threshold(50_000, 20, 50)
    with tempfile.TemporaryDirectory(prefix="tiphys-test-", ignore_cleanup_errors=True) as directory:
        run = _runner()
        run(_serve(settings, Path(directory), kubeconfig, sys.stdin.buffer, sys.stdout.buffer))


def _runner() -> Callable[[Any], None]:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return asyncio.run
    run: Callable[[Any], None] = uvloop.run
    return run


async def _serve(
    settings: TestClusterSettings, directory: Path, kubeconfig: Path | None, commands: IO[bytes], answers: IO[bytes]
) -> None:
    lines = _read_lines(commands)
    try:
        async with TestControlPlane.started(settings, directory) as plane:
            control = Control(plane, directory)
            written = await asyncio.to_thread(control.write_kubeconfig, kubeconfig)
            _write(answers, {"ready": True, "server": plane.server.url, "kubeconfig": str(written)})
            while (line := await lines.get()) is not None:
                _write(answers, await control.do(line))
    except* OSError as failures:
        _write(answers, {"ready": False, "error": str(failures.exceptions[0])})
        raise SystemExit(1) from None


def _read_lines(stream: IO[bytes]) -> asyncio.Queue[bytes | None]:
    """Lines as they come, then None. By a thread: pipes cannot be awaited everywhere."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    def read() -> None:
        try:
            while line := stream.readline(_LINE_MAX):
                if line.strip():
                    loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, None)
        except RuntimeError:
            return  # the loop has ended

    threading.Thread(target=read, name="commands", daemon=True).start()
    return lines


def _write(stream: IO[bytes], value: object) -> None:
    stream.write(msgspec.json.encode(value) + b"\n")
    stream.flush()


class Control:
    """The commands."""

    def __init__(self, plane: TestControlPlane, directory: Path) -> None:
        self._plane, self._directory = plane, directory
        self._commands: dict[str, Callable[..., Awaitable[object]]] = {
            "advance": self._advance,
            "mark": self._mark,
            "reset": self._reset,
            "rest": self._rest,
            "now": self._now,
            "user": self._user,
            "fault": self._fault,
            "clear_faults": self._clear_faults,
            "drop_watches": self._drop_watches,
            "lose_node": self._lose_node,
            "find_node": self._find_node,
            "requests": self._requests,
            "picture": self._picture,
        }

    async def do(self, line: bytes) -> dict[str, object]:
        """One command; whatever is wrong with it becomes its answer."""
        try:
            command = msgspec.json.decode(line, type=dict[str, Any])
            name = command.pop("do", None)
            work = self._commands.get(name) if isinstance(name, str) else None
            if work is None:
                return {"error": f"there is no command {name!r}: use one of {', '.join(self._commands)}"}
            return {"ok": await work(**command)}
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            return {"error": str(error)}

    async def _advance(self, seconds: float) -> str:
        await self._plane.advance(float(seconds))
        return await self._now()

    async def _now(self) -> str:
        return self._plane.clock.now().isoformat()

    async def _rest(self) -> None:
        await self._plane.rest()

    async def _mark(self) -> None:
        await self._plane.rest()
        self._plane.journal.mark()
        self._plane.traffic.requests.clear()

    async def _reset(self) -> int:
        return await self._plane.reset()

    async def _user(self, name: str, groups: list[str] | None = None) -> dict[str, str]:
        """A client certificate, and the cluster's CA."""
        certificate, key = await asyncio.to_thread(self._certificate, name, tuple(groups or ()))
        return {"certificate": certificate.decode(), "key": key.decode(), "ca": self._ca.read_text()}

    async def _fault(self, **fields: Any) -> int:
        return self._plane.traffic.add(msgspec.convert(fields, Fault))

    async def _clear_faults(self, id: int = 0) -> int:  # noqa: A002 # as in the protocol
        return self._plane.traffic.remove(id)

    async def _drop_watches(self, resource: str = "*") -> int:
        return self._plane.traffic.drop_watches(resource)

    async def _lose_node(self, name: str) -> None:
        self._known(self._plane.nodes.lose, name)

    async def _find_node(self, name: str) -> None:
        self._known(self._plane.nodes.find, name)

    def _known(self, do: Callable[[str], None], name: str) -> None:
        try:
            do(name)
        except KeyError:
            raise ValueError(f"there is no simulated node {name!r}") from None

    async def _requests(self) -> list[object]:
        return list(self._plane.traffic.requests)

    async def _picture(self) -> str:
        from tiphys.testing.picture import picture

        return picture(self._plane)

    @property
    def _ca(self) -> Path:
        return self._directory / "pki" / "ca.crt"

    def _certificate(self, user: str, groups: tuple[str, ...]) -> tuple[bytes, bytes]:
        from datetime import UTC, datetime

        from tiphys.base import pki

        ca = pki.load(pki.PairPaths(self._ca, self._directory / "pki" / "ca.key"))
        # Certificates live in the machine's time: TLS knows nothing of the cluster's clock.
        pair = pki.new_client(ca, user, groups, now=datetime.now(UTC))
        return pair.certificate, pair.key

    def write_kubeconfig(self, path: Path | None) -> Path:
        """The administrator's, at `path` or in the cluster's directory."""
        from tiphys.base import pki
        from tiphys.client import kubeconfig

        where = path or self._directory / "kubeconfig"
        certificate, key = self._certificate("kubernetes-admin", ("system:masters",))
        access = kubeconfig.Access(
            self._plane.server.url, ca=self._ca.read_bytes(), client_certificate=certificate, client_key=key
        )
        pki.write_private(where, kubeconfig.render(access, user="kubernetes-admin").encode())
        return where
