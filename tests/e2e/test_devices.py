"""A device plugin and pods that want its devices, on real containers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kubelet_node
from tests.e2e.device_plugin import RESOURCE, BrickPlugin
from tests.e2e.kubelet_node import BUSYBOX, TestNode, node_in, own_network
from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.client.csi import CsiConnection, CsiFailure
from tiphys.kubelet.resources import podresources as p
from tiphys.kubelet.resources.podresources import SERVICE

pytestmark = pytest.mark.skipif(bool(kubelet_node.missing()), reason=kubelet_node.missing())


def wanting(name: str, count: int, command: str = "sleep 1000") -> dict[str, Any]:
    amounts = {RESOURCE: str(count)}
    container = {
        "name": "main",
        "image": BUSYBOX,
        "command": ["sh", "-c", command],
        "resources": {"limits": amounts, "requests": amounts},
    }
    return {"metadata": {"name": name}, "spec": {"containers": [container], "restartPolicy": "Never"}}


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def amounts(node: TestNode) -> tuple[str, str]:
    found = node.api.informer(NODE).get(node.settings.node_name)
    if found is None:
        return "", ""
    return found.status.capacity.get(RESOURCE, ""), found.status.allocatable.get(RESOURCE, "")


def health(pod: Pod | None) -> list[tuple[str, str]]:
    if pod is None or not pod.status.container_statuses:
        return []
    shown = pod.status.container_statuses[0].allocated_resources_status
    return [(device.resource_id, device.health) for resource in shown for device in resource.resources]


async def listed(node: TestNode) -> dict[str, list[str]]:
    """As a monitoring agent sees it."""
    connection = CsiConnection(node.settings.root_dir / "pod-resources" / "kubelet.sock")
    try:
        answer = await connection.call(SERVICE + "List", p.Empty(), p.ListAnswer)
        wanted = p.GetRequest(pod_name="second", pod_namespace="default")
        assert await connection.call(SERVICE + "Get", wanted, p.GetAnswer) == p.GetAnswer(answer.pod_resources[0])
        free = await connection.call(SERVICE + "GetAllocatableResources", p.Empty(), p.AllocatableAnswer)
        assert sorted(name for each in free.devices for name in each.device_ids) == ["brick-1", "brick-2", "brick-3"]
        wanted.pod_name = "none"
        with pytest.raises(CsiFailure, match="pod none in namespace default not found"):
            await connection.call(SERVICE + "Get", wanted, p.GetAnswer)
    finally:
        await connection.close()
    return {
        pod.name: [name for container in pod.containers for each in container.devices for name in each.device_ids]
        for pod in answer.pod_resources
    }


async def scene(directory: Path) -> None:
    async with node_in(directory) as node:
        plugin = BrickPlugin(node.settings.root_dir, "brick-1", "brick-2", "brick-3")
        await plugin.start()
        try:
            await bricks(node, plugin)
        finally:
            await plugin.stop()


async def bricks(node: TestNode, plugin: BrickPlugin) -> None:
    with pytest.raises(CsiFailure, match='requested API version "v2" is not supported by kubelet'):
        await plugin.register(version="v2")
    with pytest.raises(CsiFailure, match='the ResourceName "brick" is invalid'):
        await plugin.register(resource="brick")
    await plugin.register()
    await until(lambda: amounts(node) == ("3", "3"))

    told = "echo $BRICKS > /dev/termination-log; test -c /dev/brick-3 && ls /bricks/brick.sock; echo x > /dev/brick-3"
    node.api.run(wanting("first", 1, told))
    first = await node.until_phase("first", "Failed")  # /dev/full takes nothing
    ended = first.status.container_statuses[0].state.terminated
    assert ended is not None and ended.message == "brick-3\n"
    assert plugin.asked == ["GetPreferredAllocation", "Allocate", "PreStartContainer"]

    node.api.run(wanting("second", 2))
    await node.until_phase("second", "Running")
    assert health(node.api.pod("second")) == [("brick-3", "Healthy"), ("brick-2", "Healthy")]
    node.api.run(wanting("greedy", 2))
    greedy = await node.until_phase("greedy", "Failed")
    text = f"requested number of devices unavailable for {RESOURCE}. Requested: 2, Available: 1"
    assert (greedy.status.reason, greedy.status.message) == (
        "UnexpectedAdmissionError",
        f"Pod was rejected: Allocate failed due to {text}, which is unexpected",
    )

    assert await listed(node) == {"second": ["brick-3", "brick-2"]}

    plugin.turn("brick-2", "Unhealthy")
    await node.until("second", lambda pod: ("brick-2", "Unhealthy") in health(pod))
    await until(lambda: amounts(node) == ("3", "2"))
    plugin.turn("brick-2", "Healthy")
    await until(lambda: amounts(node) == ("3", "3"))

    # A new kubelet remembers who has what, and offers nothing until the plugin is back.
    await node.restart_kubelet()
    await until(lambda: amounts(node) == ("0", "0"))
    await plugin.start()  # its socket went with the others
    await plugin.register()
    await until(lambda: amounts(node) == ("3", "3"))
    assert (await node.until_phase("second", "Running")).status.container_statuses[0].restart_count == 0
    node.api.run(wanting("third", 1, "echo $BRICKS > /dev/termination-log"))
    third = await node.until_phase("third", "Succeeded")
    ended = third.status.container_statuses[0].state.terminated
    assert ended is not None and ended.message == "brick-1\n"

    plugin.refuses = "it broke"
    node.api.run(wanting("refused", 1))
    refused = await node.until_phase("refused", "Failed")
    assert "Allocate failed due to rpc error: code = Internal desc = it broke" in refused.status.message
    await plugin.stop()
    await until(lambda: amounts(node) == ("3", "0"))


def test_devices(tmp_path: Path) -> None:
    with own_network():
        asyncio.run(scene(tmp_path))
