"""Pods that take more than they may, and a node that is low on memory, on real containers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kubelet_node
from tests.e2e.kubelet_node import BUSYBOX, node_in, own_network
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


async def low_memory(directory: Path) -> None:
    async with node_in(directory, eviction_hard={"memory.available": "99%"}) as node:
        node.api.run(pod("idle", ["sleep", "1000"], {}))
        idle = await node.until_phase("idle", "Failed", 40)
        assert idle.status.reason == "Evicted"
        assert idle.status.message.startswith("The node was low on resource: memory. Threshold quantity: ")
        found = node.api.informer(NODE).get(node.settings.node_name)
        conditions = {c.type: (c.status, c.reason) for c in found.status.conditions}
        assert conditions["MemoryPressure"] == ("True", "KubeletHasInsufficientMemory")
        node.api.run(pod("late", ["sleep", "1000"], {}))
        late = await node.until_phase("late", "Failed")
        assert late.status.message == "Pod was rejected: The node had condition: [MemoryPressure]. "


@pytest.mark.parametrize("scene", [fill, low_memory])
def test_evictions(scene: Any, tmp_path: Path) -> None:
    with own_network():
        asyncio.run(scene(tmp_path))
