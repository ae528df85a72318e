"""Where volumes let a pod run, and what is done for it there."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.scheduler.test_scheduler import Cluster, running

from tiphys.api import codec
from tiphys.api.kind import Kind
from tiphys.api.kinds import (
    CSINODE,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    STORAGECLASS,
)
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of
from tiphys.testing import builders as b


def made(kind: Kind[Any], name: str, namespace: str = "", **fields: Any) -> Any:
    meta = {"name": name, "uid": b.uid()} | ({"namespace": namespace} if namespace else {})
    meta |= fields.pop("metadata", {})
    return codec.from_json(kind.schema, {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta, **fields})


def claim(
    name: str = "data",
    *,
    size: str = "1Gi",
    volume: str = "",
    modes: tuple[str, ...] = ("ReadWriteOnce",),
    storage_class: str = "local",
) -> Any:
    annotations = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    return made(
        PERSISTENTVOLUMECLAIM,
        name,
        "default",
        metadata={"annotations": annotations},
        spec={
            "accessModes": list(modes),
            "resources": {"requests": {"storage": size}},
            "storageClassName": storage_class,
            "volumeName": volume,
        },
        status={"phase": "Bound" if volume else "Pending"},
    )


def volume(
    name: str, node: str = "", *, size: str = "1Gi", labels: dict[str, str] | None = None, driver: str = ""
) -> Any:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    source = {"csi": {"driver": driver, "volumeHandle": name}} if driver else {"local": {"path": "/x"}}
    return made(
        PERSISTENTVOLUME,
        name,
        metadata={"labels": labels or {}},
        spec={
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce", "ReadWriteOncePod"],
            "storageClassName": "local",
            **source,
            **({"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}} if node else {}),
        },
        status={"phase": "Available"},
    )


def storage_class(provisioner: str = "kubernetes.io/no-provisioner", mode: str = "WaitForFirstConsumer") -> Any:
    return made(STORAGECLASS, "local", provisioner=provisioner, volumeBindingMode=mode)


def using(name: str, *claims: str) -> Pod:
    volumes = [{"name": f"v{i}", "persistentVolumeClaim": {"claimName": c}} for i, c in enumerate(claims)]
    pod = b.pod(name)
    pod.spec.volumes = codec.from_json(type(pod), {"spec": {"volumes": volumes}}).spec.volumes
    return pod


def why(cluster: Cluster, name: str) -> str:
    return next(message for who, _, reason, message in reversed(cluster.events.events) if who == name and reason)


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ([], 'persistentvolumeclaim "data" not found'),
        ([claim(storage_class="none")], "pod has unbound immediate PersistentVolumeClaims"),
        ([storage_class(mode="Immediate"), claim()], "pod has unbound immediate PersistentVolumeClaims"),
        ([storage_class(), claim()], "1 node(s) didn't find available persistent volumes to bind"),
        ([claim(volume="gone")], 'persistentvolume "gone" not found'),
        ([claim(volume="pv"), volume("pv", "elsewhere")], "1 node(s) didn't match PersistentVolume's node affinity"),
    ],
)
async def test_what_stands_in_the_way_is_said(objects: list[Any], reason: str) -> None:
    kinds = {k.kind: k for k in (PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS)}
    async with running() as c:
        c.api.put(NODE, b.node("n1"))
        for obj in objects:
            c.api.put(kinds[obj.kind], obj)
        c.api.put(POD, using("web", "data"))
        await c.rest()
        assert why(c, "web").startswith(f"0/1 nodes are available: {reason}.")


async def test_volumes_are_bound_to_the_chosen_node_before_the_pod() -> None:
    async with running() as c:
        for name in ("n1", "n2"):
            c.api.put(NODE, b.node(name))
        c.api.put(STORAGECLASS, storage_class())
        c.api.put(PERSISTENTVOLUMECLAIM, claim())
        c.api.put(PERSISTENTVOLUME, volume("large", "n1", size="5Gi"))
        c.api.put(PERSISTENTVOLUME, volume("small", "n2", size="500Mi"))
        c.api.put(POD, using("web", "data"))
        await c.rest()
        name, patch = c.api.patches[-1]
        assert (name, patch["spec"]["claimRef"]["name"]) == ("large", "data")
        assert c.node_of("web") == ""
        bound = copy_of(c.api.informer(PERSISTENTVOLUMECLAIM).get("data", "default"))
        bound.spec.volume_name = "large"
        bound.metadata.annotations = {"pv.kubernetes.io/bind-completed": "yes"}
        c.api.put(PERSISTENTVOLUMECLAIM, bound)
        await c.rest(1.1)
        assert c.node_of("web") == "n1"


async def test_a_claim_to_be_provisioned_is_told_its_node_and_a_failure_is_tried_again() -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1"))
        c.api.put(STORAGECLASS, storage_class("example.com/disk"))
        c.api.put(PERSISTENTVOLUMECLAIM, claim())
        c.api.put(POD, using("web", "data"))
        await c.rest()
        name, patch = c.api.patches[-1]
        assert (name, patch["metadata"]["annotations"]) == ("data", {"volume.kubernetes.io/selected-node": "n1"})
        told = copy_of(c.api.informer(PERSISTENTVOLUMECLAIM).get("data", "default"))
        c.api.put(PERSISTENTVOLUMECLAIM, told)  # without the annotation: the provisioner gave up
        await c.rest(1.1)
        assert c.node_of("web") == ""
        assert c.scheduler.engine is not None
        assert not c.scheduler.engine.table.volumes.plans or len(c.api.patches) > 1


async def test_a_claim_for_one_pod_has_one_pod() -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1"))
        c.api.put(PERSISTENTVOLUME, volume("pv"))
        c.api.put(PERSISTENTVOLUMECLAIM, claim(volume="pv", modes=("ReadWriteOncePod",)))
        c.api.put(POD, using("first", "data"))
        await c.rest()
        assert c.node_of("first") == "n1"
        c.api.put(POD, using("second", "data"))
        await c.rest()
        assert "ReadWriteOncePod access mode already in-use by another pod" in why(c, "second")
        c.api.remove(POD, "first", "default")
        await c.rest(11)
        assert c.node_of("second") == "n1"


async def test_volumes_keep_to_their_zone_and_drivers_to_their_limit() -> None:
    async with running() as c:
        c.api.put(NODE, b.node("n1", zone="a"))
        c.api.put(NODE, b.node("n2", zone="b"))
        c.api.put(
            CSINODE,
            made(
                CSINODE,
                "n2",
                spec={"drivers": [{"name": "d", "nodeID": "n2", "topologyKeys": [], "allocatable": {"count": 1}}]},
            ),
        )
        for i in range(2):
            c.api.put(PERSISTENTVOLUME, volume(f"pv{i}", labels={"topology.kubernetes.io/zone": "b"}, driver="d"))
            c.api.put(PERSISTENTVOLUMECLAIM, claim(f"c{i}", volume=f"pv{i}"))
        c.api.put(POD, using("first", "c0"))
        await c.rest()
        assert c.node_of("first") == "n2"
        c.api.put(POD, using("second", "c1"))
        await c.rest()
        assert why(c, "second").startswith(
            "0/2 nodes are available: 1 node(s) exceed max volume count, 1 node(s) had no available volume zone."
        )
