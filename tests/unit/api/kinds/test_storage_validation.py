"""What volumes and claims may say, with upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.meta.schema import copy_of


def _claim(**spec: Any) -> PersistentVolumeClaim:
    base = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    body = {"kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "d"}, "spec": {**base, **spec}}
    claim = codec.from_json(PersistentVolumeClaim, body)
    PERSISTENTVOLUMECLAIM.default(claim)
    return claim


def _volume(**spec: Any) -> PersistentVolume:
    base = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    source = {} if "hostPath" in spec or "csi" in spec or "local" in spec else {"hostPath": {"path": "/data"}}
    body = {"kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": {**base, **source, **spec}}
    volume = codec.from_json(PersistentVolume, body)
    PERSISTENTVOLUME.default(volume)
    return volume


def _errors(kind: Any, new: Any, old: Any = None) -> list[str]:
    return [str(error) for error in kind.validate(new, old)]


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({}, []),
        ({"accessModes": []}, ["spec.accessModes: Required value: at least 1 access mode is required"]),
        (
            {"accessModes": ["Sometimes"]},
            [
                'spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", '
                '"ReadWriteOnce", "ReadWriteOncePod"'
            ],
        ),
        (
            {"accessModes": ["ReadWriteOncePod", "ReadOnlyMany"]},
            ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
        ({"resources": {}}, ["spec.resources[storage]: Required value"]),
        (
            {"resources": {"requests": {"storage": "0"}}},
            ['spec.resources[storage]: Invalid value: "0": must be greater than zero'],
        ),
        (
            {"volumeMode": "Tape"},
            ['spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"'],
        ),
        ({"storageClassName": ""}, []),
        (
            {"dataSource": {"kind": "Thing", "name": "x"}},
            [
                "spec.dataSource: Invalid value: \"Thing\": must be 'PersistentVolumeClaim' when referencing "
                "the default apiGroup"
            ],
        ),
    ],
)
def test_claims(spec: dict[str, Any], errors: list[str]) -> None:
    assert _errors(PERSISTENTVOLUMECLAIM, _claim(**spec)) == errors


def test_a_claim_may_be_bound_once_and_grow_once_it_is() -> None:
    old = _claim()
    bound = copy_of(old)
    bound.spec.volume_name = "v"
    assert _errors(PERSISTENTVOLUMECLAIM, bound, old) == []
    bound.status.phase = "Bound"
    assert _errors(PERSISTENTVOLUMECLAIM, copy_of(bound), bound) == []
    grown = copy_of(bound)
    grown.spec.resources.requests["storage"] = type(grown.spec.resources.requests["storage"])("2Gi")
    assert _errors(PERSISTENTVOLUMECLAIM, grown, bound) == []
    unbound = copy_of(grown)
    unbound.status.phase = "Pending"
    (error,) = _errors(PERSISTENTVOLUMECLAIM, unbound, bound)
    assert error.startswith("spec: Forbidden: spec is immutable after creation except resources.requests")
    assert '"2Gi"' in error


def test_a_claim_never_asks_for_less_than_it_has() -> None:
    old = _claim(resources={"requests": {"storage": "3Gi"}}, volumeName="v")
    old.status.phase = "Bound"
    old.status.capacity = {"storage": type(old.spec.resources.requests["storage"])("2Gi")}
    new = copy_of(old)
    new.spec.resources.requests = dict(old.status.capacity)
    (error,) = _errors(PERSISTENTVOLUMECLAIM, new, old)
    assert error == "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"


def test_a_class_may_be_given_to_a_claim_that_has_none() -> None:
    old, new = _claim(), _claim(storageClassName="fast")
    assert _errors(PERSISTENTVOLUMECLAIM, new, old) == []
    assert _errors(PERSISTENTVOLUMECLAIM, old, new) != []


def test_data_sources_say_the_same_in_both_fields() -> None:
    claim = _claim(dataSource={"kind": "PersistentVolumeClaim", "name": "other"})
    PERSISTENTVOLUMECLAIM.prepare(claim, None)
    assert claim.spec.data_source_ref is not None
    assert claim.spec.data_source_ref.name == "other"
    claim = _claim(dataSource={"kind": "Thing", "name": "other"})
    PERSISTENTVOLUMECLAIM.prepare(claim, None)
    assert claim.spec.data_source is None
    claim = _claim(dataSourceRef={"kind": "Thing", "name": "other", "apiGroup": "example.com"})
    PERSISTENTVOLUMECLAIM.prepare(claim, None)
    assert claim.spec.data_source is not None


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({}, []),
        ({"capacity": {}}, [
            "spec.capacity: Required value",
            'spec.capacity: Unsupported value: null: supported values: "storage"',
        ]),
        ({"hostPath": None}, ["spec: Required value: must specify a volume type"]),
        ({"hostPath": {"path": "/a/../b"}}, ['spec.hostPath.path: Invalid value: "/a/../b": must not contain \'..\'']),
        (
            {"nfs": {"server": "s", "path": "/x"}, "hostPath": {"path": "/a"}},
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            {"local": {"path": "/mnt"}},
            ["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        ),
        (
            {"hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"},
            ["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
        ),
        ({"csi": {"driver": "d"}}, ["spec.csi.volumeHandle: Required value"]),
        (
            {"volumeAttributesClassName": ""},
            [
                "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
                "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
            ],
        ),
    ],
)  # fmt: skip
def test_volumes(spec: dict[str, Any], errors: list[str]) -> None:
    assert _errors(PERSISTENTVOLUME, _volume(**spec)) == errors


def test_a_volume_keeps_its_source() -> None:
    (error,) = _errors(PERSISTENTVOLUME, _volume(hostPath={"path": "/b"}), _volume())
    assert error.startswith(
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
    )
    changed = _volume(persistentVolumeReclaimPolicy="Delete", capacity={"storage": "5Gi"})
    assert _errors(PERSISTENTVOLUME, changed, _volume()) == []


@pytest.mark.parametrize(
    ("volume", "error"),
    [
        (
            {"iscsi": {"targetPortal": "p", "iqn": "bad", "lun": 300}},
            "must be valid format starting with iqn, eui, or naa",
        ),
        (
            {"gcePersistentDisk": {"pdName": "", "partition": 0}},
            "spec.volumes[0].gcePersistentDisk.pdName: Required value",
        ),
        ({"fc": {"targetWWNs": ["a"]}}, "lun is required if targetWWNs is specified"),
        ({"flexVolume": {"driver": "d", "options": {"kubernetes.io/x": "y"}}}, "namespaces are reserved"),
        ({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}, "at least 1 access mode is required"),
    ],
)
def test_rare_sources_in_pods(volume: dict[str, Any], error: str) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", **volume}]}
    pod = codec.from_json(POD.schema, {"kind": "Pod", "metadata": {"name": "p", "namespace": "d"}, "spec": spec})
    POD.default(pod)
    assert any(error in str(found) for found in POD.validate(pod, None))


def test_a_volume_notes_when_its_phase_changed() -> None:
    stamp = PERSISTENTVOLUME.stamp
    assert stamp is not None
    first, second, third = (f"2026-01-02T03:04:0{second}Z" for second in (1, 2, 3))
    old = _volume()
    stamp(old, None, first)
    assert old.status.last_phase_transition_time == first
    same = copy_of(old)
    same.status.last_phase_transition_time = None
    stamp(same, old, second)
    assert same.status.last_phase_transition_time == first
    bound = copy_of(old)
    bound.status.phase = "Bound"
    stamp(bound, old, second)
    assert bound.status.last_phase_transition_time == second
    told = copy_of(old)
    told.status.phase, told.status.last_phase_transition_time = "Bound", third
    stamp(told, old, second)
    assert told.status.last_phase_transition_time == third
