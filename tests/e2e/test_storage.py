"""Storage as users get it: a StatefulSet on local-path, and volumes of the directory driver from claim to deletion."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import REPOSITORY, TIPHYS, RunningCluster, eventually, run

_CLASS = "directory"
_DRIVER = "directory.csi.tiphys.io"


def ready(cluster: RunningCluster, namespace: str, pod: str) -> bool:
    found = cluster.kubectl("get", "pod", pod, "-n", namespace, "-o", "json", check=False)
    conditions = json.loads(found.stdout)["status"].get("conditions", []) if found.returncode == 0 else []
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


def test_a_stateful_set_keeps_its_diaries(cluster: RunningCluster, namespace: str) -> None:
    manifest = str(REPOSITORY / "examples" / "stateful" / "stateful.yaml")
    cluster.kubectl("apply", "-n", namespace, "-f", manifest)
    eventually(lambda: ready(cluster, namespace, "diary-2"), 60)

    def diary() -> list[str]:
        return cluster.kubectl("exec", "-n", namespace, "diary-0", "--", "cat", "/data/diary").stdout.splitlines()

    first = cluster.get("pod", "diary-0", "-n", namespace)["metadata"]["uid"]
    (line,) = diary()
    cluster.kubectl("delete", "pod", "diary-0", "-n", namespace)
    eventually(lambda: ready(cluster, namespace, "diary-0"), 60)
    assert cluster.get("pod", "diary-0", "-n", namespace)["metadata"]["uid"] != first
    assert diary() == [line, line]
    claims = cluster.get("pvc", "-n", namespace)["items"]
    directories = [cluster.data_dir / "local-volumes" / claim["spec"]["volumeName"] for claim in claims]
    assert len(directories) == 3 and all(each.is_dir() for each in directories)
    cluster.kubectl("delete", "-n", namespace, "-f", manifest)
    eventually(lambda: not any(each.exists() for each in directories), 60)
    eventually(lambda: not cluster.get("pv")["items"], 60)


@pytest.fixture
def driver(cluster: RunningCluster, tmp_path: Path) -> Iterator[Path]:
    """The directory driver beside node-1, and its class; the volumes are below the path."""
    command = [*TIPHYS, "csi-directory", "--kubeconfig", str(cluster.kubeconfig), "--node-name", "node-1"]
    command += ["--kubelet-dir", str(cluster.data_dir / "nodes" / "node-1" / "kubelet"), "--root", str(tmp_path)]
    process = subprocess.Popen([*command, "--capacity", "100Mi", "--attach"], env={**os.environ})
    spec: dict[str, Any] = {"attachRequired": True, "storageCapacity": True, "fsGroupPolicy": "File"}
    spec |= {"volumeLifecycleModes": ["Persistent", "Ephemeral"], "podInfoOnMount": True}
    kind = {"apiVersion": "storage.k8s.io/v1", "metadata": {"name": _DRIVER}, "kind": "CSIDriver", "spec": spec}
    cluster.apply(kind)
    storage_class = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": _CLASS}}
    more = {"volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": True}
    cluster.apply({**storage_class, "provisioner": _DRIVER, **more})
    try:
        eventually(lambda: cluster.get("csinode", "node-1")["spec"]["drivers"])
        yield tmp_path
    finally:
        process.terminate()
        process.wait(10)
        cluster.kubectl("delete", "csidriver", _DRIVER)
        cluster.kubectl("delete", "storageclass", _CLASS)
        for line in run(["losetup", "-n", "-O", "NAME,BACK-FILE"]).stdout.splitlines():
            device, _, file = line.partition(" ")
            if file.strip().startswith(str(tmp_path)):  # of a test that failed
                run(["losetup", "--detach", device], check=False)


def claim(name: str, size: str, **more: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": _CLASS, "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {**spec, **more}}


def volumes(cluster: RunningCluster) -> list[dict[str, Any]]:
    """Of the class."""
    return [each for each in cluster.get("pv")["items"] if each["spec"]["storageClassName"] == _CLASS]


def user(name: str, image: str) -> dict[str, Any]:
    command = "echo started >> /files/log; exec sleep 1000"
    container = {
        "name": "c",
        "image": image,
        "command": ["sh", "-c", command],
        "volumeMounts": [{"name": "files", "mountPath": "/files"}, {"name": "inline", "mountPath": "/inline"}],
        "volumeDevices": [{"name": "raw", "devicePath": "/dev/raw"}],
    }
    volumes: list[dict[str, Any]] = [
        {"name": each, "persistentVolumeClaim": {"claimName": each}} for each in ("files", "raw")
    ]
    volumes.append({"name": "inline", "csi": {"driver": _DRIVER, "volumeAttributes": {"size": "2Mi"}}})
    security = {"runAsUser": 1000, "fsGroup": 2000}
    spec = {"containers": [container], "volumes": volumes, "securityContext": security}
    meta = {"name": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**spec, "terminationGracePeriodSeconds": 0}}


def test_csi_volumes_from_claim_to_deletion(cluster: RunningCluster, namespace: str, driver: Path) -> None:
    for wanted in (claim("files", "20Mi"), claim("raw", "5Mi", volumeMode="Block"), user("first", cluster.image)):
        cluster.apply(wanted, namespace)
    eventually(lambda: ready(cluster, namespace, "first"), 60)
    assert cluster.get("pod", "first", "-n", namespace)["spec"]["nodeName"] == "node-1"
    cluster.kubectl("exec", "-n", namespace, "first", "--", "sh", "-c", "test -b /dev/raw && touch /inline/here")
    handles = {each["spec"]["csi"]["volumeHandle"] for each in volumes(cluster)}
    unique = {f"kubernetes.io/csi/{_DRIVER}^{handle}" for handle in handles}
    status = cluster.get("node", "node-1")["status"]
    assert len(unique) == 2 and {each["name"] for each in status["volumesAttached"]} == unique
    assert set(status["volumesInUse"]) == unique
    attachments = cluster.get("volumeattachments")["items"]
    assert [each["status"]["attached"] for each in attachments] == [True, True]
    assert all("device" in each["status"]["attachmentMetadata"] for each in attachments)
    full = "dd if=/dev/zero of=/files/big bs=1M count=30; rm /files/big"
    said = cluster.kubectl("exec", "-n", namespace, "first", "--", "sh", "-c", full)
    assert "No space left on device" in said.stdout + said.stderr
    grown = {"spec": {"resources": {"requests": {"storage": "40Mi"}}}}
    cluster.kubectl("patch", "pvc", "files", "-n", namespace, "-p", json.dumps(grown))

    def capacity() -> str:
        return str(cluster.get("pvc", "files", "-n", namespace)["status"]["capacity"]["storage"])

    def conditions() -> set[str]:
        status = cluster.get("pvc", "files", "-n", namespace)["status"]
        return {condition["type"] for condition in status.get("conditions", ())}

    # The node's part is done at the next mount where it cannot be done while the volume is in use.
    eventually(lambda: "FileSystemResizePending" in conditions() or capacity() == "40Mi", 60)
    cluster.kubectl("delete", "pod", "first", "-n", namespace)
    cluster.apply(user("second", cluster.image), namespace)
    eventually(lambda: ready(cluster, namespace, "second"), 60)
    eventually(lambda: capacity() == "40Mi" and not conditions(), 60)
    larger = "dd if=/dev/zero of=/files/big bs=1M count=30 && rm /files/big"
    cluster.kubectl("exec", "-n", namespace, "second", "--", "sh", "-c", larger)
    log = cluster.kubectl("exec", "-n", namespace, "second", "--", "cat", "/files/log").stdout
    assert log == "started\nstarted\n"
    large = claim("large", "500Mi")
    cluster.apply(large, namespace)
    cluster.kubectl("delete", "pod", "second", "-n", namespace)
    cluster.kubectl("delete", "pvc", "--all", "-n", namespace)
    eventually(lambda: not list(driver.iterdir()), 60)
    eventually(lambda: not volumes(cluster) and not cluster.get("volumeattachments")["items"])
    eventually(lambda: not {"volumesAttached", "volumesInUse"} & cluster.get("node", "node-1")["status"].keys())
    mounts = Path("/proc/mounts").read_text()
    assert f"{cluster.data_dir}/nodes/node-1/kubelet/plugins/kubernetes.io/csi" not in mounts


def writer(name: str, image: str, claim_name: str, command: str) -> dict[str, Any]:
    mounts = [{"name": "files", "mountPath": "/files"}]
    container = {"name": "c", "image": image, "command": ["sh", "-c", command], "volumeMounts": mounts}
    volume = {"name": "files", "persistentVolumeClaim": {"claimName": claim_name}}
    spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_a_snapshot_becomes_a_volume(cluster: RunningCluster, namespace: str, driver: Path) -> None:
    examples = REPOSITORY / "examples" / "snapshots"
    cluster.kubectl("apply", "-f", str(examples / "crds.yaml"))
    eventually(lambda: cluster.kubectl("get", "volumesnapshots", "-A", check=False).returncode == 0)
    cluster.apply(claim("files", "20Mi"), namespace)
    command = "echo early > /files/log; sync; exec sleep 1000"
    cluster.apply(writer("first", cluster.image, "files", command), namespace)
    eventually(lambda: ready(cluster, namespace, "first"), 60)
    cluster.kubectl("exec", "-n", namespace, "first", "--", "sh", "-c", "cat /files/log")
    cluster.kubectl("apply", "-n", namespace, "-f", str(examples / "snapshot.yaml"))

    def snapshot() -> dict[str, Any]:
        found = cluster.get("volumesnapshot", "before", "-n", namespace)
        assert isinstance(found, dict)
        return found.get("status", {})

    eventually(lambda: snapshot().get("readyToUse"), 60)
    assert snapshot()["restoreSize"] == "20Mi"
    cluster.kubectl("exec", "-n", namespace, "first", "--", "sh", "-c", "echo late >> /files/log")
    cluster.apply(writer("second", cluster.image, "restored", "exec sleep 1000"), namespace)
    eventually(lambda: ready(cluster, namespace, "second"), 90)
    log = cluster.kubectl("exec", "-n", namespace, "second", "--", "cat", "/files/log").stdout
    assert log == "early\n"
    cluster.kubectl("delete", "pod", "first", "second", "-n", namespace)
    cluster.kubectl("delete", "volumesnapshot", "before", "-n", namespace)
    cluster.kubectl("delete", "pvc", "--all", "-n", namespace)
    eventually(lambda: not cluster.get("volumesnapshotcontents")["items"], 60)
    eventually(lambda: not list(driver.iterdir()), 60)
    cluster.kubectl("delete", "-f", str(examples / "crds.yaml"))
