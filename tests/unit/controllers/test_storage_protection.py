"""Claims and volumes stay while they are used, and go then."""

from __future__ import annotations

import pytest

from tiphys.api.kind import new
from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, VOLUMEATTRIBUTESCLASS
from tiphys.api.kinds.core.persistentvolumeclaim import ModifyVolumeStatus
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import EphemeralVolumeSource, PersistentVolumeClaimVolumeSource, Volume
from tiphys.api.meta.types import OwnerReference
from tiphys.controllers import pv_protection, pvc_protection, vac_protection
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench

KEY = Key("default", "web-data")


def claims(*finalizers: str, ending: bool = False, owner: str = "") -> Bench:
    b = Bench(pvc_protection.SPEC)
    claim = new(PERSISTENTVOLUMECLAIM, "web-data", "default")
    claim.metadata.finalizers = list(finalizers)
    claim.metadata.deletion_timestamp = objects.NOW if ending else None
    if owner:
        claim.metadata.owner_references = [
            OwnerReference(api_version="v1", kind="Pod", name="web", uid=owner, controller=True)
        ]
    b.client.put(PERSISTENTVOLUMECLAIM, claim)
    return b


def pod(*, node: str = "n1", ephemeral: bool = False) -> Pod:
    pod = objects.pod("web", node=node)
    pod.spec.volumes = [
        Volume(name="data", ephemeral=EphemeralVolumeSource())
        if ephemeral
        else Volume(name="v", persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name="web-data"))
    ]
    return pod


async def test_an_unused_claim_goes() -> None:
    b = claims(pvc_protection.FINALIZER, ending=True)
    await b.settle(KEY)
    assert b.client.all(PERSISTENTVOLUMECLAIM) == []


async def test_other_finalizers_stay() -> None:
    b = claims("example.com/hold", pvc_protection.FINALIZER, ending=True)
    await b.settle(KEY)
    assert b.client.all(PERSISTENTVOLUMECLAIM)[0].metadata.finalizers == ["example.com/hold"]


async def test_a_claim_without_protection_gets_it() -> None:
    b = claims()
    await b.settle(KEY)
    assert b.client.all(PERSISTENTVOLUMECLAIM)[0].metadata.finalizers == [pvc_protection.FINALIZER]


async def test_a_used_claim_stays_until_the_pod_is_gone() -> None:
    b = claims(pvc_protection.FINALIZER, ending=True)
    b.client.put(POD, pod())
    await b.settle(KEY)
    assert len(b.client.all(PERSISTENTVOLUMECLAIM)) == 1
    b.client.drop(POD, "web", "default")
    await b.settle(KEY)
    assert b.client.all(PERSISTENTVOLUMECLAIM) == []


async def test_a_pod_without_a_node_does_not_hold_a_claim() -> None:
    b = claims(pvc_protection.FINALIZER, ending=True)
    b.client.put(POD, pod(node=""))
    await b.settle(KEY)
    assert b.client.all(PERSISTENTVOLUMECLAIM) == []


@pytest.mark.parametrize(("grace_s", "left"), [(None, 1), (30, 1), (0, 0)])
async def test_an_ephemeral_claim_goes_once_its_pod_has_shut_down(grace_s: int | None, left: int) -> None:
    b = claims(pvc_protection.FINALIZER, ending=True, owner="uid-web")
    owner = pod(ephemeral=True)
    owner.metadata.uid = "uid-web"
    if grace_s is not None:
        owner.metadata.deletion_timestamp, owner.metadata.deletion_grace_period_seconds = objects.NOW, grace_s
    b.client.put(POD, owner)
    await b.settle(KEY)
    assert len(b.client.all(PERSISTENTVOLUMECLAIM)) == left


async def test_a_claim_of_the_name_of_anothers_ephemeral_volume_goes() -> None:
    b = claims(pvc_protection.FINALIZER, ending=True, owner="uid-of-a-predecessor")
    b.client.put(POD, pod(ephemeral=True))
    await b.settle(KEY)
    assert b.client.all(PERSISTENTVOLUMECLAIM) == []


async def test_a_pod_that_only_the_api_shows_yet_holds_the_claim() -> None:
    b = claims(pvc_protection.FINALIZER, ending=True)
    world = pvc_protection.read(b.listers, KEY, b.client.clock.now())
    assert world is not None and not world.used
    b.client.put(POD, pod())
    assert pvc_protection.plan(KEY, await pvc_protection.observe(b.client, KEY, world)) == ()


@pytest.mark.parametrize(("phase", "left"), [("Bound", 1), ("Available", 0), ("Released", 0)])
async def test_a_volume_goes_unless_it_is_bound(phase: str, left: int) -> None:
    b = Bench(pv_protection.SPEC)
    volume = new(PERSISTENTVOLUME, "disk")
    volume.metadata.finalizers, volume.metadata.deletion_timestamp = [pv_protection.FINALIZER], objects.NOW
    volume.status.phase = phase
    b.client.put(PERSISTENTVOLUME, volume)
    await b.settle(Key("", "disk"))
    assert len(b.client.all(PERSISTENTVOLUME)) == left


async def test_a_volume_without_protection_gets_it() -> None:
    b = Bench(pv_protection.SPEC)
    b.client.put(PERSISTENTVOLUME, new(PERSISTENTVOLUME, "disk"))
    await b.settle(Key("", "disk"))
    assert b.client.all(PERSISTENTVOLUME)[0].metadata.finalizers == [pv_protection.FINALIZER]


@pytest.mark.parametrize(
    ("user", "left"), [("", 0), ("wants", 1), ("has", 1), ("moves", 1), ("volume", 1), ("other", 0)]
)
async def test_an_attributes_class_goes_when_nothing_names_it(user: str, left: int) -> None:
    b = Bench(vac_protection.SPEC)
    attributes = new(VOLUMEATTRIBUTESCLASS, "fast", driver_name="disk.example")
    attributes.metadata.finalizers, attributes.metadata.deletion_timestamp = [vac_protection.FINALIZER], objects.NOW
    b.client.put(VOLUMEATTRIBUTESCLASS, attributes)
    claim, volume = new(PERSISTENTVOLUMECLAIM, "data", "default"), new(PERSISTENTVOLUME, "disk")
    match user:
        case "wants":
            claim.spec.volume_attributes_class_name = "fast"
        case "has":
            claim.status.current_volume_attributes_class_name = "fast"
        case "moves":
            target = ModifyVolumeStatus(target_volume_attributes_class_name="fast", status="Pending")
            claim.status.modify_volume_status = target
        case "volume":
            volume.spec.volume_attributes_class_name = "fast"
        case "other":
            claim.spec.volume_attributes_class_name = volume.spec.volume_attributes_class_name = "slow"
    b.client.put(PERSISTENTVOLUMECLAIM, claim)
    b.client.put(PERSISTENTVOLUME, volume)
    await b.settle(Key("", "fast"))
    assert len(b.client.all(VOLUMEATTRIBUTESCLASS)) == left


async def test_an_attributes_class_without_protection_gets_it() -> None:
    b = Bench(vac_protection.SPEC)
    b.client.put(VOLUMEATTRIBUTESCLASS, new(VOLUMEATTRIBUTESCLASS, "fast", driver_name="disk.example"))
    await b.settle(Key("", "fast"))
    assert b.client.all(VOLUMEATTRIBUTESCLASS)[0].metadata.finalizers == [vac_protection.FINALIZER]
