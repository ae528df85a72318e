"""Usage read from cgroup files of both versions, kept in a directory."""

from __future__ import annotations

from pathlib import Path

from tiphys.kubelet.cgroups import Hierarchies
from tiphys.kubelet.stats.cgroup_usage import CgroupReader, Pressure


def write(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)


def test_v1(tmp_path: Path) -> None:
    controllers = {name: tmp_path / name for name in ("cpu", "cpuacct", "memory", "pids")}
    write(controllers["cpuacct"] / "pods/a", {"cpuacct.usage": "5000\n", "cpuacct.stat": "user 2\nsystem 3\n"})
    write(
        controllers["cpu"] / "pods/a",
        {
            "cpu.shares": "512\n",
            "cpu.cfs_quota_us": "-1\n",
            "cpu.stat": "nr_periods 7\nnr_throttled 2\nthrottled_time 9\n",
        },
    )
    write(
        controllers["memory"] / "pods/a",
        {
            "memory.usage_in_bytes": "1000",
            "memory.limit_in_bytes": "4096",
            "memory.stat": "cache 1\ntotal_inactive_file 300\ntotal_rss 400\ntotal_pgfault 11\ntotal_pgmajfault 1\n",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            "cgroup.procs": "41\n42\n",
        },
    )
    write(controllers["pids"] / "pods/a", {"pids.current": "6\n"})
    reader = CgroupReader(Hierarchies(None, controllers, ()))
    usage = reader.read("/pods/a")
    assert usage is not None
    assert (usage.cpu_ns, usage.cpu_user_ns, usage.cpu_system_ns) == (5000, 20_000_000, 30_000_000)
    assert (usage.cfs_periods, usage.cfs_throttled_periods, usage.cfs_throttled_ns) == (7, 2, 9)
    assert (usage.cpu_shares, usage.cpu_quota_us) == (512, 0)
    assert (usage.memory_bytes, usage.working_set_bytes, usage.rss_bytes) == (1000, 700, 400)
    assert usage.available_bytes == 4096 - 700
    assert (usage.page_faults, usage.major_page_faults, usage.processes, usage.oom_kills) == (11, 1, 6, 3)
    assert reader.a_process("/pods/a") == 41


def test_v1_without_a_limit_has_nothing_available(tmp_path: Path) -> None:
    controllers = {name: tmp_path / name for name in ("cpu", "cpuacct", "memory")}
    for directory in controllers.values():
        directory.mkdir()
    (controllers["memory"] / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    usage = CgroupReader(Hierarchies(None, controllers, ())).read("/")
    assert usage is not None
    assert usage.available_bytes is None


def test_v2(tmp_path: Path) -> None:
    write(
        tmp_path / "pods/a",
        {
            "cpu.stat": "usage_usec 5\nuser_usec 2\nsystem_usec 3\nnr_periods 7\nnr_throttled 2\nthrottled_usec 9\n",
            "cpu.max": "50000 100000\n",
            "cpu.weight": "100\n",
            "memory.current": "1000\n",
            "memory.max": "max\n",
            "memory.stat": "anon 400\nfile 500\ninactive_file 300\npgfault 11\npgmajfault 1\n",
            "memory.events": "low 0\nmax 4\noom_kill 3\n",
            "pids.current": "6\n",
            "cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=70\n",
            "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
            "full avg10=0.00 avg60=0.25 avg300=0.00 total=2\n",
        },
    )
    usage = CgroupReader(Hierarchies(tmp_path, {}, ())).read("/pods/a")
    assert usage is not None
    assert (usage.cpu_ns, usage.cpu_user_ns, usage.cfs_throttled_ns) == (5000, 2000, 9000)
    assert (usage.cpu_quota_us, usage.memory_bytes, usage.working_set_bytes) == (50000, 1000, 700)
    assert usage.available_bytes is None
    assert (usage.oom_kills, usage.memory_failures, usage.processes) == (3, 4, 6)
    assert usage.pressure == {
        "cpu": (Pressure(70, 1.5), Pressure()),
        "memory": (Pressure(5), Pressure(2, 0.0, 0.25)),
    }


def test_a_cgroup_that_is_gone(tmp_path: Path) -> None:
    reader = CgroupReader(Hierarchies(tmp_path, {}, ()))
    assert reader.read("/pods/a") is None
    assert reader.a_process("/pods/a") == 0
    assert reader.children("/pods/a") == []
