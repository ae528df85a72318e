"""Claims and volumes: who gets whom, and what the phases say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tiphys.api.errors import Conflict
from tiphys.api.kind import new
from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, STORAGECLASS
from tiphys.api.kinds.core.pod.volumes import PersistentVolumeClaimVolumeSource, Volume
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.types import LabelSelector
from tiphys.controllers import _volumes, persistentvolume_binder
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench

CLAIM = Key("default", "data")
UID = "uid-persistentvolumeclaims-default-data"


def put_volume(b: Bench, name: str = "disk", size: str = "2Gi", *modes: str, claim: str = "", uid: str = "", **spec: Any) -> Any:  # fmt: skip # noqa: E501
    made = new(PERSISTENTVOLUME, name)
    made.spec.capacity, made.spec.access_modes = {"storage": size}, list(modes or ("ReadWriteOnce",))
    made.metadata.annotations = spec.pop("annotations", {})
    made.metadata.labels = spec.pop("labels", {})
    made.status.phase = spec.pop("phase", "Available")
    if claim:
        made.spec.claim_ref = ObjectReference(namespace="default", name=claim, uid=uid)
    for field, value in spec.items():
        setattr(made.spec, field, value)
    return b.client.put(PERSISTENTVOLUME, made)


def put_claim(b: Bench, name: str = "data", size: str = "1Gi", *modes: str, **spec: Any) -> Any:
    made = new(PERSISTENTVOLUMECLAIM, name, "default")
    made.spec.resources.requests, made.spec.access_modes = {"storage": size}, list(modes or ("ReadWriteOnce",))
    made.spec.storage_class_name = ""
    made.metadata.annotations = spec.pop("annotations", {})
    made.status.phase = spec.pop("phase", "Pending")
    for field, value in spec.items():
        setattr(made.spec, field, value)
    return b.client.put(PERSISTENTVOLUMECLAIM, made)


def put_class(b: Bench, name: str = "fast", mode: str = "Immediate", *, default: bool = False, **fields: Any) -> None:
    made = new(STORAGECLASS, name, provisioner="disk.example", volume_binding_mode=mode)
    if default:
        made.metadata.annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    for field, value in fields.items():
        setattr(made, field, value)
    b.client.put(STORAGECLASS, made)


async def settle(b: Bench) -> None:
    """Every claim and volume, in turns, until nobody has anything to write."""
    for _ in range(20):
        keys = [Key("default", each.metadata.name) for each in b.client.all(PERSISTENTVOLUMECLAIM)]
        keys += [Key("", each.metadata.name) for each in b.client.all(PERSISTENTVOLUME)]
        before = len(b.client.calls)
        for key in keys:
            await b.settle(key)
        if len(b.client.calls) == before:
            return
    raise AssertionError("claims and volumes do not come to rest")


def claim_of(b: Bench, name: str = "data") -> Any:
    return b.client.informer(PERSISTENTVOLUMECLAIM).get(name, "default")


def volume_of(b: Bench, name: str = "disk") -> Any:
    return b.client.informer(PERSISTENTVOLUME).get(name)


def reasons(b: Bench) -> set[str]:
    return {event[2] for event in b.events.events}


async def test_a_claim_and_a_volume_become_bound() -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_volume(b)
    put_claim(b)
    await settle(b)
    claim, volume = claim_of(b), volume_of(b)
    assert (claim.status.phase, claim.spec.volume_name, claim.status.capacity) == ("Bound", "disk", {"storage": "2Gi"})
    assert claim.metadata.annotations == {_volumes.BIND_COMPLETED: "yes", _volumes.BOUND_BY_CONTROLLER: "yes"}
    assert (volume.status.phase, volume.spec.claim_ref.uid) == ("Bound", UID)
    assert volume.metadata.annotations == {_volumes.BOUND_BY_CONTROLLER: "yes"}


async def test_the_smallest_volume_with_the_fewest_modes_is_taken() -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_volume(b, "more-modes", "1Gi", "ReadWriteOnce", "ReadOnlyMany")
    put_volume(b, "large", "9Gi")
    put_volume(b, "right", "3Gi")
    put_volume(b, "small", "100Mi")
    put_claim(b)
    await settle(b)
    assert claim_of(b).spec.volume_name == "right"


@pytest.mark.parametrize(
    "volume",
    [
        {"storage_class_name": "other"},
        {"volume_mode": "Block"},
        {"access_modes": ["ReadOnlyMany"]},
        {"volume_attributes_class_name": "gold"},
        {"labels": {"a": "c"}},
        {"phase": "Released"},
        {"capacity": {"storage": "500Mi"}},
        {"claim": "another"},
    ],
)
async def test_an_unsuitable_volume_is_not_taken(volume: dict[str, Any]) -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_volume(b, **({"labels": {"a": "b"}} | volume))
    put_claim(b, selector=LabelSelector(match_labels={"a": "b"}))
    await b.settle(CLAIM)
    await b.apply(CLAIM)
    assert (claim_of(b).status.phase, claim_of(b).spec.volume_name) == ("Pending", "")
    assert reasons(b) == {"FailedBinding"}


async def test_a_volume_that_names_a_claim_goes_to_it_and_keeps_the_users_words() -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_volume(b, claim="data")
    put_claim(b, "another")
    put_claim(b)
    await settle(b)
    assert claim_of(b).spec.volume_name == "disk"
    assert claim_of(b, "another").status.phase == "Pending"
    assert volume_of(b).metadata.annotations == {}
    assert volume_of(b).spec.claim_ref.uid == UID


async def test_a_claim_that_names_a_volume_waits_for_it_and_gets_it() -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_claim(b, volume_name="disk")
    await settle(b)
    assert claim_of(b).status.phase == "Pending"
    put_volume(b, size="500Mi")
    await settle(b)
    await b.apply(CLAIM)
    assert b.events.events[-1][2:] == (
        "VolumeMismatch", 'Cannot bind to requested volume "disk": requested PV is too small',
    )  # fmt: skip
    put_volume(b)
    await settle(b)
    assert (claim_of(b).status.phase, volume_of(b).status.phase) == ("Bound", "Bound")
    assert _volumes.BOUND_BY_CONTROLLER not in claim_of(b).metadata.annotations


async def test_two_claims_never_get_one_volume() -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_volume(b)
    put_claim(b, "a")
    put_claim(b, "b")
    late = b.plan(Key("default", "b"))
    await b.settle(Key("default", "a"))
    with pytest.raises(Conflict):
        await b._applier.apply(Key("default", "b"), late)
    await settle(b)
    assert [each.status.phase for each in b.client.all(PERSISTENTVOLUMECLAIM)] == ["Bound", "Pending"]
    assert volume_of(b).spec.claim_ref.name == "a"


async def test_a_named_volume_of_somebody_else_is_not_taken() -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_volume(b, claim="another")
    put_claim(b, volume_name="disk")
    await b.apply(CLAIM)
    assert b.events.events[-1][2:] == ("FailedBinding", 'volume "disk" already bound to a different claim.')
    assert claim_of(b).status.phase == "Pending"


async def test_a_claim_without_class_gets_the_default_class() -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_class(b, "old")
    put_class(b, "fast", default=True)
    put_claim(b, storage_class_name=None)
    await b.settle(CLAIM)
    assert claim_of(b).spec.storage_class_name == "fast"
    assert claim_of(b).metadata.annotations[_volumes.PROVISIONER] == "disk.example"
    assert "ExternalProvisioning" in reasons(b)


@pytest.mark.parametrize("pods", [0, 1, 2])
async def test_a_class_that_waits_is_left_to_the_scheduler(pods: int) -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_class(b, mode="WaitForFirstConsumer")
    put_volume(b, storage_class_name="fast")
    put_claim(b, storage_class_name="fast")
    for number in range(pods):
        pod = objects.pod(f"p{number}")
        source = PersistentVolumeClaimVolumeSource(claim_name="data")
        pod.spec.volumes = [Volume(name="v", persistent_volume_claim=source)]
        b.client.put(POD, pod)
    await b.apply(CLAIM)
    texts = {
        0: ("WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
        1: ("WaitForPodScheduled", "waiting for pod p0 to be scheduled"),
        2: ("WaitForPodScheduled", "waiting for pods p0,p1 to be scheduled"),
    }
    assert [event[2:] for event in b.events.events] == [texts[pods]]
    assert claim_of(b).spec.volume_name == ""
    note = {_volumes.SELECTED_NODE: "n"}
    b.client.edit(PERSISTENTVOLUMECLAIM, "data", "default", lambda obj: obj.metadata.annotations.update(note))
    await b.settle(CLAIM)
    assert claim_of(b).metadata.annotations[_volumes.PROVISIONER] == "disk.example"


@pytest.mark.parametrize(
    ("storage_class", "provisioner", "text"),
    [
        ("gone", "disk.example", 'storageclass.storage.k8s.io "gone" not found'),
        ("fast", "kubernetes.io/no-provisioner", "no volume plugin matched name: kubernetes.io/no-provisioner"),
    ],
)
async def test_what_cannot_be_provisioned_is_told(storage_class: str, provisioner: str, text: str) -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_class(b, provisioner=provisioner)
    put_claim(b, storage_class_name=storage_class)
    await b.apply(CLAIM)
    assert [event[1:] for event in b.events.events] == [("Warning", "ProvisioningFailed", text)]


async def bound() -> Bench:
    b = Bench(persistentvolume_binder.SPEC)
    put_volume(b)
    put_claim(b)
    await settle(b)
    return b


async def test_a_claim_whose_volume_goes_is_lost() -> None:
    b = await bound()
    b.client.drop(PERSISTENTVOLUME, "disk")
    await settle(b)
    claim = claim_of(b)
    assert (claim.status.phase, claim.status.capacity, claim.status.access_modes) == ("Lost", {}, [])
    assert "ClaimLost" in reasons(b)


async def test_a_volume_that_only_the_api_shows_keeps_its_claim_from_being_lost() -> None:
    b = await bound()
    world = persistentvolume_binder.read(b.listers, CLAIM, b.clock.now())
    assert isinstance(world, persistentvolume_binder.ClaimWorld)
    seen = await persistentvolume_binder.observe(b.client, CLAIM, replace(world, named=None))
    assert persistentvolume_binder.plan(CLAIM, seen) == []


@pytest.mark.parametrize(
    ("policy", "annotations", "phase", "reason"),
    [
        ("Retain", {}, "Released", ""),
        ("Recycle", {}, "Failed", "VolumeFailedRecycle"),
        ("Delete", {}, "Failed", "VolumeFailedDelete"),
        ("Delete", {_volumes.PROVISIONED_BY: "disk.example"}, "Released", ""),
    ],
)
async def test_a_volume_whose_claim_goes(policy: str, annotations: dict[str, str], phase: str, reason: str) -> None:
    b = await bound()

    def change(volume: Any) -> None:
        volume.spec.persistent_volume_reclaim_policy = policy
        volume.metadata.annotations.update(annotations)

    b.client.edit(PERSISTENTVOLUME, "disk", "", change)
    b.client.drop(PERSISTENTVOLUMECLAIM, "data", "default")
    await settle(b)
    assert volume_of(b).status.phase == phase
    assert not reason or reason in reasons(b)
    # A claim of the same name is another claim: what the volume holds is not its.
    b.client.put(PERSISTENTVOLUMECLAIM, _renamed(put_claim(Bench(persistentvolume_binder.SPEC))))
    await settle(b)
    assert (volume_of(b).status.phase, claim_of(b).status.phase) == (phase, "Pending")


def _renamed(claim: Any) -> Any:
    claim.metadata.uid = "uid-of-a-successor"
    return claim


async def test_a_claim_that_went_elsewhere_frees_the_volume() -> None:
    b = Bench(persistentvolume_binder.SPEC)
    put_volume(b, "mine", claim="data", uid=UID, annotations={_volumes.BOUND_BY_CONTROLLER: "yes"}, phase="Bound")
    put_volume(b, "users", claim="data", uid=UID, phase="Bound")
    put_volume(b)
    put_claim(b, volume_name="disk")
    await settle(b)
    assert volume_of(b, "mine").spec.claim_ref is None
    assert (volume_of(b, "users").spec.claim_ref.name, volume_of(b, "users").spec.claim_ref.uid) == ("data", "")
    assert [each.status.phase for each in b.client.all(PERSISTENTVOLUME)] == ["Bound", "Available", "Available"]


async def test_growth_is_not_undone() -> None:
    b = await bound()
    b.client.edit(PERSISTENTVOLUME, "disk", "", lambda volume: volume.spec.capacity.update(storage="5Gi"))
    await settle(b)
    assert claim_of(b).status.capacity == {"storage": "2Gi"}
