from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.api.codec import from_json
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.cgroups import (
    CgroupTree,
    Hierarchies,
    Limits,
    container_resources,
    cpu_quota_us,
    cpu_shares,
    cpu_weight,
    detect,
    oom_score_adj,
    pod_cgroup,
    pod_limits,
)


def make_pod(*resources: dict[str, dict[str, str]]) -> Pod:
    containers = [{"name": f"c{n}", "resources": r} for n, r in enumerate(resources)]
    return from_json(Pod, {"metadata": {"uid": "u1"}, "spec": {"containers": containers}})


@pytest.mark.parametrize(("milli", "shares"), [(0, 2), (1, 2), (100, 102), (1000, 1024), (10**9, 262144)])
def test_shares(milli: int, shares: int) -> None:
    assert cpu_shares(milli) == shares


def test_weights_and_quotas() -> None:
    assert (cpu_weight(2), cpu_weight(1024), cpu_weight(262144)) == (1, 39, 10000)
    assert (cpu_quota_us(0), cpu_quota_us(1), cpu_quota_us(1500)) == (0, 1000, 150_000)


def test_pod_limits_need_every_container_limited() -> None:
    half = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "64Mi"}}
    both = pod_limits(make_pod(half, half))
    assert (both.cpu_shares, both.cpu_quota_us, both.memory_bytes) == (1024, 200_000, 128 << 20)
    one = pod_limits(make_pod(half, {"requests": {"cpu": "100m"}}))
    assert (one.cpu_shares, one.cpu_quota_us, one.memory_bytes) == (614, 0, 0)
    assert pod_limits(make_pod({})) == Limits(cpu_shares=2)


def test_paths_by_quality() -> None:
    even = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    assert pod_cgroup("/", make_pod(even)) == "/kubepods/podu1"
    assert pod_cgroup("/node", make_pod({"requests": {"cpu": "1"}})) == "/node/kubepods/burstable/podu1"
    assert pod_cgroup("/", make_pod({})) == "/kubepods/besteffort/podu1"


def test_oom_scores() -> None:
    giga = 1 << 30
    even = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    for resources, score in (
        (even, -997),
        ({}, 1000),
        ({"requests": {"memory": "1Gi"}}, 750),
        ({"requests": {"cpu": "1"}}, 999),
    ):
        pod = make_pod(resources)
        assert oom_score_adj(pod, pod.spec.containers[0], 4 * giga) == score


def test_container_resources() -> None:
    pod = make_pod({"limits": {"cpu": "250m", "memory": "16Mi"}})
    made = container_resources(pod, pod.spec.containers[0], Capacity(2000, 1 << 30, 1, 110), unified=True)
    assert (made.cpu_shares, made.cpu_quota, made.memory_limit_in_bytes) == (256, 25_000, 16 << 20)
    assert made.unified == {"memory.oom.group": "1"}


HYBRID = """\
cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""


def test_detect() -> None:
    hybrid = detect(HYBRID)
    assert hybrid.unified is None and set(hybrid.controllers) == {"cpu", "cpuacct", "memory"}
    assert [str(path) for path in hybrid.all()] == [
        f"/sys/fs/cgroup/{name}" for name in ("cpu", "memory", "systemd", "unified")
    ]
    assert detect("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0").unified == Path("/sys/fs/cgroup")
    with pytest.raises(RuntimeError, match="no cgroup file system"):
        detect("proc /proc proc rw 0 0")


async def test_the_tree_on_v1(tmp_path: Path) -> None:
    tree = CgroupTree("/n", Hierarchies(None, {"cpu": tmp_path / "cpu", "memory": tmp_path / "memory"}, ()))
    path = tree.add_pod(make_pod({"requests": {"cpu": "500m"}, "limits": {"memory": "1Mi"}}))
    assert path == "/n/kubepods/burstable/podu1"
    assert (tmp_path / f"cpu{path}/cpu.shares").read_text() == "512"
    assert (tmp_path / f"memory{path}/memory.limit_in_bytes").read_text() == str(1 << 20)
    assert (tmp_path / "cpu/n/kubepods/burstable/cpu.shares").read_text() == "512"
    assert list(tree.pods()) == ["u1"]


async def test_the_tree_on_v2(tmp_path: Path) -> None:
    for directory in ("", "kubepods", "kubepods/burstable"):
        (tmp_path / directory).mkdir(exist_ok=True)
        (tmp_path / directory / "cgroup.controllers").write_text("cpu memory")
    tree = CgroupTree("/", Hierarchies(tmp_path, {}, ()))
    tree.add_pod(make_pod({"requests": {"cpu": "1"}}))
    assert (tmp_path / "kubepods/burstable/podu1/cpu.weight").read_text() == "39"
    assert (tmp_path / "kubepods/burstable/podu1/cpu.max").read_text() == "max 100000"
    assert (tmp_path / "kubepods/cgroup.subtree_control").read_text() == "+cpu +memory"


async def test_a_pod_may_have_so_many_processes(tmp_path: Path) -> None:
    mounts = {name: tmp_path / name for name in ("cpu", "memory", "pids")}
    tree = CgroupTree("/n", Hierarchies(None, mounts, ()), pod_pids=64)
    path = tree.add_pod(make_pod({}))
    assert (tmp_path / f"pids{path}/pids.max").read_text() == "64"
    assert not (tmp_path / "pids/n/kubepods/besteffort/pids.max").exists()
    free = CgroupTree("/n", Hierarchies(None, {**mounts, "pids": tmp_path / "free"}, ()))
    free.add_pod(make_pod({}))
    assert not (tmp_path / "free").exists()


def test_huge_pages_are_bounded_for_every_size_that_the_node_has() -> None:
    pod = make_pod({"limits": {"hugepages-2Mi": "4Mi"}})
    capacity = Capacity(2000, 1 << 30, 1, 110, {2 << 20: 8, 1 << 30: 0})
    assert capacity.quantities()["hugepages-2Mi"] == "16Mi" and capacity.quantities()["hugepages-1Gi"] == "0"
    made = container_resources(pod, pod.spec.containers[0], capacity, unified=False)
    assert [(each.page_size, each.limit) for each in made.hugepage_limits] == [("2MB", 4 << 20)]
