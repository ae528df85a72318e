"""The kubelet on a machine with systemd: slices for its pods, a lock on the machine's shutdown."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tiphys.api.kinds import POD
from tiphys.kubelet.systemd import bus
from tiphys.kubelet.systemd.slices import Slices, slice_of

from .kubelet_node import BUSYBOX, TestNode, missing, node_in, own_network

_ABSENT = missing() or bus.obstacle() or ("" if Path("/sys/fs/cgroup/cgroup.procs").exists() else "needs cgroup v2")
pytestmark = [pytest.mark.skipif(bool(_ABSENT), reason=_ABSENT or "-"), pytest.mark.asyncio(loop_scope="module")]
WAIT_S = 180.0
GRACE_S = 45


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestNode]:
    with own_network():
        more: dict[str, Any] = {"cgroup_driver": "systemd", "shutdown_grace_s": GRACE_S}
        async with node_in(tmp_path_factory.mktemp("node"), **more) as running:
            yield running
        await asyncio.to_thread(Slices(unified=True).end, slice_of(running.settings.cgroup_root))


def pod(name: str, **resources: Any) -> dict[str, Any]:
    lives = "trap 'exit 0' TERM; while true; do sleep 0.2; done"
    container = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", lives], "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}


async def test_a_pod_is_a_slice_and_its_containers_are_scopes(node: TestNode) -> None:
    manifest = pod("sliced", requests={"cpu": "100m"}, limits={"cpu": "500m", "memory": "64Mi"})
    running = node.api.run(manifest)
    found = await node.until_phase("sliced", "Running", WAIT_S)
    directory = Path("/sys/fs/cgroup") / slice_of(
        f"{node.settings.cgroup_root}/kubepods/burstable/pod{running.metadata.uid}"
    ).lstrip("/")
    shown = run("systemctl", "show", directory.name, "-p", "CPUQuotaPerSecUSec,MemoryMax,TasksMax,ActiveState")
    assert shown.split() == ["CPUQuotaPerSecUSec=500ms", f"MemoryMax={64 << 20}", "TasksMax=4096", "ActiveState=active"]
    run("systemctl", "daemon-reload")
    assert (directory / "memory.max").read_text() == f"{64 << 20}\n"
    assert (directory / "cpu.max").read_text() == "50000 100000\n"
    container_id = found.status.container_statuses[0].container_id.removeprefix("containerd://")
    assert (directory / f"cri-containerd-{container_id}.scope" / "cgroup.procs").read_text()
    (reading,) = await node.kubelet.collector.read_pods(node.kubelet.pods_now())
    assert [each.usage.memory_bytes > 0 for each in reading.containers] == [True]
    # Without swap for the container, as everywhere.
    scope = directory / f"cri-containerd-{container_id}.scope"
    assert not (scope / "memory.swap.max").exists() or (scope / "memory.swap.max").read_text() == "0\n"
    await node.restart_kubelet()
    await node.until_phase("sliced", "Running", WAIT_S)
    await node.api.delete(POD, "sliced", "default", grace_period_s=0)
    await node.until_gone("sliced", WAIT_S)
    assert not directory.exists()
    assert directory.name not in run("systemctl", "list-units", "--all", "--type=slice", "--plain")


async def test_the_machines_shutdown_waits_for_pods(node: TestNode) -> None:
    def locks() -> str:
        return run("systemd-inhibit", "--list", "--no-pager")

    async with asyncio.timeout(WAIT_S):
        while "kubelet" not in await asyncio.to_thread(locks):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.2)
    shown = run("busctl", "get-property", bus.LOGIND.name, bus.LOGIND.path, bus.LOGIND.interface, "InhibitDelayMaxUSec")
    assert int(shown.split()[1]) >= GRACE_S * 1_000_000
    # Anybody may send the signal; only logind's counts.
    run("busctl", "emit", bus.LOGIND.path, bus.LOGIND.interface, "PrepareForShutdown", "b", "true")
    await asyncio.sleep(1.0)
    assert node.kubelet.shutdown is not None and not node.kubelet.shutdown.problem
