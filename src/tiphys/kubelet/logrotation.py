"""Keeps container logs from filling the disk: a log over its size is renamed, the runtime opens a new one.

Renaming never waits for the packing of what was renamed before: a container that writes 100 MB/s is bounded by the
number of its files, packed or not. Source: pkg/kubelet/logs/container_log_manager.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tiphys.base.clock import Clock
from tiphys.kubelet.cri.client import CriClient, RuntimeFailure
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.state import PodRuntime

_log = logging.getLogger(__name__)

_PERIOD_S = 2.0


class LogRotation:
    """Of all containers of a node."""

    def __init__(
        self, cri: CriClient, clock: Clock, settings: KubeletSettings, runtimes: Callable[[], Iterable[PodRuntime]]
    ) -> None:
        self._cri, self._clock, self._settings, self._runtimes = cri, clock, settings, runtimes
        self._unpacked: set[Path] = set()
        """Logs of which something was renamed."""
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pack())
            while True:
                await self._clock.sleep(_PERIOD_S)
                await self.look()

    async def look(self) -> None:
        """Rotate every running container's log that is too large."""
        for runtime in list(self._runtimes()):
            for run in runtime.running:
                if run.log_path and _size(Path(run.log_path)) > self._settings.container_log_max_bytes:
                    await self._rotate(Path(run.log_path), run.id)

    async def _rotate(self, path: Path, container_id: str) -> None:
        rotated = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
        try:
            path.rename(rotated)
            await self._cri.reopen_log(container_id)
        except (OSError, RuntimeFailure) as error:
            _log.warning("log %s: %s", path, error)
            with contextlib.suppress(OSError):
                rotated.rename(path)
            return
        drop(path, self._settings.container_log_max_files)
        self._unpacked.add(path)
        self._wanted.set()

    async def _pack(self) -> None:
        while True:
            await self._wanted.wait()
            while self._unpacked:
                path = self._unpacked.pop()
                try:
                    await asyncio.to_thread(pack, path)
                except OSError as error:
                    _log.warning("packing log %s: %s", path, error)
            self._wanted.clear()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _rotated(path: Path) -> list[Path]:
    """Oldest first."""
    found = (p for p in path.parent.glob(path.name + ".*") if not p.name.endswith(".tmp"))
    return sorted(found, key=lambda p: p.name.removesuffix(".gz"))


def drop(path: Path, max_files: int) -> None:
    """Delete the oldest, so that no more than `max_files` stay with the live one."""
    rotated = _rotated(path)
    for old in rotated[: max(len(rotated) - (max_files - 1), 0)]:
        old.unlink(missing_ok=True)


def pack(path: Path) -> None:
    """Compress all but the newest rotated log. Raises OSError."""
    for log in _rotated(path)[:-1]:
        if log.name.endswith(".gz"):
            continue
        partial = log.with_name(log.name + ".tmp")
        try:
            with log.open("rb") as source, gzip.open(partial, "wb", compresslevel=6) as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except FileNotFoundError:
            continue
        if log.exists():  # else it was dropped meanwhile, and what was made of it goes, too
            partial.rename(log.with_name(log.name + ".gz"))
            log.unlink(missing_ok=True)
        else:
            partial.unlink(missing_ok=True)
