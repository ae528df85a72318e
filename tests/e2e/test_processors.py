"""Processors of one's own, and the node's shutdown, on real containers."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kubelet_node
from tests.e2e.kubelet_node import BUSYBOX, TestNode, node_in, own_network
from tiphys.api.kinds import NODE, POD
from tiphys.base.quantity import value
from tiphys.client.csi import CsiConnection
from tiphys.kubelet.resources import podresources as p
from tiphys.kubelet.resources.cpus.topology import parse, read_processors, written

pytestmark = pytest.mark.skipif(
    bool(kubelet_node.missing()) or len(os.sched_getaffinity(0)) < 2,
    reason=kubelet_node.missing() or "needs two processors",
)


def pod(name: str, cpu: str, command: str = "exec sleep 1000", **spec: Any) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": "16Mi"}
    container = {
        "name": "main",
        "image": BUSYBOX,
        "command": ["sh", "-c", command],
        "resources": {"limits": amounts, "requests": amounts},
    }
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


async def allowed(node: TestNode, name: str, wanted: str) -> None:
    """Until the container's processors are these."""
    seen = ""
    for _ in range(1000):
        worker = node.kubelet.worker("default", name)
        for run in worker.observer.runtime.running if worker is not None else ():
            done = await node.kubelet.cri.exec_sync(run.id, ["cat", "/proc/self/status"], 10)
            lines = done.stdout.decode().splitlines()
            seen = next(line.split()[1] for line in lines if line.startswith("Cpus_allowed_list"))
        if seen == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name}: {seen}, not {wanted}")


async def alone(directory: Path) -> None:
    all_cpus = sorted(cpu.id for cpu in read_processors())
    first, others = str(all_cpus[0]), written(all_cpus[1:])
    rest = str(len(all_cpus) - 1)
    async with node_in(directory, cpu_manager_policy="static", reserved_cpus=first) as node:
        node.api.run(pod("shared", "0"))
        await node.until_phase("shared", "Running")
        status = node.api.informer(NODE).get(node.settings.node_name).status
        assert int(status.capacity["cpu"]) == int(status.allocatable["cpu"]) + 1
        await allowed(node, "shared", written(all_cpus))
        node.api.run(pod("alone", rest, terminationGracePeriodSeconds=0))
        await node.until_phase("alone", "Running")
        await allowed(node, "alone", others)
        await allowed(node, "shared", first)
        await node.restart_kubelet()
        node.api.run(pod("late", "1"))
        late = await node.until_phase("late", "Failed")
        assert late.status.reason == "OutOfcpu"
        await allowed(node, "shared", first)
        await node.api.delete(POD, "alone", "default", grace_period_s=0)
        await node.until_gone("alone")
        await allowed(node, "shared", written(all_cpus))
        assert parse(first) < parse(written(all_cpus))


async def memory_of_pods(node: TestNode) -> dict[str, list[tuple[str, int, list[int]]]]:
    """Type, bytes and NUMA nodes, as a monitoring agent sees them."""
    connection = CsiConnection(node.settings.root_dir / "pod-resources" / "kubelet.sock")
    try:
        listed = await connection.call(p.SERVICE + "List", p.Empty(), p.ListAnswer)
    finally:
        await connection.close()
    return {
        pod.name: [
            (given.memory_type, given.size, [node.id for node in given.topology.nodes] if given.topology else [])
            for container in pod.containers
            for given in container.memory
        ]
        for pod in listed.pod_resources
    }


async def memory(directory: Path) -> None:
    settings: dict[str, Any] = {
        "kube_reserved": {"memory": "200Mi"},
        "eviction_hard": {"memory.available": "56Mi"},
        "memory_manager_policy": "Static",
        "reserved_memory": {0: {"memory": 256 << 20}},
        "topology_manager_policy": "single-numa-node",
        "topology_manager_scope": "pod",
    }
    async with node_in(directory, **settings) as node:
        state = node.settings.root_dir / "memory_manager_state"
        loose = pod("loose", "100m")
        del loose["spec"]["containers"][0]["resources"]
        node.api.run(pod("near", "100m", terminationGracePeriodSeconds=0))
        node.api.run(loose)
        for name in ("near", "loose"):
            await node.until_phase(name, "Running")
        status = node.api.informer(NODE).get(node.settings.node_name).status
        pages = sum(size * count for size, count in node.kubelet.capacity.huge_pages.items())
        left = value(status.capacity["memory"]) - value(status.allocatable["memory"]) - pages
        assert left == 256 << 20

        expected = {"near": [("memory", 16 << 20, [0])], "loose": []}
        assert await memory_of_pods(node) == expected
        found = json.loads(state.read_bytes())["machineState"]["0"]["memoryMap"]["memory"]
        assert (found["reserved"], found["systemReserved"]) == (16 << 20, 256 << 20)
        await node.restart_kubelet()
        assert await memory_of_pods(node) == expected
        await node.api.delete(POD, "near", "default", grace_period_s=0)
        await node.until_gone("near")
        assert json.loads(state.read_bytes())["entries"] == {}


async def shutdown(directory: Path) -> None:
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    async with node_in(directory, shutdown_grace_s=5, shutdown_grace_critical_s=3) as node:
        node.api.run(pod("plain", "100m", "trap 'exit 0' TERM; while :; do sleep 0.1; done"))
        node.api.run(pod("deaf", "100m", deaf))
        node.api.run(pod("critical", "100m", priority=2_000_000_000))
        for name in ("plain", "deaf", "critical"):
            await node.until_phase(name, "Running")
        ending = asyncio.ensure_future(node.kubelet.shut_down())
        await node.until("plain", lambda p: p is not None and p.status.reason == "Terminated")
        assert (await node.until_phase("critical", "Running")).status.reason == ""  # its turn is later
        conditions = {c.type: c for c in node.api.informer(NODE).get(node.settings.node_name).status.conditions}
        assert (conditions["Ready"].status, conditions["Ready"].message) == ("False", "node is shutting down")
        node.api.run(pod("late", "100m"))
        late = await node.until_phase("late", "Failed")
        assert late.status.reason == "NodeShutdown"
        await ending
        for name in ("plain", "deaf", "critical"):
            ended = await node.until_phase(name, "Failed")
            assert ended.status.message == "Pod was terminated in response to imminent node shutdown."
            assert ("DisruptionTarget", "TerminationByKubelet") in [(c.type, c.reason) for c in ended.status.conditions]


HUGE = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
PAGES = 4


@contextmanager
def huge_pages() -> Iterator[None]:
    """Sets some aside on this machine; skips the test where it does not."""
    before = HUGE.read_text() if HUGE.exists() else ""
    try:
        if before:
            HUGE.write_text(str(int(before) + PAGES))
        if not before or int(HUGE.read_text()) < int(before) + PAGES:
            pytest.skip("no huge pages here")
        yield
    finally:
        if before:
            HUGE.write_text(before)


async def huge(directory: Path) -> None:
    with huge_pages():
        amount = f"{PAGES * 2}Mi"
        async with node_in(directory) as node:
            wanting = pod("huge", "100m", "stat -f -c %s /pages > /dev/termination-log")
            container = wanting["spec"]["containers"][0]
            for amounts in container["resources"].values():
                amounts["hugepages-2Mi"] = amount
            container["volumeMounts"] = [{"name": "pages", "mountPath": "/pages"}]
            wanting["spec"] |= {
                "restartPolicy": "Never",
                "volumes": [{"name": "pages", "emptyDir": {"medium": "HugePages"}}],
            }
            node.api.run(wanting)
            ended = (await node.until_phase("huge", "Succeeded")).status.container_statuses[0].state.terminated
            assert ended is not None and ended.message == f"{2 << 20}\n"
            status = node.api.informer(NODE).get(node.settings.node_name).status
            assert int(status.allocatable["hugepages-2Mi"].removesuffix("Mi")) >= PAGES * 2
            greedy = pod("greedy", "100m")
            for amounts in greedy["spec"]["containers"][0]["resources"].values():
                amounts["hugepages-2Mi"] = "1Gi"
            node.api.run(greedy)
            assert (await node.until_phase("greedy", "Failed")).status.reason == "OutOfhugepages-2Mi"


@pytest.mark.parametrize("scene", [alone, memory, shutdown, huge])
def test_scenes(scene: Any, tmp_path: Path) -> None:
    with own_network():
        asyncio.run(scene(tmp_path))
