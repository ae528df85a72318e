"""Devices that drivers taint, and the pods that have them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tiphys.api.codec import from_json
from tiphys.api.kinds import POD, RESOURCECLAIM, RESOURCESLICE
from tiphys.api.kinds.core.pod.spec import PodResourceClaim
from tiphys.api.kinds.resource.resourceclaim import ResourceClaim
from tiphys.api.kinds.resource.resourceslice import ResourceSlice
from tiphys.base.clock import rfc3339
from tiphys.controllers import device_taint_eviction
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench

KEY = Key("default", "p")


def bench(tolerations: list[dict[str, Any]], *, effect: str = "NoExecute", reserved: bool = True) -> Bench:
    b = Bench(device_taint_eviction.SPEC)
    pod = objects.pod("p", node="n1")
    pod.spec.resource_claims = [PodResourceClaim(name="gpu", resource_claim_name="c")]
    pod = b.client.put(POD, pod)
    result = {"request": "r", "driver": "d", "pool": "n1", "device": "gpu-0", "tolerations": tolerations}
    users = [{"resource": "pods", "name": "p", "uid": pod.metadata.uid if reserved else "other"}]
    status = {"allocation": {"devices": {"results": [result]}}, "reservedFor": users}
    meta = {"name": "c", "namespace": "default"}
    b.client.put(RESOURCECLAIM, from_json(ResourceClaim, {"metadata": meta, "status": status}))
    taint = {"key": "broken", "value": "yes", "effect": effect, "timeAdded": rfc3339(b.clock.now())}
    for name, generation, taints in (("old", 1, []), ("new", 2, [taint])):
        pool = {"name": "n1", "generation": generation, "resourceSliceCount": 1}
        spec = {"driver": "d", "pool": pool, "devices": [{"name": "gpu-0", "taints": taints}]}
        b.client.put(RESOURCESLICE, from_json(ResourceSlice, {"metadata": {"name": name}, "spec": spec}))
    return b


def tolerating(seconds: int | None, **more: str) -> dict[str, Any]:
    made: dict[str, Any] = {"key": "broken", "operator": "Exists", "effect": "NoExecute", **more}
    return made if seconds is None else {**made, "tolerationSeconds": seconds}


@pytest.mark.parametrize(
    ("tolerations", "wait_s"),
    [
        ([], 0),
        ([tolerating(None, key="other")], 0),
        ([tolerating(None, effect="NoSchedule")], 0),
        ([tolerating(None, operator="Equal", value="no")], 0),
        ([tolerating(30), tolerating(10)], 10),
        ([tolerating(-5)], 0),
        ([tolerating(10), tolerating(None)], None),
        ([tolerating(None, operator="Equal", value="yes")], None),
    ],
)
async def test_pods_leave_when_their_claims_do_not_tolerate(tolerations: list[Any], wait_s: int | None) -> None:
    b = bench(tolerations)
    asked_s = await b.apply(KEY)
    if wait_s:
        assert asked_s == wait_s and b.client.all(POD)[0].metadata.deletion_timestamp is None
        await b.clock.advance(timedelta(seconds=wait_s).total_seconds())
        await b.apply(KEY)
    gone = not [pod for pod in b.client.all(POD) if pod.metadata.deletion_timestamp is None]
    assert gone is (wait_s is not None)
    if gone:
        assert b.events.events[0][2:] == ("DeviceTaintManagerEviction", "Marking for deletion")
        assert b.figure("device_taint_eviction_controller_pod_deletions_total") == 1


@pytest.mark.parametrize("more", [{"effect": "NoSchedule"}, {"reserved": False}])
async def test_others_stay(more: dict[str, Any]) -> None:
    b = bench([], **more)
    await b.settle(KEY)
    assert b.client.all(POD)[0].metadata.deletion_timestamp is None


async def test_a_taint_that_goes_in_time_is_told() -> None:
    b = bench([tolerating(30)])
    await b.apply(KEY)
    b.client.drop(RESOURCESLICE, "new")
    await b.apply(KEY)
    await b.apply(KEY)
    assert [event[2:] for event in b.events.events] == [("DeviceTaintManagerEviction", "Cancelling deletion")]
