"""A node loses its power for good: what was on it starts elsewhere once somebody says that it is out of service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import RunningCluster, eventually
from tests.e2e.test_node_faults import condition

_DRIVER = "moving.example.com"
"""A driver whose node side is nowhere: pods wait for its volumes, attached or not. The test attaches them."""
_TAINT = "node.kubernetes.io/out-of-service"


@pytest.fixture
def lost(cluster: RunningCluster) -> Iterator[str]:
    """A node that may be lost: afterwards it is back and takes pods."""
    name = "node-2"
    yield name
    for word in ("node-1", name):
        cluster.kubectl("uncordon", word)
    cluster.kubectl("taint", "node", name, f"{_TAINT}-", check=False)
    cluster.tiphys("nodes", "restore", name)
    cluster.kubectl("delete", "volumeattachments", "--all")
    cluster.kubectl("delete", "pv", "moving", "--ignore-not-found", "--wait=false")
    cluster.kubectl("delete", "csidriver", _DRIVER, "--ignore-not-found")
    eventually(lambda: condition(cluster, "node", name, "Ready") == "True", 60)


def stateful(name: str, image: str, volumes: list[dict[str, Any]]) -> dict[str, Any]:
    mounts = [{"name": each["name"], "mountPath": "/files"} for each in volumes]
    container = {"name": "c", "image": image, "command": ["busybox", "sleep", "1000"], "volumeMounts": mounts}
    labels = {"app": name}
    spec = {"containers": [container], "volumes": volumes}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def disk(cluster: RunningCluster, namespace: str) -> None:
    """A volume that may be attached to any node, with its claim."""
    cluster.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIDriver",
            "metadata": {"name": _DRIVER},
            "spec": {"attachRequired": True},
        }
    )
    size = {"storage": "1Mi"}
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    csi = {"driver": _DRIVER, "volumeHandle": "disk-1"}
    reference = {"namespace": namespace, "name": "files"}
    volume = {**common, "capacity": size, "csi": csi, "claimRef": reference, "persistentVolumeReclaimPolicy": "Retain"}
    meta = {"name": "moving"}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": volume})
    wanted = {**common, "resources": {"requests": size}, "volumeName": "moving"}
    meta = {"name": "files"}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": wanted}, namespace)


def attachment(cluster: RunningCluster) -> tuple[str, str]:
    """The only one's name and node."""
    found = cluster.get("volumeattachments")["items"]
    assert len(found) <= 1, "a disk for one node is asked for on two"
    return (found[0]["metadata"]["name"], found[0]["spec"]["nodeName"]) if found else ("", "")


def test_pods_and_volumes_leave_a_node_that_is_out_of_service(
    cluster: RunningCluster, namespace: str, lost: str
) -> None:
    def where(pod: str) -> tuple[str, str]:
        """The pod's UID and node."""
        found = cluster.kubectl("get", "pod", pod, "-n", namespace, "-o", "json", check=False)
        seen = json.loads(found.stdout) if found.returncode == 0 else {"metadata": {}, "spec": {}}
        return seen["metadata"].get("uid", ""), seen["spec"].get("nodeName", "")

    disk(cluster, namespace)
    cluster.kubectl("cordon", "node-1")
    cluster.apply(stateful("plain", cluster.image, []), namespace)
    claims = [{"name": "files", "persistentVolumeClaim": {"claimName": "files"}}]
    cluster.apply(stateful("keeper", cluster.image, claims), namespace)
    eventually(lambda: condition(cluster, "pod", "plain-0", "Ready", namespace) == "True", 60)
    name, _ = eventually(lambda: attachment(cluster)[1] == lost and attachment(cluster), 60)
    attached = json.dumps({"status": {"attached": True}})
    cluster.kubectl("patch", "volumeattachment", name, "--subresource=status", "--type=merge", "-p", attached)
    (shown,) = eventually(lambda: cluster.get("node", lost)["status"].get("volumesAttached"), 60)
    before = {pod: where(pod)[0] for pod in ("plain-0", "keeper-0")}

    cluster.tiphys("nodes", "stop", lost)
    # What its kubelet would have said last, if the driver had mounted the volume there.
    used = json.dumps({"status": {"volumesInUse": [shown["name"]]}})
    cluster.kubectl("patch", "node", lost, "--subresource=status", "--type=merge", "-p", used)
    cluster.kubectl("uncordon", "node-1")
    eventually(lambda: condition(cluster, "node", lost, "Ready") == "Unknown", 90)
    cluster.kubectl("delete", "pods", *before, "-n", namespace, "--wait=false")
    # Nobody can say that they have ended: neither pods nor the volume may be anywhere else.
    assert {pod: where(pod)[0] for pod in before} == before
    assert attachment(cluster) == (name, lost)

    cluster.kubectl("taint", "node", lost, f"{_TAINT}=nodeshutdown:NoExecute")
    eventually(lambda: all(where(pod)[0] != uid and where(pod)[1] == "node-1" for pod, uid in before.items()), 60)
    eventually(lambda: condition(cluster, "pod", "plain-0", "Ready", namespace) == "True", 60)
    eventually(lambda: attachment(cluster)[1] == "node-1", 60)
    assert not cluster.get("node", lost)["status"].get("volumesAttached")
