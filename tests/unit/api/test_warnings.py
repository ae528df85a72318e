"""Warnings: the texts for what had better not be written, and silence for everything else."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.kind import new
from tiphys.api.kinds import (
    CONFIGMAP,
    DEPLOYMENT,
    INGRESS,
    KINDS,
    NODE,
    PERSISTENTVOLUMECLAIM,
    POD,
    PREVIEW_KINDS,
    RUNTIMECLASS,
    SERVICE,
)  # fmt: skip
from tiphys.api.kinds.apiextensions.customresourcedefinition import CUSTOMRESOURCEDEFINITION
from tiphys.api.meta.schema import copy_of
from tiphys.api.warnings import warnings_of
from tiphys.api.warnings.others import custom_warnings
from tiphys.api.warnings.versions import deprecation


def pod(container: dict[str, Any] | None = None, meta: dict[str, Any] | None = None, **spec: Any) -> Any:
    containers = [{"name": "c", "image": "i", **(container or {})}]
    return codec.from_json(POD.schema, {"metadata": meta or {}, "spec": {"containers": containers, **spec}})


CASES = [
    (pod(nodeSelector={"beta.kubernetes.io/os": "linux"}),
     'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'),
    (pod({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
     'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'),
    (pod({"ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "TCP"}]}),
     "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"),
    (pod({"ports": [{"containerPort": 80, "hostPort": 8}, {"containerPort": 80}]}),
     "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"),
    (pod({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]}),
     'spec.containers[0].ports[1]: duplicate port name "a" with spec.containers[0].ports[0], services and probes that '
     "select ports by name will use spec.containers[0].ports[0]"),
    (pod({"resources": {"limits": {"memory": "100m"}}}),
     'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer'),
    (pod(volumes=[{"name": "v", "gitRepo": {"repository": "r"}}]),
     "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+"),
    (pod(imagePullSecrets=[{"name": "s"}, {"name": "s"}]), 'spec.imagePullSecrets[1].name: duplicate name "s"'),
    (pod(terminationGracePeriodSeconds=-1),
     "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"),
    (pod(topologySpreadConstraints=[{"topologyKey": "z", "maxSkew": 1}]),
     "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"),
    (pod(volumes=[{"name": "v", "projected": {"sources": [{}]}}]), 'volume "v" (Projected) has no sources provided'),
    (pod(meta={"annotations": {"scheduler.alpha.kubernetes.io/critical-pod": ""}}),
     "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "
     '"priorityClassName" field instead'),
    (pod(meta={"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "x"}}),
     "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "
     '"seccompProfile" field instead'),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "text"), CASES)
def test_pods(obj: Any, text: str) -> None:
    assert warnings_of(POD, obj, None) == [text]
    assert warnings_of(POD, obj, copy_of(obj)) == []


def test_templates_when_they_change() -> None:
    deployment = new(DEPLOYMENT, "d", "ns")
    deployment.spec.template.spec = CASES[0][0].spec
    (text,) = warnings_of(DEPLOYMENT, deployment, None)
    assert text.startswith("spec.template.spec.nodeSelector[beta.kubernetes.io/os]: ")
    assert warnings_of(DEPLOYMENT, deployment, copy_of(deployment)) == []


def test_other_kinds() -> None:
    service = new(SERVICE, "s", "ns")
    service.spec.cluster_ip, service.spec.external_ips, service.spec.external_name = "None", ["1.2.3.4"], "x"
    assert warnings_of(SERVICE, service, None) == [
        "spec.externalIPs is ignored for headless services",
        'spec.externalName is ignored when spec.type is not "ExternalName"',
    ]
    node = new(NODE, "n")
    node.spec.external_id = "x"
    assert warnings_of(NODE, node, None) == ["spec.externalID: this field is deprecated, and is unused by Kubernetes"]
    claim = new(PERSISTENTVOLUMECLAIM, "c", "ns")
    claim.metadata.annotations = {"volume.beta.kubernetes.io/storage-class": "x"}
    assert len(warnings_of(PERSISTENTVOLUMECLAIM, claim, None)) == 1
    assert warnings_of(RUNTIMECLASS, new(RUNTIMECLASS, "r"), None) == []


def test_old_ingress_classes() -> None:
    ingress = new(INGRESS, "i", "ns")
    ingress.metadata.annotations = {"kubernetes.io/ingress.class": "x"}
    text = "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    assert warnings_of(INGRESS, ingress, None) == [text]
    assert warnings_of(INGRESS, ingress, ingress) == []
    ingress.spec.ingress_class_name = "x"
    assert warnings_of(INGRESS, ingress, None) == []


def test_finalizers_of_custom_objects() -> None:
    obj = new(CONFIGMAP, "o", "ns")
    obj.metadata.finalizers = ["orphan", "example.com/mine", "mine", "mine.example.com"]
    advice = "to avoid accidental conflicts with other finalizer writers"
    assert list(custom_warnings(obj, None)) == [
        f'metadata.finalizers: "mine": prefer a domain-qualified finalizer name {advice}',
        'metadata.finalizers: "mine.example.com": prefer a domain-qualified finalizer name including a path (/) '
        f"{advice}",
    ]
    assert list(custom_warnings(obj, obj)) == []


def test_formats_of_definitions() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": "color-of-the-day"}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    made = codec.from_json(CUSTOMRESOURCEDEFINITION.schema, {"spec": {"versions": [version]}})
    assert warnings_of(CUSTOMRESOURCEDEFINITION, made, None) == ['unrecognized format "color-of-the-day"']
    assert warnings_of(CUSTOMRESOURCEDEFINITION, made, made) == []


def test_versions_on_their_way_out() -> None:
    told = {(kind.api_version, kind.kind): deprecation(kind) for kind in (*KINDS, *PREVIEW_KINDS)}
    assert told["storage.k8s.io/v1beta1", "VolumeAttributesClass"] == (
        "storage.k8s.io/v1beta1 VolumeAttributesClass is deprecated in v1.34+, unavailable in v1.37+; "
        "use storage.k8s.io/v1 VolumeAttributesClass"
    )
    assert told["resource.k8s.io/v1beta2", "ResourceSlice"] == (
        "resource.k8s.io/v1beta2 ResourceSlice is deprecated in v1.36+, unavailable in v1.39+"
    )
    assert told["v1", "Endpoints"].startswith("v1 Endpoints is deprecated in v1.33+")
    assert not told["resource.k8s.io/v1alpha3", "ResourcePoolStatusRequest"]
    assert not told["apps/v1", "Deployment"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.group_resource)
def test_every_kind_has_an_answer_for_an_empty_object(kind: Any) -> None:
    if kind.stored:
        assert warnings_of(kind, new(kind, "x"), None) == []
