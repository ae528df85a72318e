"""What leads from a pod's volume to a PersistentVolume, and what is said when nothing does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tiphys.api.codec import from_json
from tiphys.api.csi.intree import migrated
from tiphys.api.kind import new
from tiphys.api.kinds import NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from tiphys.api.kinds.core.persistentvolume import PersistentVolume, PersistentVolumeSpec
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import NodeSelector
from tiphys.kubelet.mounting import BadMount, container_mounts
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.volumes import records
from tiphys.kubelet.volumes.affinity import node_matches
from tiphys.kubelet.volumes.claims import BadClaim, Claims, claim_name
from tiphys.kubelet.volumes.content import BadVolume
from tiphys.kubelet.volumes.local_path import LocalPath
from tiphys.kubelet.volumes.persistent import NodeVolumes
from tiphys.kubelet.volumes.pod import unmounted_message
from tiphys.kubelet.volumes.records import VolumeRecord
from tiphys.testing.memory_api import MemoryApi

HERE = {"kubernetes.io/hostname": "node-1", "disks": "3"}


def pod(**volume: Any) -> Pod:
    mounts = [{"name": "v", "mountPath": "/v"}]
    spec = {"volumes": [{"name": "v", **volume}], "containers": [{"name": "c", "volumeMounts": mounts}]}
    meta = {"name": "p", "namespace": "ns", "uid": "pod-uid"}
    made = from_json(Pod, {"metadata": meta, "spec": spec})
    assert isinstance(made, Pod)
    return made


CLAIMING = pod(persistentVolumeClaim={"claimName": "c"})


def world(claim: dict[str, Any] | None = None, volume: dict[str, Any] | None = None) -> Claims:
    api = MemoryApi()
    if claim is not None:
        base = {"metadata": {"name": "c", "namespace": "ns", "uid": "u"}, "spec": {"volumeName": "pv"}}
        made = from_json(PersistentVolumeClaim, {**base, "status": {"phase": "Bound"}, **claim})
        api.put(PERSISTENTVOLUMECLAIM, made)
    if volume is not None:
        spec = {"claimRef": {"name": "c", "namespace": "ns", "uid": "u"}, "local": {"path": "/x"}, **volume}
        api.put(PERSISTENTVOLUME, from_json(PersistentVolume, {"metadata": {"name": "pv"}, "spec": spec}))
    node = new(NODE, "node-1")
    node.metadata.labels = HERE
    return Claims(api, lambda: node)  # type: ignore[arg-type]  # an API in memory


DELETED = {"metadata": {"name": "c", "namespace": "ns", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}}


@pytest.mark.parametrize(
    ("claim", "volume", "message"),
    [
        (None, None, "failed to fetch PVC from API server: "),
        (DELETED, {}, "PVC is being deleted"),
        ({"status": {"phase": "Pending"}}, {}, "PVC is not bound"),
        ({"spec": {}}, {}, "PVC has empty pvc.Spec.VolumeName"),
        ({}, None, "failed to fetch PV pv from API server: "),
        ({}, {"claimRef": None}, "found PV object pv but it has a nil pv.Spec.ClaimRef indicating it is not yet bound"),
        ({}, {"claimRef": {"uid": "w"}}, "pv.Spec.ClaimRef.UID w does not point to claim.UID u"),
    ],
)
async def test_claims_that_lead_nowhere(claim: Any, volume: Any, message: str) -> None:
    with pytest.raises(BadClaim) as caught:
        await world(claim, volume).resolve(CLAIMING, CLAIMING.spec.volumes[0])
    assert str(caught.value).startswith("error processing PVC ns/c: ")
    assert message in str(caught.value)


async def test_a_claim_that_is_deleted_but_protected_still_serves() -> None:
    protected = {"metadata": {**DELETED["metadata"], "finalizers": ["kubernetes.io/pvc-protection"]}}
    found = await world(protected, {}).resolve(CLAIMING, CLAIMING.spec.volumes[0])
    assert found.volume.metadata.name == "pv"
    assert not found.read_only and not found.block


async def test_an_ephemeral_claim_must_be_the_pods_own() -> None:
    ephemeral = pod(ephemeral={"volumeClaimTemplate": {}})
    assert claim_name(ephemeral, ephemeral.spec.volumes[0]) == "p-v"
    api = world()
    claim = {"metadata": {"name": "p-v", "namespace": "ns", "uid": "u"}, "spec": {"volumeName": "pv"}}
    made = from_json(PersistentVolumeClaim, {**claim, "status": {"phase": "Bound"}})
    api._client.put(PERSISTENTVOLUMECLAIM, made)  # type: ignore[attr-defined]  # an API in memory
    with pytest.raises(BadClaim, match=r"PVC ns/p-v was not created for pod ns/p \(pod is not owner\)"):
        await api.resolve(ephemeral, ephemeral.spec.volumes[0])


async def test_block_volumes_are_not_mounted() -> None:
    with pytest.raises(BadClaim, match="volume v has volumeMode Block, but is specified in volumeMounts"):
        await world({}, {"volumeMode": "Block"}).resolve(CLAIMING, CLAIMING.spec.volumes[0])


async def test_a_volume_of_another_node_is_refused() -> None:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-2"]}]}
    affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}
    with pytest.raises(BadVolume) as caught:
        await world({}, affinity).resolve(CLAIMING, CLAIMING.spec.volumes[0])
    expected = 'MountVolume.NodeAffinity check failed for volume "pv" : no matching NodeSelectorTerms'
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("operator", "key", "values", "holds"),
    [
        ("In", "disks", ["2", "3"], True),
        ("In", "absent", ["x"], False),
        ("NotIn", "disks", ["3"], False),
        ("NotIn", "absent", ["3"], True),
        ("Exists", "disks", [], True),
        ("DoesNotExist", "disks", [], False),
        ("Gt", "disks", ["2"], True),
        ("Gt", "disks", ["3"], False),
        ("Lt", "disks", ["4"], True),
        ("Lt", "kubernetes.io/hostname", ["4"], False),
    ],
)
def test_affinity(operator: str, key: str, values: list[str], holds: bool) -> None:
    term = {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}
    selector = from_json(NodeSelector, {"nodeSelectorTerms": [term]})
    assert node_matches(selector, "node-1", HERE) is holds


def test_a_term_without_requirements_never_holds() -> None:
    assert not node_matches(from_json(NodeSelector, {"nodeSelectorTerms": [{}]}), "node-1", HERE)


@pytest.mark.parametrize(
    ("spec", "driver", "handle"),
    [
        ({"awsElasticBlockStore": {"volumeID": "aws://zone/vol-1"}}, "ebs.csi.aws.com", "vol-1"),
        (
            {"gcePersistentDisk": {"pdName": "d"}},
            "pd.csi.storage.gke.io",
            "projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d",
        ),
        ({"cinder": {"volumeID": "v"}}, "cinder.csi.openstack.org", "v"),
        ({"vsphereVolume": {"volumePath": "[d] v"}}, "csi.vsphere.vmware.com", "[d] v"),
        ({"portworxVolume": {"volumeID": "v"}}, "pxd.portworx.com", "v"),
    ],
)
def test_names_that_were_built_in_become_csi_volumes(spec: Any, driver: str, handle: str) -> None:
    found = migrated(from_json(PersistentVolumeSpec, spec))
    assert found is not None
    assert (found.driver, found.volume_handle) == (driver, handle)


def test_other_old_names_have_no_plugin() -> None:
    assert migrated(from_json(PersistentVolumeSpec, {"rbd": {"monitors": ["m"], "image": "i"}})) is None


def test_records_survive_and_a_torn_one_is_passed_over(tmp_path: Path) -> None:
    record = VolumeRecord(plugin="csi", volume="v", handle="h", target="/t", driver="d", attachable=True)
    records.write(tmp_path / "uid", record)
    (tmp_path / "uid" / "volume-records" / "torn.json").write_text("{")
    assert records.records_of(tmp_path / "uid") == [record]
    assert list(records.all_records(tmp_path)) == [("uid", record)]
    assert record.unique_name == "kubernetes.io/csi/d^h"
    records.forget(tmp_path / "uid", record)
    assert records.records_of(tmp_path / "uid") == []
    assert list(records.all_records(tmp_path / "absent")) == []


def test_only_directories_of_local_path_are_made(tmp_path: Path) -> None:
    local = LocalPath(tmp_path / "root")
    local.ensure(tmp_path / "elsewhere")
    local.ensure(tmp_path / "root" / "deep" / "er")
    assert not list(tmp_path.iterdir())
    local.ensure(tmp_path / "root" / "pvc-1")
    assert (tmp_path / "root" / "pvc-1").stat().st_mode & 0o777 == 0o777


def test_the_event_lists_volumes_as_go_does() -> None:
    assert unmounted_message(["a", "b"], {"b": "context deadline exceeded"}, {"a": "why"}) == (
        "Unable to attach or mount volumes: unmounted volumes=[a b], unattached volumes=[b], "
        "failed to process volumes=[a]: why; context deadline exceeded"
    )


def test_a_volume_for_one_pod_refuses_a_second(tmp_path: Path) -> None:
    settings = KubeletSettings("node-1", "127.0.0.1", tmp_path, tmp_path / "socket")
    none: Any = None
    volumes = NodeVolumes(none, none, none, none, lambda: None, settings, set, none)
    record = VolumeRecord(plugin="csi", volume="v", handle="h", target="/t", driver="d", single_pod=True)
    records.write(tmp_path / "pods" / "first", record)
    volumes._check_alone("first", record)
    with pytest.raises(BadClaim, match="ReadWriteOncePod access mode and is already in use by another pod"):
        volumes._check_alone("second", record)
    assert volumes.in_use() == []
    records.write(tmp_path / "pods" / "first", msgspec.structs.replace(record, attachable=True))
    assert volumes.in_use() == ["kubernetes.io/csi/d^h"]


def test_recursive_read_only_is_not_promised(tmp_path: Path) -> None:
    settings = KubeletSettings("node-1", "127.0.0.1", tmp_path, tmp_path / "socket")
    wanted = pod(emptyDir={})
    wanted.spec.containers[0].volume_mounts[0].recursive_read_only = "Enabled"
    volumes: Any = SimpleNamespace(paths={"v": tmp_path}, read_only=set())
    with pytest.raises(BadMount, match='volume "v" requested recursive read-only mode'):
        container_mounts(wanted, wanted.spec.containers[0], volumes, {}, ("10.0.0.1",), settings)
