"""What a kubelet may read follows its pods as they come, change and go."""

from __future__ import annotations

from typing import Any

from front_fakes import FakeCaches

from tiphys.api.kind import new
from tiphys.api.kinds import PERSISTENTVOLUME, POD, VOLUMEATTACHMENT
from tiphys.api.kinds.core.persistentvolume import CSIPersistentVolumeSource
from tiphys.api.kinds.core.pod.containers import Container, EnvFromSource, SecretEnvSource
from tiphys.api.kinds.core.pod.spec import PodResourceClaim, PodSpec
from tiphys.api.kinds.core.pod.status import PodResourceClaimStatus
from tiphys.api.kinds.core.pod.volumes import PersistentVolumeClaimVolumeSource, Volume
from tiphys.api.kinds.core.references import ObjectReference, SecretReference
from tiphys.api.meta.schema import copy_of
from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.request import RequestInfo, User

NODE = User("system:node:n1", groups=("system:nodes",))


def pod(name: str, node: str, secret: str, *, annotations: dict[str, str] | None = None) -> Any:
    reference = EnvFromSource(secret_ref=SecretEnvSource(name=secret))
    spec = PodSpec(node_name=node, containers=[Container(name="c", env_from=[reference])])
    made = new(POD, name, "ns", spec=spec)
    made.metadata.uid = f"uid-{name}"
    made.metadata.annotations = annotations or {}
    return made


def read(secret: str) -> RequestInfo:
    return RequestInfo(
        verb="get", path="", is_resource=True, version="v1", resource="secrets", namespace="ns", name=secret
    )


def test_it_follows_pods() -> None:
    caches = FakeCaches()
    caches.put(POD, pod("early", "n1", "s0"))
    authorizer = NodeAuthorizer(caches, ())
    assert authorizer.check(NODE, read("s0")) == (True, "")
    caches.put(POD, pod("a", "", "s1"))
    assert not authorizer.check(NODE, read("s1"))[0]
    caches.put(POD, pod("a", "n1", "s1"))
    caches.put(POD, pod("b", "n1", "s1"))
    caches.cache_of(POD).remove("ns", "a")
    assert authorizer.check(NODE, read("s1"))[0]
    caches.cache_of(POD).remove("ns", "b")
    assert authorizer.check(NODE, read("s1")) == (
        False, "no relationship found between node 'n1' and this object",
    )  # fmt: skip


def test_other_nodes_and_other_users() -> None:
    caches = FakeCaches()
    authorizer = NodeAuthorizer(caches, ())
    caches.put(POD, pod("a", "n2", "s1"))
    assert not authorizer.check(NODE, read("s1"))[0]
    assert authorizer.check(User("system:node:n2"), read("s1")) == (False, "")
    assert authorizer.check(User("x", groups=("system:nodes",)), read("s1"))[1] == 'unknown node for user "x"'


def test_a_mirror_pod_grants_nothing() -> None:
    caches = FakeCaches()
    authorizer = NodeAuthorizer(caches, ())
    caches.put(POD, pod("m", "n1", "s1", annotations={"kubernetes.io/config.mirror": "x"}))
    assert not authorizer.check(NODE, read("s1"))[0]


def ask(verb: str, resource: str, name: str = "", group: str = "", **more: Any) -> RequestInfo:
    return RequestInfo(
        verb=verb, path="", is_resource=True, group=group, version="v1", resource=resource, name=name, **more
    )


def test_volumes_of_its_pods_and_their_secrets() -> None:
    caches = FakeCaches()
    authorizer = NodeAuthorizer(caches, ())
    claim = PersistentVolumeClaimVolumeSource(claim_name="data")
    made = pod("a", "n1", "s1")
    made.spec.volumes = [Volume(name="v", persistent_volume_claim=claim)]
    csi = CSIPersistentVolumeSource(
        driver="d", volume_handle="h", node_stage_secret_ref=SecretReference(name="stage", namespace="ns")
    )
    volume = new(PERSISTENTVOLUME, "pv")
    volume.spec.csi, volume.spec.claim_ref = csi, ObjectReference(namespace="ns", name="data")
    caches.put(PERSISTENTVOLUME, volume)
    for question in (ask("get", "persistentvolumes", "pv"), read("stage")):
        assert not authorizer.check(NODE, question)[0]
    caches.put(POD, made)
    for question in (ask("get", "persistentvolumes", "pv"), read("stage")):
        assert authorizer.check(NODE, question)[0]
    assert not authorizer.check(NODE, ask("list", "persistentvolumes"))[0]
    assert authorizer.check(NODE, ask("patch", "persistentvolumeclaims", "data", namespace="ns", subresource="status"))[
        0
    ]


def test_what_names_its_node() -> None:
    caches = FakeCaches()
    authorizer = NodeAuthorizer(caches, ())
    for name, node in (("mine", "n1"), ("theirs", "n2")):
        attachment = new(VOLUMEATTACHMENT, name)
        attachment.spec.node_name = node
        caches.put(VOLUMEATTACHMENT, attachment)
    group = "storage.k8s.io"
    assert authorizer.check(NODE, ask("get", "volumeattachments", "mine", group))[0]
    assert not authorizer.check(NODE, ask("get", "volumeattachments", "theirs", group))[0]
    assert authorizer.check(NODE, ask("update", "csinodes", "n1", group))[0]
    assert authorizer.check(NODE, ask("update", "csinodes", "n2", group))[1] == (
        "can only access CSINode with the same name as the requesting node"
    )
    slices = "resource.k8s.io"
    selected = {"fieldSelector": ("spec.nodeName=n1",)}
    assert authorizer.check(NODE, ask("list", "resourceslices", "", slices, query=selected))[0]
    assert not authorizer.check(NODE, ask("list", "resourceslices", "", slices))[0]


def test_claims_made_for_a_pod_after_it_was_bound() -> None:
    caches = FakeCaches()
    authorizer = NodeAuthorizer(caches, ())
    made = pod("a", "n1", "s1")
    made.spec.resource_claims = [PodResourceClaim(name="gpu", resource_claim_template_name="t")]
    caches.put(POD, made)
    question = ask("get", "resourceclaims", "a-gpu-x", "resource.k8s.io", namespace="ns")
    assert not authorizer.check(NODE, question)[0]
    changed = copy_of(made)
    changed.status.resource_claim_statuses = [PodResourceClaimStatus(name="gpu", resource_claim_name="a-gpu-x")]
    caches.put(POD, changed)
    assert authorizer.check(NODE, question)[0]
