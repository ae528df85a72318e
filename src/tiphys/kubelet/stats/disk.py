"""How much of a disk directories take. Walking them is slow: in a thread, and remembered for a while.

Source: pkg/volume/util/fs/fs.go (du counts a file with several names once, and stays on its file system).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tiphys.base.clock import Clock

_MAX_AGE_S = 60.0
_MAX_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class DiskUse:
    bytes: int = 0
    inodes: int = 0

    def __add__(self, other: DiskUse) -> DiskUse:
        return DiskUse(self.bytes + other.bytes, self.inodes + other.inodes)


def disk_use(directory: Path | str) -> DiskUse:
    """Blocks and inodes of the directory and all below it on the same file system. What vanishes meanwhile is not
    counted; what is not there is nothing."""
    try:
        top = os.lstat(directory)
    except OSError:
        return DiskUse()
    total, inodes = top.st_blocks * 512, 1
    seen: set[int] = set()
    pending = [os.fspath(directory)] if stat.S_ISDIR(top.st_mode) else []
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if found.st_dev != top.st_dev:
                    continue
                if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                    if found.st_ino in seen:
                        continue
                    seen.add(found.st_ino)
                total += found.st_blocks * 512
                inodes += 1
                if stat.S_ISDIR(found.st_mode):
                    pending.append(entry.path)
    return DiskUse(total, inodes)


class DiskUses:
    """Remembers measurements. May be used from a worker thread; two that meet measure twice, and no more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, DiskUse]] = {}

    def of(self, directory: Path, max_age_s: float = _MAX_AGE_S) -> DiskUse:
        now_s, name = self._clock.monotonic(), os.fspath(directory)
        known = self._known.get(name)
        if known is not None and now_s - known[0] < max_age_s:
            return known[1]
        measured = disk_use(directory)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[name] = now_s, measured
        return measured
