"""What a cgroup has used, from its files; v1 and v2 give the same answer. Nothing is kept running to know it.

Source: kernel Documentation/admin-guide/cgroup-v1, cgroup-v2.rst; what counts as working set: cAdvisor (usage without
the inactive part of the file cache).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tiphys.kubelet.cgroups import PERIOD_US, Hierarchies

_CLOCK_TICK_NS = 10_000_000
"""cpuacct.stat counts in USER_HZ, which is 100 on every architecture."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """One line of a PSI file: `total` in microseconds, the others in percent."""

    total: int = 0
    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Since the cgroup was made. Bytes and nanoseconds."""

    cpu_ns: int = 0
    cpu_user_ns: int = 0
    cpu_system_ns: int = 0
    cfs_periods: int = 0
    cfs_throttled_periods: int = 0
    cfs_throttled_ns: int = 0
    cpu_quota_us: int = 0
    """In `PERIOD_US`; 0: no limit."""
    cpu_shares: int = 0
    memory_bytes: int = 0
    working_set_bytes: int = 0
    memory_limit_bytes: int = 0
    """0: no limit."""
    memory_peak_bytes: int = 0
    memory_failures: int = 0
    rss_bytes: int = 0
    cache_bytes: int = 0
    mapped_bytes: int = 0
    active_file_bytes: int = 0
    inactive_file_bytes: int = 0
    kernel_bytes: int = 0
    swap_bytes: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    processes: int = 0
    oom_kills: int = 0
    pressure: Mapping[str, tuple[Pressure, Pressure]] | None = None
    """`cpu`, `memory`, `io` -> (some, full), where the kernel tells (v2)."""

    @property
    def available_bytes(self) -> int | None:
        """Below its own limit; None without one."""
        return max(self.memory_limit_bytes - self.working_set_bytes, 0) if self.memory_limit_bytes else None


_UNLIMITED = 1 << 62


class CgroupReader:
    """Reads cgroups by the paths that `cgroups.pod_cgroup` gives."""

    def __init__(self, hierarchies: Hierarchies) -> None:
        self._on = hierarchies

    def read(self, path: str) -> Usage | None:
        """None: there is no such cgroup (any more)."""
        below = path.lstrip("/")
        try:
            if self._on.unified is not None:
                return _read_v2(self._on.unified / below)
            return self._read_v1(below)
        except FileNotFoundError:
            return None

    def children(self, path: str) -> list[str]:
        """Names of the cgroups right below."""
        mount = self._on.unified or self._on.controllers.get("memory")
        directory = mount / path.lstrip("/") if mount is not None else None
        if directory is None or not directory.is_dir():
            return []
        return [entry.name for entry in directory.iterdir() if entry.is_dir()]

    def a_process(self, path: str) -> int:
        """The PID of one process in the cgroup; 0: none."""
        mount = self._on.unified or self._on.controllers.get("memory")
        if mount is None:
            return 0
        try:
            first = (mount / path.lstrip("/") / "cgroup.procs").read_text().split(None, 1)
        except OSError:
            return 0
        return int(first[0]) if first else 0

    def _read_v1(self, below: str) -> Usage:
        cpuacct, cpu, memory = (self._on.controllers[name] / below for name in ("cpuacct", "cpu", "memory"))
        pids = self._on.controllers.get("pids")
        stat = _table(memory / "memory.stat")
        ticks, throttling = _table(cpuacct / "cpuacct.stat"), _table(cpu / "cpu.stat")
        used = _number(memory / "memory.usage_in_bytes")
        inactive = stat.get("total_inactive_file", 0)
        limit = _number(memory / "memory.limit_in_bytes")
        return Usage(
            cpu_ns=_number(cpuacct / "cpuacct.usage"),
            cpu_user_ns=ticks.get("user", 0) * _CLOCK_TICK_NS,
            cpu_system_ns=ticks.get("system", 0) * _CLOCK_TICK_NS,
            cfs_periods=throttling.get("nr_periods", 0),
            cfs_throttled_periods=throttling.get("nr_throttled", 0),
            cfs_throttled_ns=throttling.get("throttled_time", 0),
            cpu_quota_us=max(_number(cpu / "cpu.cfs_quota_us"), 0),
            cpu_shares=_number(cpu / "cpu.shares"),
            memory_bytes=used,
            working_set_bytes=max(used - inactive, 0),
            memory_limit_bytes=limit if limit < _UNLIMITED else 0,
            memory_peak_bytes=_number(memory / "memory.max_usage_in_bytes"),
            memory_failures=_number(memory / "memory.failcnt"),
            rss_bytes=stat.get("total_rss", 0),
            cache_bytes=stat.get("total_cache", 0),
            mapped_bytes=stat.get("total_mapped_file", 0),
            active_file_bytes=stat.get("total_active_file", 0),
            inactive_file_bytes=inactive,
            kernel_bytes=_number(memory / "memory.kmem.usage_in_bytes"),
            swap_bytes=stat.get("total_swap", 0),
            page_faults=stat.get("total_pgfault", 0),
            major_page_faults=stat.get("total_pgmajfault", 0),
            processes=_number(pids / below / "pids.current") if pids is not None else 0,
            oom_kills=_table(memory / "memory.oom_control").get("oom_kill", 0),
        )


def _read_v2(directory: Path) -> Usage:
    cpu, stat = _table(directory / "cpu.stat"), _table(directory / "memory.stat")
    used = _number(directory / "memory.current")
    inactive = stat.get("inactive_file", 0)
    quota = (_text(directory / "cpu.max").split() or ["max"])[0]
    limit = _text(directory / "memory.max").strip()
    return Usage(
        cpu_ns=cpu.get("usage_usec", 0) * 1000,
        cpu_user_ns=cpu.get("user_usec", 0) * 1000,
        cpu_system_ns=cpu.get("system_usec", 0) * 1000,
        cfs_periods=cpu.get("nr_periods", 0),
        cfs_throttled_periods=cpu.get("nr_throttled", 0),
        cfs_throttled_ns=cpu.get("throttled_usec", 0) * 1000,
        cpu_quota_us=int(quota) if quota.isdigit() else 0,
        cpu_shares=_shares(_number(directory / "cpu.weight")),
        memory_bytes=used,
        working_set_bytes=max(used - inactive, 0),
        memory_limit_bytes=int(limit) if limit.isdigit() else 0,
        memory_peak_bytes=_number(directory / "memory.peak"),
        memory_failures=_table(directory / "memory.events").get("max", 0),
        rss_bytes=stat.get("anon", 0),
        cache_bytes=stat.get("file", 0),
        mapped_bytes=stat.get("file_mapped", 0),
        active_file_bytes=stat.get("active_file", 0),
        inactive_file_bytes=inactive,
        kernel_bytes=stat.get("kernel", 0),
        swap_bytes=_number(directory / "memory.swap.current"),
        page_faults=stat.get("pgfault", 0),
        major_page_faults=stat.get("pgmajfault", 0),
        processes=_number(directory / "pids.current"),
        oom_kills=_table(directory / "memory.events").get("oom_kill", 0),
        pressure=dict(_pressures(directory)),
    )


def _shares(weight: int) -> int:
    """Back from a v2 weight (1..10000) to v1's shares (2..262144)."""
    return 2 + ((weight - 1) * 262142) // 9999 if weight else 0


def _pressures(directory: Path) -> Iterator[tuple[str, tuple[Pressure, Pressure]]]:
    for name in ("cpu", "memory", "io"):
        lines = {line.split()[0]: _pressure(line) for line in _text(directory / f"{name}.pressure").splitlines()}
        if "some" in lines:
            yield name, (lines["some"], lines.get("full", Pressure()))


def _pressure(line: str) -> Pressure:
    pairs = dict(word.split("=", 1) for word in line.split()[1:])
    return Pressure(int(pairs["total"]), float(pairs["avg10"]), float(pairs["avg60"]), float(pairs["avg300"]))


def cpu_limit_cores(usage: Usage) -> float:
    """0: no limit."""
    return usage.cpu_quota_us / PERIOD_US


def _text(path: Path) -> str:
    """Empty for a file that this kernel does not have; raises FileNotFoundError where the cgroup itself is gone."""
    try:
        with path.open() as file:
            return file.read()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise
        return ""
    except OSError:  # ENODEV: removed while it was read; EOPNOTSUPP: pressure that is switched off
        return ""


def _number(path: Path) -> int:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else 0


def _table(path: Path) -> dict[str, int]:
    found = {}
    for line in _text(path).splitlines():
        name, _, number = line.partition(" ")
        if number.isdigit():
            found[name] = int(number)
    return found
