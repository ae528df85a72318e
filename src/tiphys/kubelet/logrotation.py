"""Keeps container logs from filling the disk: a log over its size is renamed, the runtime opens a new one.

Source: pkg/kubelet/logs/container_log_manager.go.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from tiphys.kubelet.cri.client import CriClient, RuntimeFailure
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.state import PodRuntime

_log = logging.getLogger(__name__)


async def rotate_logs(cri: CriClient, settings: KubeletSettings, runtimes: Iterable[PodRuntime]) -> None:
    """Rotate every running container's log that is too large."""
    for runtime in runtimes:
        for run in runtime.running:
            path = Path(run.log_path)
            try:
                if not run.log_path or path.stat().st_size <= settings.container_log_max_bytes:
                    continue
            except OSError:
                continue
            rotated = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
            path.rename(rotated)
            try:
                await cri.reopen_log(run.id)
            except RuntimeFailure as error:
                _log.warning("log of container %s: %s", run.name, error)
                rotated.rename(path)
                continue
            await asyncio.to_thread(_tidy, path, settings.container_log_max_files)


def _tidy(path: Path, max_files: int) -> None:
    """Compress all but the newest rotated log, and drop those beyond the limit (which counts the live one)."""
    rotated = sorted(path.parent.glob(path.name + ".*"), key=lambda p: p.name.removesuffix(".gz"))
    rotated = [p for p in rotated if not p.name.endswith(".tmp")]
    for old in rotated[: max(len(rotated) - (max_files - 1), 0)]:
        old.unlink(missing_ok=True)
    for log in rotated[:-1]:
        if log.exists() and not log.name.endswith(".gz"):
            packed = log.with_name(log.name + ".gz")
            partial = log.with_name(log.name + ".tmp")
            with log.open("rb") as source, gzip.open(partial, "wb") as target:
                shutil.copyfileobj(source, target)
            partial.rename(packed)
            log.unlink()
