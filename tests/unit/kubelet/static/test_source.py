"""Manifests into static pods."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tiphys.kubelet.static.source import HASH, MIRROR, SOURCE, BadManifest, is_mirror, mirror_of, read_pods

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "main", "image": "busybox:1"}]},
}
SEEN = "2026-01-01T00:00:00Z"


def read(document: object, origin: str = "/m/a.yaml", source: str = "file", node: str = "node-1") -> Any:
    return read_pods(json.dumps(document).encode(), origin, source, node, SEEN)


def test_a_pod_of_a_file() -> None:
    (pod,) = read(POD)
    assert (pod.metadata.name, pod.metadata.namespace, pod.spec.node_name) == ("web-node-1", "default", "node-1")
    assert pod.metadata.annotations[SOURCE] == "file"
    assert pod.metadata.annotations[HASH] == pod.metadata.uid
    assert pod.spec.restart_policy == "Always", "defaults are filled in"
    assert [(t.operator, t.effect) for t in pod.spec.tolerations] == [("Exists", "NoExecute")]


def test_yaml_and_lists() -> None:
    text = b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n"
    assert read_pods(text, "/m", "file", "n", SEEN)[0].metadata.name == "a-n"
    both = {"apiVersion": "v1", "kind": "PodList", "items": [POD, {**POD, "metadata": {"name": "other"}}]}
    pods = read(both, "http://x/", "http")
    assert [pod.metadata.name for pod in pods] == ["web-node-1", "other-node-1"]
    assert pods[0].spec.tolerations == []


def test_the_uid_is_of_content_place_and_node() -> None:
    uid = read(POD)[0].metadata.uid
    assert read(POD)[0].metadata.uid == uid
    assert read(POD, origin="/m/b.yaml")[0].metadata.uid != uid
    assert read(POD, node="node-2")[0].metadata.uid != uid
    assert read({**POD, "metadata": {"name": "web"}})[0].metadata.uid != uid
    assert read({**POD, "metadata": {"name": "web", "uid": "mine"}})[0].metadata.uid == "mine"


def spec(**more: Any) -> dict[str, Any]:
    return {**POD, "spec": {**POD["spec"], **more}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the manifest is no object"),
        ({"apiVersion": "apps/v1", "kind": "Deployment"}, "invalid pod: apps/v1, Kind=Deployment"),
        ({**POD, "metadata": {}}, "name is needed for the pod"),
        ({**POD, "spec": {"containers": []}}, r"spec\.containers: Required value"),
        ({**POD, "spec": {"containers": "many"}}, "couldn't parse as pod"),
        (spec(serviceAccountName="x"), "static pods may not reference serviceaccounts"),
        (spec(volumes=[{"name": "v", "secret": {"secretName": "s"}}]), "may not reference secrets"),
        (spec(volumes=[{"name": "v", "configMap": {"name": "s"}}]), "may not reference configmaps"),
        (
            spec(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "s"}}]),
            "may not reference persistentvolumeclaims",
        ),
    ],
)
def test_what_makes_no_sense(document: object, message: str) -> None:
    with pytest.raises(BadManifest, match=message):
        read(document)


def test_text_that_is_no_yaml() -> None:
    with pytest.raises(BadManifest, match="couldn't parse as pod"):
        read_pods(b"a: [", "/m", "file", "n", SEEN)
    with pytest.raises(BadManifest):
        read_pods(b"\xff\xfe\x00", "/m", "file", "n", SEEN)


def test_the_mirror() -> None:
    (pod,) = read(POD)
    mirror = mirror_of(pod, "node-uid")
    assert (mirror.metadata.name, mirror.metadata.uid) == ("web-node-1", "")
    assert mirror.metadata.annotations[MIRROR] == pod.metadata.uid
    assert [(o.kind, o.name, o.uid, o.controller) for o in mirror.metadata.owner_references] == [
        ("Node", "node-1", "node-uid", True)
    ]
    assert is_mirror(mirror)
    assert not is_mirror(pod)
