"""Pods that claim devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.scheduler.test_scheduler import Cluster, running
from tests.unit.scheduler.test_volumes import made

from tiphys.api.kinds import DEVICECLASS, NODE, POD, RESOURCECLAIM, RESOURCESLICE
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodResourceClaim
from tiphys.api.kinds.core.pod.status import PodResourceClaimStatus
from tiphys.api.meta.schema import copy_of
from tiphys.testing import builders as b

DRIVER = "gpu.example.com"


def device(name: str, **attributes: Any) -> dict[str, Any]:
    stated = {key: {"string": value} if isinstance(value, str) else {"int": value} for key, value in attributes.items()}
    return {"name": name, "attributes": stated, "capacity": {"memory": {"value": "8Gi"}}}


def offer(node: str, devices: Sequence[dict[str, Any]], **more: Any) -> Any:
    pool = {"name": node, "generation": 1, "resourceSliceCount": more.pop("slices", 1)}
    spec = {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": list(devices)}
    return made(RESOURCESLICE, f"slice-{node}", spec=spec | more)


def device_class(expression: str = f"device.driver == '{DRIVER}'") -> Any:
    return made(DEVICECLASS, "gpu", spec={"selectors": [{"cel": {"expression": expression}}]})


def claim(name: str, *expressions: str, constraints: Sequence[dict[str, Any]] = (), **exactly: Any) -> Any:
    selectors = [{"cel": {"expression": expression}} for expression in expressions]
    request = {"deviceClassName": "gpu", "selectors": selectors, "allocationMode": "ExactCount", "count": 1} | exactly
    devices = {"requests": [{"name": "r", "exactly": request}], "constraints": list(constraints)}
    return made(RESOURCECLAIM, name, "default", spec={"devices": devices})


def using(name: str, *claims: str) -> Pod:
    pod = b.pod(name)
    pod.spec.resource_claims = [PodResourceClaim(name=c, resource_claim_name=c) for c in claims]
    return pod


def given(cluster: Cluster, name: str) -> list[str]:
    allocation = cluster.api.informer(RESOURCECLAIM).get(name, "default").status.allocation
    return sorted(result.device for result in allocation.devices.results) if allocation else []


def why(cluster: Cluster) -> str:
    return cluster.events.events[-1][3]


async def test_the_node_with_a_device_that_matches_is_taken_and_the_claim_told() -> None:
    async with running() as c:
        for name, memory in (("n1", 8), ("n2", 80)):
            c.api.put(NODE, b.node(name))
            c.api.put(RESOURCESLICE, offer(name, [device("gpu-0", memory=memory, model="a100")]))
        c.api.put(DEVICECLASS, device_class())
        large = f"device.attributes['{DRIVER}'].memory > 40"
        roomy = f"device.capacity['{DRIVER}'].memory.isGreaterThan(quantity('4Gi'))"
        c.api.put(RESOURCECLAIM, claim("big", large, roomy))
        c.api.put(POD, using("web", "big"))
        await c.rest()
        assert c.node_of("web") == "n2"
        found = c.api.informer(RESOURCECLAIM).get("big", "default")
        assert given(c, "big") == ["gpu-0"]
        assert found.metadata.finalizers == ["resource.kubernetes.io/delete-protection"]
        assert [user.name for user in found.status.reserved_for] == ["web"]
        assert found.status.allocation.node_selector.node_selector_terms[0].match_fields[0].values == ["n2"]


async def test_a_device_is_given_once_and_given_back() -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1"))
        c.api.put(RESOURCESLICE, offer("n1", [device("gpu-0")]))
        c.api.put(DEVICECLASS, device_class())
        for i in range(2):
            c.api.put(RESOURCECLAIM, claim(f"c{i}"))
            c.api.put(POD, using(f"p{i}", f"c{i}"))
        await c.rest()
        assert sorted(c.node_of(f"p{i}") for i in range(2)) == ["", "n1"]
        refused = [event[3] for event in c.events.events if event[2] == "FailedScheduling"]
        assert refused[0].startswith("0/1 nodes are available: 1 cannot allocate all claims.")
        first = 0 if c.node_of("p0") else 1
        c.api.remove(POD, f"p{first}", "default")
        c.api.remove(RESOURCECLAIM, f"c{first}", "default")
        c.api.put(RESOURCESLICE, offer("n1", [device("gpu-0")]))
        await c.rest(11)
        assert c.node_of(f"p{1 - first}") == "n1"


async def test_pods_share_a_claim_and_so_a_node() -> None:
    async with running() as c:
        for name in ("n1", "n2"):
            c.api.put(NODE, b.node(name))
            c.api.put(RESOURCESLICE, offer(name, [device("gpu-0")]))
        c.api.put(DEVICECLASS, device_class())
        c.api.put(RESOURCECLAIM, claim("shared"))
        for i in range(3):
            c.api.put(POD, using(f"p{i}", "shared"))
            await c.rest(11)
        assert len({c.node_of(f"p{i}") for i in range(3)} - {""}) == 1
        assert len(c.api.informer(RESOURCECLAIM).get("shared", "default").status.reserved_for) == 3


async def test_counts_all_constraints_and_incomplete_pools() -> None:
    cases = [
        (claim("c", count=2), ["a1", "a2"]),
        (claim("c", allocationMode="All", count=0), ["a1", "a2", "b1"]),
        (claim("c", count=3), ["a1", "a2", "b1"]),
        (claim("c", count=4), []),
        (claim("c", count=2, constraints=[{"distinctAttribute": f"{DRIVER}/numa"}]), ["a1", "b1"]),
        (claim("c", count=3, constraints=[{"matchAttribute": f"{DRIVER}/numa"}]), []),
    ]
    devices = [device("a1", numa="a"), device("a2", numa="a"), device("b1", numa="b")]
    for wanted, expected in cases:
        async with running() as c:
            c.api.put(NODE, b.node("n1"))
            c.api.put(RESOURCESLICE, offer("n1", devices))
            c.api.put(DEVICECLASS, device_class())
            c.api.put(RESOURCECLAIM, wanted)
            c.api.put(POD, using("web", "c"))
            await c.rest()
            assert given(c, "c") == expected
    async with running() as c:
        c.api.put(NODE, b.node("n1"))
        c.api.put(RESOURCESLICE, offer("n1", devices, slices=2))
        c.api.put(DEVICECLASS, device_class())
        c.api.put(RESOURCECLAIM, claim("c"))
        c.api.put(POD, using("web", "c"))
        await c.rest()
        assert c.node_of("web") == ""


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        ([], 'resourceclaim.resource.k8s.io "c" not found'),
        ([(RESOURCECLAIM, claim("c"))], "request r: device class gpu does not exist"),
        ([(DEVICECLASS, device_class("device.nonsense(")), (RESOURCECLAIM, claim("c"))], "CEL expression"),
    ],
)
async def test_claims_that_cannot_be_met_say_why(objects: list[Any], told: str) -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1"))
        c.api.put(RESOURCESLICE, offer("n1", [device("gpu-0")]))
        for kind, obj in objects:
            c.api.put(kind, obj)
        c.api.put(POD, using("web", "c"))
        await c.rest()
        assert told in why(c)


async def test_a_claim_from_a_template_counts_once_the_pod_names_it() -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1"))
        c.api.put(RESOURCESLICE, offer("n1", [device("gpu-0")]))
        c.api.put(DEVICECLASS, device_class())
        pod = b.pod("web")
        pod.spec.resource_claims = [PodResourceClaim(name="r", resource_claim_template_name="t")]
        pod = c.api.put(POD, pod)
        c.api.put(RESOURCECLAIM, claim("web-r"))
        await c.rest()
        assert why(c).startswith('0/1 nodes are available: pod "default/web": ResourceClaim not created yet (r).')
        named = copy_of(c.api.informer(POD).get("web", "default"))
        named.status.resource_claim_statuses = [PodResourceClaimStatus(name="r", resource_claim_name="web-r")]
        c.api.put(POD, named)
        await c.rest()
        assert c.node_of("web") == "n1" and given(c, "web-r") == ["gpu-0"]
