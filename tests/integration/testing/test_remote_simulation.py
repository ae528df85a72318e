"""`tiphys simulate` against a cluster that it knows a kubeconfig of, and nothing else."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kubernetes
import pytest
from kubernetes.stream import stream

from tiphys.testing.cluster import TestCluster

RULES = [
    {"apiGroups": [""], "resources": ["nodes", "nodes/status", "pods", "pods/status"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
]
"""What playing nodes takes; having their certificates signed is not in it."""


@contextlib.contextmanager
def simulated(kubeconfig: str, directory: Path) -> Iterator[Path]:
    """Runs meanwhile; yields its log."""
    command = [sys.executable, "-m", "tiphys", "simulate", "--data-dir", str(directory), "--kubeconfig", kubeconfig]
    log = directory / "log"
    with (
        log.open("w") as written,
        subprocess.Popen([*command, "--nodes", "2", "--name-prefix", "far"], stderr=written) as process,
    ):
        try:
            yield log
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()


@pytest.fixture(scope="module")
def cluster() -> Iterator[TestCluster]:
    """One of its own: where much time was skipped, what is signed is not valid yet for those outside."""
    running = TestCluster([])
    yield running
    running.stop()


@pytest.fixture
def pod(cluster: TestCluster, namespace: str) -> dict[str, object]:
    spec = {"nodeName": "far-1", "containers": [{"name": "main", "image": "web:1"}]}
    return {"metadata": {"name": "web", "namespace": namespace}, "spec": spec}


def run(cluster: TestCluster, namespace: str, pod: dict[str, object]) -> kubernetes.client.CoreV1Api:
    core = kubernetes.client.CoreV1Api(cluster.client("kubernetes"))
    cluster.until(lambda: len(core.list_node(label_selector="kubernetes.io/hostname=far-1").items), timeout_s=60)
    core.create_namespaced_pod(namespace, pod)
    cluster.until(lambda: core.read_namespaced_pod("web", namespace).status.phase == "Running", timeout_s=30)
    return core


def test_its_kubelets_serve_what_the_cluster_signed(cluster, namespace, pod, tmp_path) -> None:
    with simulated(str(cluster.kubeconfig), tmp_path):
        core = run(cluster, namespace, pod)
        assert "web main: line 1\n" in core.read_namespaced_pod_log("web", namespace)
        said = stream(core.connect_get_namespaced_pod_exec, "web", namespace, command=["echo", "hi"], stdout=True)
        assert said == "hi\n"


def test_without_the_right_to_that_they_sign_themselves_and_say_so(cluster, namespace, pod, tmp_path) -> None:
    user = cluster.user("player", rules=RULES)
    with simulated(str(user.kubeconfig), tmp_path) as log:
        core = run(cluster, namespace, pod)
        with pytest.raises(kubernetes.client.ApiException, match="certificate"):
            core.read_namespaced_pod_log("web", namespace)
    told = log.read_text()
    assert "certificates are self-signed" in told
    assert "Traceback" not in told
