"""Device claims of pods."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.kind import new
from tiphys.api.kinds import POD, RESOURCECLAIM, RESOURCECLAIMTEMPLATE
from tiphys.api.kinds.core.pod.spec import PodResourceClaim
from tiphys.api.kinds.core.pod.status import PodResourceClaimStatus
from tiphys.api.kinds.resource.resourceclaim import AllocationResult, ResourceClaimConsumerReference
from tiphys.api.meta.owners import owner_reference
from tiphys.controllers import resourceclaim
from tiphys.controllers.resourceclaim import ClaimKey, PodKey

from . import objects
from .memory import Bench

POD_KEY = PodKey("default", "web")


def put_pod(b: Bench, *, template: str = "gpus", claim: str = "", noted: str = "", **fields: Any) -> Any:
    pod = objects.pod("web", **fields)
    named = {"resource_claim_name": claim} if claim else {"resource_claim_template_name": template}
    pod.spec.resource_claims = [PodResourceClaim(name="gpu", **named)]
    if noted:
        pod.status.resource_claim_statuses = [PodResourceClaimStatus(name="gpu", resource_claim_name=noted)]
    return b.client.put(POD, pod)


def put_template(b: Bench) -> None:
    template = new(RESOURCECLAIMTEMPLATE, "gpus", "default")
    template.spec.metadata.labels = {"a": "b"}
    b.client.put(RESOURCECLAIMTEMPLATE, template)


def put_claim(b: Bench, *, owner: Any = None, users: tuple[str, ...] = (), allocated: bool = False, ending: bool = False) -> None:  # fmt: skip # noqa: E501
    claim = new(RESOURCECLAIM, "c", "default")
    if owner is not None:
        claim.metadata.owner_references = [owner_reference(POD, owner)]
    claim.status.reserved_for = [ResourceClaimConsumerReference(resource="pods", name="web", uid=uid) for uid in users]
    if allocated:
        claim.status.allocation, claim.metadata.finalizers = AllocationResult(), [resourceclaim.FINALIZER]
    if ending:
        claim.metadata.deletion_timestamp = objects.NOW
    b.client.put(RESOURCECLAIM, claim)


def status(b: Bench) -> dict[str, str]:
    (pod,) = b.client.all(POD)
    return {each.name: each.resource_claim_name for each in pod.status.resource_claim_statuses}


async def test_a_template_becomes_a_claim_whose_name_the_pod_notes() -> None:
    b = Bench(resourceclaim.SPEC)
    put_template(b)
    pod = put_pod(b)
    await b.settle(POD_KEY)
    (claim,) = b.client.all(RESOURCECLAIM)
    assert claim.metadata.generate_name == "web-gpu-"
    assert claim.metadata.labels == {"a": "b"}
    assert claim.metadata.annotations == {resourceclaim.POD_CLAIM: "gpu"}
    assert claim.metadata.owner_references[0].uid == pod.metadata.uid
    assert status(b) == {"gpu": claim.metadata.name}


async def test_a_crash_after_the_claim_was_made_makes_no_second() -> None:
    b = Bench(resourceclaim.SPEC)
    put_template(b)
    put_pod(b)
    await b.apply(POD_KEY)
    assert status(b) == {}
    await b.settle(POD_KEY)
    assert len(b.client.all(RESOURCECLAIM)) == 1
    assert len(status(b)) == 1


async def test_a_deleted_claim_is_made_again() -> None:
    b = Bench(resourceclaim.SPEC)
    put_template(b)
    put_pod(b, noted="gone")
    await b.settle(POD_KEY)
    (claim,) = b.client.all(RESOURCECLAIM)
    assert status(b) == {"gpu": claim.metadata.name}


async def test_a_missing_template_is_told() -> None:
    b = Bench(resourceclaim.SPEC)
    put_pod(b)
    await b.apply(POD_KEY)
    assert [event[2] for event in b.events.events] == ["FailedResourceClaimCreation"]


def test_long_names_are_cut_in_proportion() -> None:
    base = resourceclaim._base("p" * 60, "c" * 20)
    assert len(base) <= 57
    assert base.startswith("ppp")
    assert base.endswith("ccc")


async def test_a_bound_pod_gets_its_reservation() -> None:
    b = Bench(resourceclaim.SPEC)
    put_claim(b, allocated=True)
    pod = put_pod(b, claim="c", node="n1")
    await b.settle(POD_KEY)
    (claim,) = b.client.all(RESOURCECLAIM)
    assert [each.uid for each in claim.status.reserved_for] == [pod.metadata.uid]


@pytest.mark.parametrize(
    ("pod", "kept"),
    [
        ({"node": "n1", "phase": "Running"}, True),
        ({"node": "n1", "phase": "Succeeded"}, False),
        (None, False),
    ],
)
async def test_reservations_end_with_their_pods(pod: dict[str, Any] | None, kept: bool) -> None:
    b = Bench(resourceclaim.SPEC)
    uid = put_pod(b, claim="c", **pod).metadata.uid if pod is not None else "uid-gone"
    put_claim(b, users=(uid,), allocated=True)
    await b.settle(ClaimKey("default", "c"))
    (claim,) = b.client.all(RESOURCECLAIM)
    assert bool(claim.status.reserved_for) == (claim.status.allocation is not None) == kept


async def test_the_scheduler_may_protect_a_claim_before_it_allocates() -> None:
    b = Bench(resourceclaim.SPEC)
    put_claim(b, allocated=True)
    (claim,) = b.client.all(RESOURCECLAIM)
    claim.status.allocation = None
    b.client.put(RESOURCECLAIM, claim)
    await b.settle(ClaimKey("default", "c"))
    assert b.client.all(RESOURCECLAIM)[0].metadata.finalizers == [resourceclaim.FINALIZER]


async def test_a_claim_that_was_made_for_a_pod_goes_when_the_pod_is_done() -> None:
    b = Bench(resourceclaim.SPEC)
    pod = put_pod(b, node="n1", phase="Succeeded")
    put_claim(b, owner=pod, users=(pod.metadata.uid,), allocated=True)
    await b.settle(ClaimKey("default", "c"))
    assert b.client.all(RESOURCECLAIM) == []


async def test_an_allocated_claim_that_nobody_uses_can_be_deleted() -> None:
    b = Bench(resourceclaim.SPEC)
    put_claim(b, allocated=True, ending=True)
    await b.settle(ClaimKey("default", "c"))
    assert b.client.all(RESOURCECLAIM) == []
