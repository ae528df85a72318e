"""Pods that take more than they may, and a node that is low on memory, on real containers."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kubelet_node
from tests.e2e.kubelet_node import BUSYBOX, TestNode, node_in, own_network
from tiphys.api.kinds import NODE

pytestmark = pytest.mark.skipif(bool(kubelet_node.missing()), reason=kubelet_node.missing())

FILL = ["sh", "-c", "dd if=/dev/zero of=/data/x bs=1M count=20; sleep 1000"]


def pod(name: str, command: list[str], volume: dict[str, Any], **resources: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": command, "resources": resources,
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "emptyDir": volume}],
        },
    }  # fmt: skip


async def fill(directory: Path) -> None:
    async with node_in(directory) as node:
        node.api.run(pod("sized", FILL, {"sizeLimit": "10Mi"}))
        node.api.run(pod("limited", FILL, {}, limits={"ephemeral-storage": "10Mi"}))
        node.api.run(pod("modest", ["sleep", "1000"], {"sizeLimit": "10Mi"}))
        sized = await node.until_phase("sized", "Failed", 40)
        assert (sized.status.reason, sized.status.message) == (
            "Evicted",
            'Usage of EmptyDir volume "data" exceeds the limit "10Mi". ',
        )
        assert ("TerminationByKubelet", "True") in [(c.reason, c.status) for c in sized.status.conditions]
        assert ("Evicted", sized.status.message) in node.reasons("sized")
        limited = await node.until_phase("limited", "Failed", 40)
        assert limited.status.message == (
            "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. "
        )
        assert (await node.until_phase("modest", "Running")).status.reason == ""


def conditions(node: TestNode) -> dict[str, tuple[str, str]]:
    found = node.api.informer(NODE).get(node.settings.node_name)
    return {c.type: (c.status, c.reason) for c in found.status.conditions}


async def low_memory(directory: Path) -> None:
    async with node_in(directory, eviction_hard={"memory.available": "99%"}) as node:
        node.api.run(pod("idle", ["sleep", "1000"], {}))
        idle = await node.until_phase("idle", "Failed", 40)
        assert idle.status.reason == "Evicted"
        assert idle.status.message.startswith("The node was low on resource: memory. Threshold quantity: ")
        assert conditions(node)["MemoryPressure"] == ("True", "KubeletHasInsufficientMemory")
        node.api.run(pod("late", ["sleep", "1000"], {}))
        late = await node.until_phase("late", "Failed")
        assert late.status.message == "Pod was rejected: The node had condition: [MemoryPressure]. "


async def low_memory_for_a_while(directory: Path) -> None:
    soft = {
        "eviction_soft": {"memory.available": "99%"},
        "eviction_soft_grace": {"memory.available": "1s"},
        "eviction_max_grace_s": 5,
    }
    async with node_in(directory, **soft) as node:
        leave = "trap 'echo left > /dev/termination-log; exit 0' TERM; while :; do sleep 0.1; done"
        node.api.run(pod("polite", ["sh", "-c", leave], {}))
        polite = await node.until_phase("polite", "Failed", 60)
        assert polite.status.reason == "Evicted"
        state = polite.status.container_statuses[0].state.terminated
        assert state is not None and (state.exit_code, state.message) == (0, "left\n")


async def low_on_processes(directory: Path) -> None:
    most = int(Path("/proc/sys/kernel/pid_max").read_text()) - 1
    async with node_in(directory, eviction_hard={"pid.available": str(most)}) as node:
        node.api.run(pod("idle", ["sleep", "1000"], {}))
        idle = await node.until_phase("idle", "Failed", 40)
        assert idle.status.message.startswith(f"The node was low on resource: pids. Threshold quantity: {most}, ")
        assert conditions(node)["PIDPressure"] == ("True", "KubeletHasInsufficientPID")


@contextmanager
def own_disk(directory: Path, options: str) -> Iterator[None]:
    """The kubelet's directory is a file system of its own."""
    root = directory / "kubelet"
    root.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(root)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(root)], check=False, capture_output=True)  # the node may have done it


DISK = ("nodefs.available", "50Mi", "ephemeral-storage", "size=100m", "dd if=/dev/zero of=/data/x bs=1M count=70")
INODES = ("nodefs.inodesFree", "1000", "inodes", "nr_inodes=3000", "cd /data; touch $(seq 1 2500)")


async def low_on_disk(directory: Path, lack: tuple[str, str, str, str, str]) -> None:
    signal, margin, resource, options, greed = lack
    with own_disk(directory, options):
        async with node_in(directory, eviction_hard={signal: margin}, eviction_transition_s=0.0) as node:
            node.api.run(pod("modest", ["sleep", "1000"], {}))
            await node.until_phase("modest", "Running")
            node.api.run(pod("greedy", ["sh", "-c", f"{greed}; sleep 1000"], {}))
            greedy = await node.until_phase("greedy", "Failed", 60)
            assert greedy.status.message.startswith(f"The node was low on resource: {resource}. Threshold quantity: ")
            # What it had is given back, the node recovers, and its neighbour has not noticed.
            await node.until("modest", lambda _: conditions(node)["DiskPressure"][0] == "False", 60)
            assert (await node.until_phase("modest", "Running")).status.container_statuses[0].restart_count == 0
            node.api.run(pod("next", ["sleep", "1000"], {}))
            await node.until_phase("next", "Running")


@pytest.mark.parametrize("lack", [DISK, INODES], ids=["bytes", "inodes"])
def test_a_full_disk(lack: tuple[str, str, str, str, str], tmp_path: Path) -> None:
    with own_network():
        asyncio.run(low_on_disk(tmp_path, lack))


@pytest.mark.parametrize("scene", [fill, low_memory, low_memory_for_a_while, low_on_processes])
def test_evictions(scene: Any, tmp_path: Path) -> None:
    with own_network():
        asyncio.run(scene(tmp_path))
