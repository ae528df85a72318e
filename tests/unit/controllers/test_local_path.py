"""Volumes that are directories, from the claim to the last file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tiphys.api.kind import new
from tiphys.api.kinds import NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, STORAGECLASS
from tiphys.api.kinds.core.pod.volumes import EphemeralVolumeSource, PersistentVolumeClaimTemplate, Volume
from tiphys.cluster.local_path import LocalPaths
from tiphys.controllers import _volumes, ephemeral_volume, local_path
from tiphys.controllers._spec import Key
from tiphys.controllers.settings import ControllerSettings

from . import objects
from .memory import Bench

UID = "12345678-1234-1234-1234-123456789abc"
CLAIM, NODE_KEY, NAME = Key("default", "data"), Key("", "n1"), f"pvc-{UID}"


def bench(*, node: str = "n1", parameters: dict[str, str] | None = None, **spec: Any) -> Bench:
    b = Bench(local_path.SPEC, ControllerSettings(local_path_dir="/data/volumes"))
    b.client.put(NODE, objects.node("n1", **{local_path.HOSTNAME: "host-1"}))
    local = new(STORAGECLASS, "local", provisioner=local_path.PROVISIONER_NAME, parameters=parameters or {})
    b.client.put(STORAGECLASS, local)
    claim = new(PERSISTENTVOLUMECLAIM, "data", "default")
    claim.metadata.uid = UID
    claim.metadata.annotations = {_volumes.PROVISIONER: local_path.PROVISIONER_NAME}
    if node:
        claim.metadata.annotations[_volumes.SELECTED_NODE] = node
    claim.spec.resources.requests, claim.spec.access_modes = {"storage": "1Gi"}, ["ReadWriteOnce"]
    claim.spec.storage_class_name = "local"
    for field, value in spec.items():
        setattr(claim.spec, field, value)
    b.client.put(PERSISTENTVOLUMECLAIM, claim)
    return b


async def test_a_volume_is_made_where_the_scheduler_wants_it() -> None:
    b = bench()
    await b.settle(CLAIM)
    (volume,) = b.client.all(PERSISTENTVOLUME)
    spec = volume.spec
    assert (volume.metadata.name, spec.host_path.path, spec.host_path.type) == (
        NAME, f"/data/volumes/{NAME}", "DirectoryOrCreate",
    )  # fmt: skip
    (term,) = spec.node_affinity.required.node_selector_terms
    assert [(each.key, each.values) for each in term.match_expressions] == [(local_path.HOSTNAME, ["host-1"])]
    assert (spec.claim_ref.uid, spec.capacity, spec.persistent_volume_reclaim_policy) == (
        UID,
        {"storage": "1Gi"},
        "Delete",
    )
    assert [event[2] for event in b.events.events] == ["ProvisioningSucceeded"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"access_modes": ["ReadWriteMany"]}, "ReadWriteOnce"),
        ({"volume_mode": "Block"}, "no block device"),
        ({"node": ""}, "WaitForFirstConsumer"),
        ({"parameters": {"colour": "red"}}, "unknown parameters: colour"),
    ],
)
async def test_what_cannot_be_made_is_told(change: dict[str, Any], text: str) -> None:
    b = bench(**change)
    await b.apply(CLAIM)
    assert b.client.calls == []
    ((_, kind, reason, told),) = b.events.events
    assert (kind, reason) == ("Warning", "ProvisioningFailed")
    assert text in told


async def test_a_claim_whose_node_is_gone_is_scheduled_again() -> None:
    b = bench(node="gone")
    await b.settle(CLAIM)
    (claim,) = b.client.all(PERSISTENTVOLUMECLAIM)
    assert _volumes.SELECTED_NODE not in claim.metadata.annotations
    assert b.client.all(PERSISTENTVOLUME) == []


async def released(policy: str = "Delete") -> Bench:
    b = bench()
    await b.settle(CLAIM)

    def release(volume: Any) -> None:
        volume.status.phase, volume.spec.persistent_volume_reclaim_policy = "Released", policy

    b.client.edit(PERSISTENTVOLUME, NAME, "", release)
    await b.settle(NODE_KEY)
    return b


async def test_a_released_volume_goes_when_its_directory_has() -> None:
    b = await released()
    (node,) = b.client.all(NODE)
    assert node.metadata.annotations == {local_path.REMOVE_NOTE: NAME}
    assert len(b.client.all(PERSISTENTVOLUME)) == 1
    b.client.edit(NODE, "n1", "", lambda node: node.metadata.annotations.update({local_path.REMOVED_NOTE: NAME}))
    await b.settle(NODE_KEY)
    assert b.client.all(PERSISTENTVOLUME) == []
    assert local_path.REMOVE_NOTE not in b.client.all(NODE)[0].metadata.annotations


async def test_retained_volumes_stay() -> None:
    b = await released("Retain")
    assert b.client.all(NODE)[0].metadata.annotations == {}
    assert len(b.client.all(PERSISTENTVOLUME)) == 1


async def test_volumes_of_a_node_that_is_gone_go() -> None:
    b = await released()
    b.client.drop(NODE, "n1")
    await b.settle(NODE_KEY)
    assert b.client.all(PERSISTENTVOLUME) == []


async def test_the_node_removes_what_it_is_asked_to_and_nothing_else(tmp_path: Path) -> None:
    b = await released()
    volumes = tmp_path / "volumes"
    for name in (NAME, "pvc-another"):
        (volumes / name / "deep").mkdir(parents=True)
    (tmp_path / "precious").mkdir()

    def ask(node: Any) -> None:
        node.metadata.annotations[local_path.REMOVE_NOTE] = f"{NAME} ../precious pvc-another"

    b.client.edit(NODE, "n1", "", ask)
    answered = asyncio.Event()
    b.client.informer(NODE).subscribe(
        lambda _change, _old, node: answered.set() if local_path.REMOVED_NOTE in node.metadata.annotations else None
    )
    work = asyncio.create_task(LocalPaths(b.client, b.clock, volumes).run())  # type: ignore[arg-type] # in memory
    try:
        await asyncio.wait_for(answered.wait(), 5)
    finally:
        work.cancel()
    assert b.client.all(NODE)[0].metadata.annotations[local_path.REMOVED_NOTE] == NAME
    assert sorted(path.name for path in volumes.iterdir()) == ["pvc-another"]
    assert (tmp_path / "precious").exists()


def ephemeral_pod() -> Any:
    pod = objects.pod("web")
    template = PersistentVolumeClaimTemplate()
    template.metadata.labels = {"a": "b"}
    template.spec.access_modes, template.spec.resources.requests = ["ReadWriteOnce"], {"storage": "1Gi"}
    pod.spec.volumes = [Volume(name="scratch", ephemeral=EphemeralVolumeSource(volume_claim_template=template))]
    return pod


async def test_an_ephemeral_volume_gets_its_claim_and_again() -> None:
    b = Bench(ephemeral_volume.SPEC)
    pod = b.client.put(POD, ephemeral_pod())
    for _ in range(2):
        await b.settle(Key("default", "web"))
        (claim,) = b.client.all(PERSISTENTVOLUMECLAIM)
        assert (claim.metadata.name, claim.metadata.labels) == ("web-scratch", {"a": "b"})
        assert claim.metadata.owner_references[0].uid == pod.metadata.uid
        assert claim.spec.resources.requests == {"storage": "1Gi"}
        b.client.drop(PERSISTENTVOLUMECLAIM, "web-scratch", "default")


async def test_a_claim_of_somebody_else_is_told() -> None:
    b = Bench(ephemeral_volume.SPEC)
    b.client.put(POD, ephemeral_pod())
    b.client.put(PERSISTENTVOLUMECLAIM, new(PERSISTENTVOLUMECLAIM, "web-scratch", "default"))
    await b.apply(Key("default", "web"))
    assert b.client.calls == []
    assert b.events.events[0][3] == (
        "ephemeral volume scratch: PVC default/web-scratch was not created for pod default/web (pod is not owner)"
    )
