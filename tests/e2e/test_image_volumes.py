"""Files of an image in a pod that runs another, on a real containerd."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kubelet_node
from tests.e2e.kubelet_node import BUSYBOX, node_in, own_network

pytestmark = pytest.mark.skipif(bool(kubelet_node.missing()), reason=kubelet_node.missing())

SCRIPT = "ls /files /part; touch /files/x || echo read-only; sleep 1000"


def views(socket: Path) -> int:
    listed = subprocess.run(
        ["ctr", "-a", str(socket), "-n", "k8s.io", "snapshots", "ls"], capture_output=True, text=True, check=True
    )
    return listed.stdout.count("tiphys-volume-")


async def scene(directory: Path) -> None:
    async with node_in(directory) as node:
        volume: dict[str, Any] = {"name": "files", "image": {"reference": BUSYBOX, "pullPolicy": "IfNotPresent"}}
        node.api.run({
            "metadata": {"name": "reader"},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "main", "image": BUSYBOX, "command": ["sh", "-c", SCRIPT],
                    "volumeMounts": [
                        {"name": "files", "mountPath": "/files"},
                        {"name": "files", "mountPath": "/part", "subPath": "etc"},
                    ],
                }],
                "volumes": [volume],
            },
        })  # fmt: skip
        await node.until_phase("reader", "Running")
        assert await asyncio.to_thread(views, node.runtime.socket) == 1
        worker = node.kubelet.worker("default", "reader")
        assert worker is not None
        log = Path(worker.observer.runtime.running[0].log_path)
        async with asyncio.timeout(10):
            while "read-only" not in log.read_text():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)
        assert "passwd" in log.read_text()
        await node.api.delete(kubelet_node.POD, "reader", "default", grace_period_s=0)
        await node.until_gone("reader")
        assert await asyncio.to_thread(views, node.runtime.socket) == 0


def test_files_of_an_image(tmp_path: Path) -> None:
    with own_network():
        asyncio.run(scene(tmp_path))
