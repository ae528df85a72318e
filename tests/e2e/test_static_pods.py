"""Pods from a node's manifest directory, on a real cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.conftest import RunningCluster, eventually

NAME = "own-node-1"


def manifest(cluster: RunningCluster, word: str) -> str:
    return json.dumps({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "own"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {"name": "main", "image": cluster.image, "command": ["sh", "-c", f"echo {word}; sleep 1000"]}
            ],
        },
    })  # fmt: skip


def found(cluster: RunningCluster) -> dict[str, Any]:
    listed = cluster.get("pods", f"--field-selector=metadata.name={NAME}")["items"]
    return listed[0] if listed else {}


def running(cluster: RunningCluster) -> dict[str, Any]:
    pod = found(cluster)
    return pod if pod.get("status", {}).get("phase") == "Running" else {}


def test_a_manifests_life(cluster: RunningCluster) -> None:
    directory = Path(cluster.data_dir) / "nodes" / "node-1" / "manifests"
    file = directory / "own.json"
    file.write_text(manifest(cluster, "first"))
    try:
        first = eventually(lambda: running(cluster))
        assert first["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
        eventually(lambda: cluster.kubectl("logs", NAME).stdout == "first\n")
        container = first["status"]["containerStatuses"][0]["containerID"]

        cluster.kubectl("delete", "pod", NAME, "--wait=false")
        again = eventually(lambda: (p := running(cluster)) and p["metadata"]["uid"] != first["metadata"]["uid"] and p)
        assert again["status"]["containerStatuses"][0]["containerID"] == container, "only the mirror was deleted"

        file.write_text(manifest(cluster, "second"))
        eventually(lambda: running(cluster) and "second" in cluster.kubectl("logs", NAME, check=False).stdout)

        file.write_text("kind: Nonsense")
        eventually(lambda: not found(cluster))
    finally:
        file.unlink(missing_ok=True)
    eventually(lambda: not found(cluster))
