"""A DRA driver and pods with ResourceClaims, on real containers. Who gets which device is the scheduler's to say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kubelet_node
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
