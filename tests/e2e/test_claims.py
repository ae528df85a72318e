"""A DRA driver and pods with ResourceClaims, on real containers. Who gets which device is the scheduler's to say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kubelet_node
from tests.e2e.conftest import RunningCluster, eventually
from tests.e2e.dra_driver import DRIVER, LampDriver
from tests.e2e.kubelet_node import BUSYBOX, TestNode, node_in, own_network
from tiphys.api.codec import from_json
from tiphys.api.kinds import POD, RESOURCECLAIM
from tiphys.api.kinds.core.pod.schema import Pod

pytestmark = pytest.mark.skipif(bool(kubelet_node.missing()), reason=kubelet_node.missing())


def with_claim(name: str, claim: str, command: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": BUSYBOX,
        "command": ["sh", "-c", command],
        "resources": {"claims": [{"name": "light"}]},
    }
    without = {"name": "dark", "image": BUSYBOX, "command": ["sh", "-c", "test -z $LAMP_RED && test ! -e /dev/red"]}
    spec = {
        "containers": [container],
        "initContainers": [without],
        "resourceClaims": [{"name": "light", "resourceClaimName": claim}],
        "restartPolicy": "Never",
    }
    return {"metadata": {"name": name}, "spec": spec}


def reserve(node: TestNode, claim: str, pods: Sequence[Pod]) -> None:
    """As the scheduler does."""
    result = {"request": "lamp", "driver": DRIVER, "pool": node.settings.node_name, "device": "red"}
    users = [{"resource": "pods", "name": pod.metadata.name, "uid": pod.metadata.uid} for pod in pods]
    status = {"allocation": {"devices": {"results": [result]}}, "reservedFor": users}
    spec = {"devices": {"requests": [{"name": "lamp", "exactly": {"deviceClassName": "lamps"}}]}}
    made = {
        "metadata": {"name": claim, "namespace": "default", "uid": f"uid-of-{claim}"},
        "spec": spec,
        "status": status,
    }
    node.api.put(RESOURCECLAIM, from_json(RESOURCECLAIM.schema, made))


async def scene(directory: Path) -> None:
    cdi = directory / "cdi"
    async with node_in(directory, cdi_spec_dirs=(cdi,)) as node:
        driver = LampDriver(node.settings.root_dir, cdi, ["red"])
        try:
            await lamps(node, driver)
        finally:
            await driver.stop()


async def lamps(node: TestNode, driver: LampDriver) -> None:
    lit = "echo $LAMP_RED > /dev/termination-log; test -c /dev/red && sleep 1000"
    early = node.api.run(with_claim("early", "one", lit))
    reserve(node, "one", [])
    prefix = "Failed to prepare dynamic resources: prepare dynamic resources: "
    not_its = f"{prefix}pod early ({early.metadata.uid}) is not allowed to use ResourceClaim one (uid-of-one)"
    await node.until("early", lambda _: any(not_its in text for _, text in node.reasons("early")))
    reserve(node, "one", [early])
    missing = f"{prefix}DRA driver {DRIVER} is not registered"
    await node.until("early", lambda _: ("FailedPrepareDynamicResources", missing) in node.reasons("early"))
    driver.refuses = "no bulb"
    await driver.start()
    failed = f"{prefix}NodePrepareResources failed for ResourceClaim one: no bulb"
    await node.until("early", lambda _: ("FailedPrepareDynamicResources", failed) in node.reasons("early"))
    driver.refuses = ""
    await node.until_phase("early", "Running")
    assert list(driver.prepared.values()) == ["one"]

    # A second pod shares the claim: nothing is prepared again, and nothing undone before both have gone.
    shared = node.api.run(with_claim("shared", "one", "test $LAMP_RED = lit"))
    reserve(node, "one", [early, shared])
    await node.until_phase("shared", "Succeeded")
    assert list(driver.prepared.values()) == ["one"]
    await node.restart_kubelet()
    await node.api.delete(POD, "early", "default", grace_period_s=0)
    await node.until_gone("early")
    assert driver.prepared == {}


def test_claims(tmp_path: Path) -> None:
    with own_network():
        asyncio.run(scene(tmp_path))


@contextmanager
def running(driver: LampDriver) -> Iterator[None]:
    """The driver, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(driver.start(), loop).result(10)
        yield
    finally:
        asyncio.run_coroutine_threadsafe(driver.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_claim_from_a_template_to_its_end(cluster: RunningCluster, namespace: str) -> None:
    driver = LampDriver(cluster.data_dir / "nodes" / "node-1" / "kubelet", Path("/var/run/cdi"), ["red"])
    lamps = {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]}
    request = {"devices": {"requests": [{"name": "lamp", "exactly": {"deviceClassName": "lamps"}}]}}
    group = {"apiVersion": "resource.k8s.io/v1"}
    container = {
        "name": "main",
        "image": cluster.image,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "test -c /dev/red && echo lamp is $LAMP_RED; sleep 1000"],
        "resources": {"claims": [{"name": "light"}]},
    }
    claims = [{"name": "light", "resourceClaimTemplateName": "lamp"}]

    def pod(name: str) -> dict[str, Any]:
        spec = {"containers": [container], "resourceClaims": claims, "terminationGracePeriodSeconds": 0}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}

    def phase(name: str) -> str:
        return str(cluster.get("pod", name, "-n", namespace)["status"]["phase"])

    with running(driver):
        cluster.apply({**group, "kind": "DeviceClass", "metadata": {"name": "lamps"}, "spec": lamps})
        cluster.apply(driver.slice("node-1"))
        template = {**group, "kind": "ResourceClaimTemplate", "metadata": {"name": "lamp"}, "spec": {"spec": request}}
        cluster.apply(template, namespace)
        cluster.apply(pod("first"), namespace)
        eventually(lambda: phase("first") == "Running", 60)
        assert "lamp is lit" in eventually(lambda: cluster.kubectl("logs", "first", "-n", namespace).stdout)
        cluster.apply(pod("second"), namespace)  # there is one lamp
        cluster.kubectl("delete", "pod", "first", "-n", namespace)
        eventually(lambda: phase("second") == "Running", 60)
        cluster.kubectl("delete", "pod", "second", "-n", namespace)
        eventually(lambda: not driver.prepared)
        eventually(lambda: not cluster.get("resourceclaims", "-n", namespace)["items"], 60)
    # Half a minute after the driver nobody offers its lamps any more.
    eventually(lambda: not cluster.get("resourceslices")["items"], 90)
    cluster.kubectl("delete", "deviceclass", "lamps")
