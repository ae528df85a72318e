"""What processes cost: resident memory and processor time, out of /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    pid: int
    role: str
    """The subcommand: `control-plane`, `node`, `supervise`."""
    resident_mb: float
    cpu_s: float


def of_cluster(data_dir: Path) -> list[Process]:
    """The processes of the cluster that lives in `data_dir`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"tiphys" in words and str(data_dir).encode() in words:
                role = words[words.index(b"tiphys") + 1].decode()
                found.append(Process(int(entry.name), role, _resident_mb(entry), _cpu_s(entry)))
        except OSError:
            continue  # it ended while we looked
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """What these processes have used so far, together."""
    return sum(_cpu_s(Path("/proc", str(pid))) for pid in pids)


def resident_mb(pid: int) -> float:
    """Of one process."""
    return _resident_mb(Path("/proc", str(pid)))


def anonymous_mb(pid: int) -> float:
    """What of that is its own: neither files nor memory that others share."""
    return _status_mb(Path("/proc", str(pid)), "RssAnon:")


def _resident_mb(entry: Path) -> float:
    return _status_mb(entry, "VmRSS:")


def _status_mb(entry: Path, field: str) -> float:
    for line in (entry / "status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return 0.0


def _cpu_s(entry: Path) -> float:
    fields = (entry / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
