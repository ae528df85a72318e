"""Nothing of a pod stays behind, however it went: mounts, namespaces, cgroups, addresses, links, rules, containers.

`TIPHYS_LEAK_PODS` says how many pods come and go (40; 500 for the long run).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kubelet_node
from tests.e2e.kubelet_node import BUSYBOX, TestNode, node_in, own_network
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.schema import Pod

pytestmark = pytest.mark.skipif(bool(kubelet_node.missing()), reason=kubelet_node.missing())

PODS = int(os.environ.get("TIPHYS_LEAK_PODS", "40"))
BATCH = 20
_PORTS = itertools.cycle(range(18210, 18290))


def container(*command: str, image: str = BUSYBOX, **more: Any) -> dict[str, Any]:
    return {"name": "main", "image": image, "command": list(command), **more}


def plain() -> dict[str, Any]:
    return {"containers": [container("sleep", "1000")]}


def with_volumes() -> dict[str, Any]:
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("disk", "memory", "image", "facts")]
    mounts.append({"name": "disk", "mountPath": "/part", "subPath": "part"})
    return {
        "containers": [container("sleep", "1000", volumeMounts=mounts)],
        "volumes": [
            {"name": "disk", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "image", "image": {"reference": BUSYBOX, "pullPolicy": "IfNotPresent"}},
            {"name": "facts", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        ],
    }


def with_a_host_port() -> dict[str, Any]:
    return {"containers": [container("sleep", "1000", ports=[{"containerPort": 80, "hostPort": next(_PORTS)}])]}


def crashing() -> dict[str, Any]:
    return {"containers": [container("false")]}


def without_image() -> dict[str, Any]:
    return {"containers": [container("true", image="tiphys.local/none:1", imagePullPolicy="Never")]}


def deaf() -> dict[str, Any]:
    return {"containers": [container("sh", "-c", "trap '' TERM; while :; do sleep 1; done")]}


def forking() -> dict[str, Any]:
    return {"containers": [container("sh", "-c", "f() { sleep 100 & f; }; f")]}


SPECS: list[Callable[[], dict[str, Any]]] = [
    plain,
    with_volumes,
    with_a_host_port,
    crashing,
    without_image,
    deaf,
    forking,
]


def shell(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def counts(node: TestNode) -> dict[str, int]:
    """What a pod can leave, each as a number."""
    ctr = ("ctr", "-a", str(node.runtime.socket), "-n", "k8s.io")
    state = str(node.runtime.state)
    cgroups = [
        path
        for top in Path("/sys/fs/cgroup").glob(f"*{node.settings.cgroup_root}")
        for path in top.rglob("*")
        if path.is_dir()
    ]
    ours = (state, str(node.directory))
    return {
        "mounts": sum(any(o in line for o in ours) for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "network namespaces": len(shell("ip", "netns", "list-id").splitlines()),
        "cgroups": len(cgroups),
        "addresses": sum(1 for p in (node.directory / "ipam").rglob("10.251.*")),
        "links": len(shell("ip", "-o", "link").splitlines()),
        "rules": len(shell("nft", "list", "ruleset").splitlines()),
        "containers": len(shell(*ctr, "containers", "ls", "-q").split()),
        "tasks": len(shell(*ctr, "tasks", "ls", "-q").split()),
        "views": shell(*ctr, "snapshots", "ls").count("tiphys-volume-"),
        "pod directories": sum(1 for _ in (node.settings.root_dir / "pods").iterdir()),
        "log directories": sum(1 for _ in node.settings.logs_dir.iterdir()) if node.settings.logs_dir.is_dir() else 0,
    }


def begun(pod: Pod | None) -> bool:
    """Its container runs, has ended, or cannot be made."""
    states = [status.state for status in pod.status.container_statuses] if pod is not None else []
    return bool(states) and all(s.waiting is None or s.waiting.reason != "ContainerCreating" for s in states)


async def round_of(node: TestNode, names: list[str]) -> None:
    for index, name in enumerate(names):
        spec = SPECS[index % len(SPECS)]()
        node.api.run({"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 1, **spec}})
    for index, name in enumerate(names):
        if index % 5:  # each fifth is deleted while it starts
            await node.until(name, begun, 60)
    for name in names:
        await node.api.delete(POD, name, "default", grace_period_s=1)
    for name in names:
        await node.until_gone(name, 60)


async def scene(directory: Path) -> None:
    async with node_in(directory, pod_pids_limit=64) as node:
        await round_of(node, [f"first-{number}" for number in range(len(SPECS))])  # what is made once: bridge, chains
        before = await asyncio.to_thread(counts, node)
        names = [f"pod-{number}" for number in range(PODS)]
        for start in range(0, PODS, BATCH):
            await round_of(node, names[start : start + BATCH])
        after = await asyncio.to_thread(counts, node)
        assert {k: v for k, v in after.items() if v != before[k]} == {}


def test_nothing_stays(tmp_path: Path) -> None:
    with own_network():
        asyncio.run(scene(tmp_path))
