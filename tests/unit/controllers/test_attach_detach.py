"""Volumes that drivers attach, claims that grow, and how long kubelets keep things."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.kind import new
from tiphys.api.kinds import CSIDRIVER, NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, VOLUMEATTACHMENT
from tiphys.api.kinds.core.node import NodeCondition
from tiphys.api.kinds.core.persistentvolume import CSIPersistentVolumeSource
from tiphys.api.kinds.core.pod.volumes import (
    GCEPersistentDiskVolumeSource,
    PersistentVolumeClaimVolumeSource,
    Volume,
)
from tiphys.api.kinds.core.references import ObjectReference, Taint
from tiphys.api.kinds.storage.volumeattachment import VolumeError
from tiphys.controllers import attach_detach, node_ttl, volume_expand
from tiphys.controllers._spec import Key
from tiphys.controllers.settings import ControllerSettings

from . import objects
from .memory import Bench

N1, N2 = Key("", "n1"), Key("", "n2")
UNIQUE = "kubernetes.io/csi/disk.example^vol-1"


def bench(
    settings: ControllerSettings | None = None,
    *,
    attach: bool = True,
    modes: tuple[str, ...] = ("ReadWriteOnce",),
    **pods: str,
) -> Bench:
    """`pods`: phase by node."""
    b = Bench(attach_detach.SPEC, settings)
    driver = new(CSIDRIVER, "disk.example")
    driver.spec.attach_required = attach
    b.client.put(CSIDRIVER, driver)
    volume = new(PERSISTENTVOLUME, "disk")
    volume.spec.csi = CSIPersistentVolumeSource(driver="disk.example", volume_handle="vol-1")
    volume.spec.access_modes = list(modes)
    volume.spec.claim_ref = ObjectReference(namespace="default", name="data")
    b.client.put(PERSISTENTVOLUME, volume)
    claim = new(PERSISTENTVOLUMECLAIM, "data", "default")
    claim.spec.volume_name, claim.status.phase = "disk", "Bound"
    b.client.put(PERSISTENTVOLUMECLAIM, claim)
    for name in ("n1", "n2"):
        b.client.put(NODE, objects.node(name))
    for name, phase in pods.items():
        pod = objects.pod(f"web-{name}", node=name, phase=phase)
        source = PersistentVolumeClaimVolumeSource(claim_name="data")
        pod.spec.volumes = [Volume(name="v", persistent_volume_claim=source)]
        b.client.put(POD, pod)
    return b


def attached(b: Bench) -> list[str]:
    return [each.spec.node_name for each in b.client.all(VOLUMEATTACHMENT)]


def in_status(b: Bench, name: str = "n1") -> list[str]:
    return [each.name for each in b.client.informer(NODE).get(name).status.volumes_attached]


async def attach(b: Bench) -> None:
    """What the driver's controller does."""
    for each in b.client.all(VOLUMEATTACHMENT):
        b.client.edit(VOLUMEATTACHMENT, each.metadata.name, "", lambda obj: setattr(obj.status, "attached", True))
    await b.settle(N1)


async def test_a_volume_in_use_is_attached_and_then_said_to_be() -> None:
    b = bench(n1="Pending")
    await b.settle(N1)
    (made,) = b.client.all(VOLUMEATTACHMENT)
    # sha256 of handle, driver and node: what other programs look for.
    assert made.metadata.name == "csi-8fcb92b93fc02aab5ae2ed94baf9ee307ae74a0e7a5232183d098f39da849079"
    assert (made.spec.attacher, made.spec.source.persistent_volume_name) == ("disk.example", "disk")
    assert in_status(b) == []
    await attach(b)
    assert in_status(b) == [UNIQUE]
    assert [event[2] for event in b.events.events] == ["SuccessfulAttachVolume"]


@pytest.mark.parametrize(("phase", "driver"), [("Succeeded", True), ("Running", False)])
async def test_what_needs_no_attaching(phase: str, driver: bool) -> None:
    b = bench(n1=phase, attach=driver)
    await b.settle(N1)
    assert attached(b) == []


@pytest.mark.parametrize(("how", "left"), [("unmounted", 0), ("mounted", 1), ("out of service", 0), ("gone", 0)])
async def test_detaching_waits_for_the_kubelet(how: str, left: int) -> None:
    b = bench(n1="Running")
    await b.settle(N1)
    await attach(b)
    b.client.drop(POD, "web-n1", "default")

    def change(node: Any) -> None:
        node.status.volumes_in_use = [] if how == "unmounted" else [UNIQUE]
        if how == "out of service":
            node.spec.taints = [Taint(key=attach_detach.OUT_OF_SERVICE, effect="NoExecute")]

    b.client.edit(NODE, "n1", "", change)
    if how == "gone":
        b.client.drop(NODE, "n1")
    await b.settle(N1)
    assert len(attached(b)) == left
    if how == "unmounted":
        assert in_status(b) == []


@pytest.mark.parametrize(("ready", "limit_s", "left"), [("Unknown", 360.0, 0), ("True", 360.0, 1), ("Unknown", 0.0, 1)])
async def test_a_silent_node_loses_its_volumes_after_six_minutes(ready: str, limit_s: float, left: int) -> None:
    b = bench(ControllerSettings(force_detach_after_s=limit_s), n1="Running")
    await b.settle(N1)
    await attach(b)
    b.client.drop(POD, "web-n1", "default")

    def silence(node: Any) -> None:
        node.status.volumes_in_use = [UNIQUE]
        node.status.conditions = [NodeCondition(type="Ready", status=ready)]

    b.client.edit(NODE, "n1", "", silence)
    assert await b.apply(N1) == (360 if left == 0 else None)
    await b.clock.advance(359)
    assert await b.apply(N1) == (1 if left == 0 else None)
    assert attached(b) == ["n1"]
    await b.clock.advance(2)
    await b.settle(N1)
    assert len(attached(b)) == left


async def test_pods_hear_once_why_a_volume_is_not_attached() -> None:
    b = bench(n1="Pending")
    await b.settle(N1)
    (name,) = [each.metadata.name for each in b.client.all(VOLUMEATTACHMENT)]

    def refuse(text: str) -> None:
        error = VolumeError(message=text)
        b.client.edit(VOLUMEATTACHMENT, name, "", lambda obj: setattr(obj.status, "attach_error", error))

    for text in ("busy", "busy", "broken"):
        refuse(text)
        await b.apply(N1)
    assert [event[2:] for event in b.events.events] == [
        ("FailedAttachVolume", 'AttachVolume.Attach failed for volume "disk" : busy'),
        ("FailedAttachVolume", 'AttachVolume.Attach failed for volume "disk" : broken'),
    ]


async def test_a_volume_of_one_node_is_not_attached_to_two() -> None:
    b = bench(n1="Running", n2="Pending")
    await b.settle(N1)
    await b.settle(N2)
    await b.apply(N2)
    assert attached(b) == ["n1"]
    taken = 'Multi-Attach error for volume "disk" Volume is already used by pod(s) web-n1'
    assert [event[2:] for event in b.events.events] == [("FailedAttachVolume", taken)]
    b.client.drop(POD, "web-n1", "default")
    await b.settle(N1)
    await b.settle(N2)
    assert attached(b) == ["n2"]


async def test_a_volume_by_an_old_name_is_its_drivers() -> None:
    b = bench(n1="Running")

    def old(volume: Any) -> None:
        volume.spec.csi = None
        volume.spec.gce_persistent_disk = GCEPersistentDiskVolumeSource(pd_name="disk-1")

    b.client.edit(PERSISTENTVOLUME, "disk", "", old)
    await b.settle(N1)
    (made,) = b.client.all(VOLUMEATTACHMENT)
    assert made.spec.attacher == "pd.csi.storage.gke.io"
    await attach(b)
    assert in_status(b) == [
        "kubernetes.io/csi/pd.csi.storage.gke.io^projects/UNSPECIFIED/zones/UNSPECIFIED/disks/disk-1"
    ]


async def test_a_shared_volume_is() -> None:
    b = bench(n1="Running", n2="Pending", modes=("ReadWriteMany",))
    await b.settle(N1)
    await b.settle(N2)
    assert sorted(attached(b)) == ["n1", "n2"]


async def test_attachments_of_others_stay() -> None:
    b = bench()
    theirs = new(VOLUMEATTACHMENT, "theirs")
    theirs.spec.node_name, theirs.spec.source.persistent_volume_name = "n1", "disk"
    b.client.put(VOLUMEATTACHMENT, theirs)
    await b.settle(N1)
    assert attached(b) == ["n1"]


@pytest.mark.parametrize(
    ("asked", "csi", "reason"),
    [("1Gi", True, None), ("2Gi", True, "Normal"), ("2Gi", False, "Normal")],
)
async def test_a_claim_that_grows_is_told_who_does_it(asked: str, csi: bool, reason: str | None) -> None:
    b = Bench(volume_expand.SPEC)
    volume = new(PERSISTENTVOLUME, "disk")
    if csi:
        volume.spec.csi = CSIPersistentVolumeSource(driver="disk.example", volume_handle="vol-1")
    volume.spec.claim_ref = ObjectReference(
        namespace="default", name="data", uid="uid-persistentvolumeclaims-default-data"
    )
    b.client.put(PERSISTENTVOLUME, volume)
    claim = new(PERSISTENTVOLUMECLAIM, "data", "default")
    claim.spec.volume_name, claim.status.phase, claim.status.capacity = "disk", "Bound", {"storage": "1Gi"}
    claim.spec.resources.requests = {"storage": asked}
    b.client.put(PERSISTENTVOLUMECLAIM, claim)
    await b.apply(Key("default", "data"))
    assert [event[1:3] for event in b.events.events] == ([(reason, "ExternalExpanding")] if reason else [])


@pytest.mark.parametrize(
    ("nodes", "known", "ttl"), [(1, None, "0"), (95, "0", "0"), (95, "15", "15"), (101, "0", "15")]
)
async def test_larger_clusters_keep_things_longer(nodes: int, known: str | None, ttl: str) -> None:
    b = Bench(node_ttl.SPEC)
    for number in range(nodes):
        node = objects.node(f"n{number}")
        if known is not None:
            node.metadata.annotations = {node_ttl.ANNOTATION: known}
        b.client.put(NODE, node)
    await b.settle(Key("", "n0"))
    assert b.client.informer(NODE).get("n0").metadata.annotations == {node_ttl.ANNOTATION: ttl}
