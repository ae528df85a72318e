"""What goes wrong in containers, all at once beside a good neighbour; then containerd is killed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kubelet_node
from tests.e2e.kubelet_node import BUSYBOX, TestNode, node_in, own_network
from tiphys.api.kinds import NODE, POD
from tiphys.api.kinds.core.pod.schema import Pod

pytestmark = pytest.mark.skipif(bool(kubelet_node.missing()), reason=kubelet_node.missing())

PIDS, LOG_BYTES = 64, 256 << 10


def pod(name: str, *command: str, container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    made = {"name": "main", "image": BUSYBOX, "command": list(command), **(container or {})}
    return {"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [made], **spec}}


def ended(found: Pod | None) -> Any:
    """How its container ended, or ended last."""
    if found is None or not found.status.container_statuses:
        return None
    status = found.status.container_statuses[0]
    return status.state.terminated or status.last_state.terminated


async def neighbour_is_well(node: TestNode) -> None:
    found = await node.until("neighbour", lambda p: p is not None and p.status.container_statuses[0].ready)
    assert found.status.container_statuses[0].restart_count == 0
    worker = node.kubelet.worker("default", "neighbour")
    assert worker is not None
    run = worker.observer.runtime.running[0]
    assert (await node.kubelet.cri.exec_sync(run.id, ["echo", "well"], 10)).stdout == b"well\n"


async def forks(node: TestNode) -> None:
    found = await node.until_phase("forks", "Running")
    (group,) = Path("/sys/fs/cgroup").glob(f"pids{node.settings.cgroup_root}/**/pod{found.metadata.uid}")
    deadline = time.monotonic() + 20
    while int((group / "pids.current").read_text()) < PIDS - 8:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert int((group / "pids.current").read_text()) <= PIDS


async def flood(node: TestNode) -> None:
    found = await node.until_phase("floods", "Running")
    meta = found.metadata
    logs = node.settings.pod_logs_dir(meta.namespace, meta.name, meta.uid) / "main"
    deadline = time.monotonic() + 60
    while len(files := sorted(path.name for path in logs.iterdir())) < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert files[0] == "0.log" and len(files) <= 3


async def scene(directory: Path) -> None:
    settings = {"pod_pids_limit": PIDS, "container_log_max_bytes": LOG_BYTES, "container_log_max_files": 2}
    async with node_in(directory, **settings) as node:
        probe = {"readinessProbe": {"exec": {"command": ["true"]}}}
        node.api.run(pod("neighbour", "sleep", "1000", container=probe))
        node.api.run(pod("forks", "sh", "-c", "f() { f | f & }; f; sleep 1000"))
        node.api.run(pod("floods", "sh", "-c", "while :; do seq 1 3000; sleep 0.05; done"))
        node.api.run(pod("deaf", "sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"))
        node.api.run(pod("nothing", "/no/such/program", restartPolicy="Never"))
        full = {"resources": {"limits": {"memory": "16Mi"}}}
        node.api.run(pod("hog", "sh", "-c", "x=a; while :; do x=$x$x; done", container=full))
        await forks(node)
        nothing = ended(await node.until("nothing", ended))
        assert (nothing.reason, nothing.exit_code) == ("StartError", 128)
        assert "/no/such/program" in nothing.message and "no such file or directory" in nothing.message
        hog = ended(await node.until("hog", ended, 40))
        assert (hog.reason, hog.exit_code) == ("OOMKilled", 137)
        await node.until("hog", lambda p: p and p.status.container_statuses[0].restart_count > 0, 60)
        await node.until_phase("deaf", "Running")
        begun = time.monotonic()
        await node.api.delete(POD, "deaf", "default", grace_period_s=1)
        await node.until_gone("deaf")
        assert time.monotonic() - begun >= 1
        await flood(node)
        await neighbour_is_well(node)
        await containerd_killed(node)
        for name in ("forks", "floods", "hog", "nothing"):
            await node.api.delete(POD, name, "default", grace_period_s=0)
            await node.until_gone(name, 40)
        await neighbour_is_well(node)


async def containerd_killed(node: TestNode) -> None:
    process = node.containerd._process
    assert process is not None
    before = node.api.pod("neighbour")
    process.kill()
    node.api.run(pod("meanwhile", "sleep", "1000"))

    def ready() -> tuple[str, str]:
        conditions = node.api.informer(NODE).get(node.settings.node_name).status.conditions
        return next((c.status, c.message) for c in conditions if c.type == "Ready")

    await node.until_phase("meanwhile", "Running", 60)
    deadline = time.monotonic() + 30
    while ready() != ("True", "kubelet is posting ready status"):
        assert time.monotonic() < deadline, ready()
        await asyncio.sleep(0.05)
    after = node.api.pod("neighbour")
    assert before is not None and after is not None
    assert [s.container_id for s in after.status.container_statuses] == [
        s.container_id for s in before.status.container_statuses
    ]
    await neighbour_is_well(node)


async def all_again(directory: Path) -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    data = [{"name": "data", "mountPath": "/data"}]
    initial = {"name": "init", "image": BUSYBOX, "command": ["sh", "-c", "echo i >> /data/log"], "volumeMounts": data}
    beside = {"name": "beside", "image": BUSYBOX, "command": ["sleep", "1000"]}
    once = "test $(cat /data/log | wc -l) -gt 1 && exec sleep 1000; exit 42"
    cause = {"name": "cause", "image": BUSYBOX, "command": ["sh", "-c", once], "volumeMounts": data}
    cause |= {"restartPolicy": "Never", "restartPolicyRules": [rule]}
    spec = {"initContainers": [initial], "containers": [beside, cause], "volumes": [{"name": "data", "emptyDir": {}}]}
    async with node_in(directory) as node:
        node.api.run({"metadata": {"name": "again"}, "spec": {"restartPolicy": "Never", **spec}})

        def counts(found: Pod | None) -> list[int]:
            statuses = (*found.status.container_statuses, *found.status.init_container_statuses) if found else ()
            return [status.restart_count for status in statuses]

        running = await node.until(
            "again",
            lambda p: (
                p is not None
                and counts(p) == [1, 1, 1]
                and all(status.state.running for status in p.status.container_statuses)
            ),
        )
        sandboxes = await node.kubelet.cri.list_sandboxes({"io.kubernetes.pod.uid": running.metadata.uid})
        assert len(sandboxes) == 1
        assert {c.type: c.status for c in running.status.conditions}["AllContainersRestarting"] == "False"
        beside_status = next(s for s in running.status.container_statuses if s.name == "beside")
        last = beside_status.last_state.terminated
        assert last is not None and (last.reason, last.exit_code) == ("RestartingAllContainers", 137)
        meta = running.metadata
        logs = node.settings.pod_logs_dir(meta.namespace, meta.name, meta.uid) / "init"
        assert sorted(path.name for path in logs.iterdir()) == ["0.log", "1.log"]


@pytest.mark.parametrize("work", [scene, all_again])
def test_faults(work: Any, tmp_path: Path) -> None:
    with own_network():
        asyncio.run(work(tmp_path))
