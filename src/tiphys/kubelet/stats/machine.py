"""What the whole machine uses: processor, memory, processes, file systems, network devices. From /proc and statvfs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICK_NS = 10_000_000
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class MachineUsage:
    """Bytes and nanoseconds."""

    cpu_ns: int
    memory_total_bytes: int
    memory_bytes: int
    working_set_bytes: int
    rss_bytes: int
    swap_total_bytes: int
    swap_bytes: int
    page_faults: int
    major_page_faults: int
    processes: int
    """Threads, as `pids` cgroups and pid_max count them."""
    max_processes: int
    boot_s: float
    """When the machine started, seconds since 1970."""

    @property
    def available_bytes(self) -> int:
        return max(self.memory_total_bytes - self.working_set_bytes, 0)


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Of the mount that a directory is on."""

    capacity_bytes: int
    available_bytes: int
    used_bytes: int
    inodes: int
    """0: the file system has no fixed number."""
    inodes_free: int

    @property
    def inodes_used(self) -> int:
        return self.inodes - self.inodes_free


@dataclass(frozen=True, slots=True)
class Interface:
    """Counters of one network device, as seen from inside."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def read_machine(proc: Path = PROC) -> MachineUsage:
    """Raises OSError."""
    memory = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in (proc / "meminfo").read_text().splitlines())
        if rest
    }
    busy = boot = 0
    for line in (proc / "stat").read_text().splitlines():
        words = line.split()
        if words[0] == "cpu":
            user, nice, system, _idle, _iowait, irq, softirq = (int(word) for word in words[1:8])
            busy = user + nice + system + irq + softirq
        elif words[0] == "btime":
            boot = int(words[1])
    faults = dict(line.split() for line in (proc / "vmstat").read_text().splitlines() if line.startswith("pg"))
    used = memory["MemTotal"] - memory["MemFree"]
    return MachineUsage(
        cpu_ns=busy * _TICK_NS,
        memory_total_bytes=memory["MemTotal"],
        memory_bytes=used,
        working_set_bytes=max(used - memory.get("Inactive(file)", 0), 0),
        rss_bytes=memory.get("AnonPages", 0),
        swap_total_bytes=memory.get("SwapTotal", 0),
        swap_bytes=memory.get("SwapTotal", 0) - memory.get("SwapFree", 0),
        page_faults=int(faults.get("pgfault", 0)),
        major_page_faults=int(faults.get("pgmajfault", 0)),
        processes=int((proc / "loadavg").read_text().split()[3].partition("/")[2]),
        max_processes=min(_int(proc / "sys/kernel/pid_max"), _int(proc / "sys/kernel/threads-max")),
        boot_s=float(boot) or time.time(),
    )


def _int(path: Path) -> int:
    return int(path.read_text())


def read_file_system(directory: Path) -> FileSystem:
    """Raises OSError."""
    found = os.statvfs(directory)
    return FileSystem(
        capacity_bytes=found.f_blocks * found.f_frsize,
        available_bytes=found.f_bavail * found.f_frsize,
        used_bytes=(found.f_blocks - found.f_bfree) * found.f_frsize,
        inodes=found.f_files,
        inodes_free=found.f_ffree,
    )


def read_interfaces(pid: int, proc: Path = PROC) -> list[Interface]:
    """Of the network namespace that the process is in, without loopback; empty where it is gone."""
    try:
        text = (proc / str(pid) / "net" / "dev").read_text()
    except OSError:
        return []
    return list(_interfaces(text))


def _interfaces(text: str) -> Iterator[Interface]:
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        n = [int(word) for word in rest.split()]
        if name.strip() != "lo" and len(n) >= 12:
            yield Interface(name.strip(), n[0], n[1], n[2], n[3], n[8], n[9], n[10], n[11])


def default_interface(pid: int, proc: Path = PROC) -> str:
    """The device of the default route in the process's network namespace; empty: there is none."""
    try:
        lines = (proc / str(pid) / "net" / "route").read_text().splitlines()[1:]
    except OSError:
        return ""
    return next((line.split()[0] for line in lines if line.split()[1:2] == ["00000000"]), "")
