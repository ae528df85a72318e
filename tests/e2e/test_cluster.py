"""The main job as a user does it: `tiphys up`, then kubectl, on real containers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import REPOSITORY, TIPHYS, RunningCluster, eventually, free_port, kubectls, obstacle, run


def workload(name: str, image: str, replicas: int = 2) -> dict[str, Any]:
    labels = {"app": name}
    container = {
        "name": "web",
        "image": image,
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
        },
    }


def ready(cluster: RunningCluster, namespace: str, name: str, count: int) -> bool:
    status = cluster.get("deploy", name, "-n", namespace).get("status", {})
    return bool(status.get("readyReplicas", 0) == count and status.get("replicas", 0) == count)


def containers(cluster: RunningCluster, namespace: str) -> dict[str, str]:
    """Container IDs by pod."""
    return {
        pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["containerID"]
        for pod in cluster.get("pods", "-n", namespace)["items"]
        if pod["status"].get("containerStatuses") and "deletionTimestamp" not in pod["metadata"]
    }


@pytest.mark.parametrize("binary", kubectls(), ids=lambda path: path or "tiphys kubectl")
def test_a_workload_from_apply_to_delete(cluster: RunningCluster, namespace: str, binary: str, tmp_path: Path) -> None:
    def kubectl(*arguments: str, **options: Any) -> str:
        return cluster.kubectl(*arguments, "-n", namespace, binary=binary, **options).stdout

    manifest = tmp_path / "web.yaml"
    manifest.write_text(json.dumps(workload("web", cluster.image)))
    assert kubectl("apply", "-f", str(manifest)) == "deployment.apps/web created\n"
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert "2/2" in kubectl("get", "deploy", "web")
    wide = kubectl("get", "pods", "-o", "wide")
    assert "Running" in wide
    assert " 100." in wide, "pods of nodes in namespaces have addresses of 100.64.0.0/10"
    assert "kind: Deployment" in kubectl("get", "deploy", "web", "-o", "yaml")
    eventually(lambda: "Successfully assigned" in kubectl("describe", "pods"))
    described = kubectl("describe", "pods")
    assert "Started" in described
    assert kubectl("scale", "deploy/web", "--replicas=3") == "deployment.apps/web scaled\n"
    eventually(lambda: ready(cluster, namespace, "web", 3))
    kubectl("label", "deploy/web", "tier=front")
    kubectl("patch", "deploy/web", "-p", '{"spec":{"template":{"metadata":{"annotations":{"turn":"2"}}}}}')
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    kubectl("rollout", "undo", "deploy/web")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    for kind, patch in (
        ("json", '[{"op":"replace","path":"/spec/replicas","value":2}]'),
        ("merge", '{"spec":{"replicas":1}}'),
    ):
        kubectl("patch", "deploy/web", f"--type={kind}", "-p", patch)
    eventually(lambda: ready(cluster, namespace, "web", 1))
    assert "deployment.apps/web edited" in kubectl("edit", "deploy/web", editor="sed -i s/replicas:.1/replicas:\\ 2/")
    eventually(lambda: ready(cluster, namespace, "web", 2))
    kubectl("delete", "deploy/web")
    eventually(lambda: not cluster.get("pods", "-n", namespace)["items"])


def test_the_example_answers_on_every_node(cluster: RunningCluster) -> None:
    cluster.kubectl("apply", "-f", str(REPOSITORY / "examples" / "hello" / "hello.yaml"))
    try:
        cluster.kubectl("rollout", "status", "deploy/hello", "--timeout=60s")
        pods = {pod["metadata"]["name"] for pod in cluster.get("pods", "-l", "app=hello")["items"]}
        for node in cluster.get("nodes")["items"]:
            address = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
            answered: set[str] = set()
            for _ in range(40):
                with urllib.request.urlopen(f"http://{address}:30080/", timeout=5) as answer:
                    answered.add(answer.read().decode().split()[2])
            assert answered == pods
        through_the_api = cluster.kubectl("get", "--raw", "/api/v1/namespaces/default/services/hello:80/proxy/")
        assert through_the_api.stdout.split()[2] in pods
    finally:
        cluster.kubectl("delete", "-f", str(REPOSITORY / "examples" / "hello" / "hello.yaml"))


def test_a_pod_finds_services_by_name_and_tells_how_it_ended(cluster: RunningCluster, namespace: str) -> None:
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = f"nslookup kubernetes.default.svc.cluster.local && cat {account}/namespace; exit 3"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "ask"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": cluster.image, "command": ["sh", "-c", script]}],
        },
    }
    cluster.apply(pod, namespace)
    ended = eventually(lambda: (p := cluster.get("pod", "ask", "-n", namespace))["status"]["phase"] == "Failed" and p)
    logs = cluster.kubectl("logs", "ask", "-n", namespace).stdout
    assert "Address: 10.96.0.1" in logs
    assert logs.endswith(namespace)
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_what_is_killed_or_deleted_comes_back(cluster: RunningCluster, namespace: str) -> None:
    cluster.apply(workload("web", cluster.image, replicas=1), namespace)
    eventually(lambda: ready(cluster, namespace, "web", 1))
    ((pod, container),) = containers(cluster, namespace).items()
    os.kill(_container_pid(container), signal.SIGKILL)
    eventually(lambda: containers(cluster, namespace).get(pod, container) != container)
    eventually(lambda: ready(cluster, namespace, "web", 1))
    status = cluster.get("pod", pod, "-n", namespace)["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 137
    cluster.kubectl("delete", "pod", pod, "-n", namespace)
    eventually(lambda: pod not in containers(cluster, namespace) and ready(cluster, namespace, "web", 1))


def _container_pid(container: str) -> int:
    """The container's first process: the one in a cgroup named after it whose parent is not in it."""
    name = container.rpartition("/")[2]
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if name in (entry / "cgroup").read_text():
                    pids.append(int(entry.name))
            except OSError:
                continue
    assert pids, f"no process of container {name}"
    return min(pids)


@pytest.mark.parametrize("program", ["supervisor", "control-plane", "node-1", "node-2"])
def test_killing_any_process_loses_nothing(cluster: RunningCluster, namespace: str, program: str) -> None:
    cluster.apply(workload("web", cluster.image), namespace)
    eventually(lambda: ready(cluster, namespace, "web", 2))
    before = containers(cluster, namespace)
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=1", "-n", namespace)
    old = cluster.pid(program)
    assert old
    os.kill(old, signal.SIGKILL)
    eventually(lambda: cluster.pid(program) not in (0, old))
    eventually(lambda: cluster.kubectl("get", "--raw", "/readyz", check=False).returncode == 0)
    assert cluster.get("configmap", "kept", "-n", namespace)["data"] == {"a": "1"}
    cluster.kubectl("scale", "deploy/web", "--replicas=3", "-n", namespace)
    eventually(lambda: ready(cluster, namespace, "web", 3), 60.0)
    after = containers(cluster, namespace)
    assert {pod: after.get(pod) for pod in before} == before, "running containers must survive"


def test_down_leaves_nothing_behind_and_up_brings_all_back(tmp_path: Path) -> None:
    if why_not := obstacle():
        pytest.skip(why_not)
    small = RunningCluster(tmp_path)
    try:
        small.tiphys("up", "--isolated", "--api-port", str(free_port()))
        small.tiphys("image", "build", str(REPOSITORY / "examples" / "hello"), "-t", small.image)
        small.apply(workload("web", small.image, replicas=1))
        eventually(lambda: ready(small, "default", "web", 1))
        number = json.loads((tmp_path / "cluster.json").read_text())["number"]
        small.tiphys("down")
        processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert str(tmp_path) not in processes
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
        assert not re.search(rf"tiphys{number}(v|-br)", links)
        small.tiphys("up")
        eventually(lambda: ready(small, "default", "web", 1))
    finally:
        small.tiphys("reset", check=False)
    assert not (tmp_path / "db").exists()


def test_a_port_in_use_is_told_in_a_sentence(cluster: RunningCluster, tmp_path: Path) -> None:
    port = json.loads((cluster.data_dir / "cluster.json").read_text())["api_port"]
    command = [*TIPHYS, "up", "--runtime", "simulated", "--data-dir", str(tmp_path), "--api-port", str(port)]
    try:
        refused = run(command, check=False)
    finally:
        run([*TIPHYS, "reset", "--data-dir", str(tmp_path)], check=False)
    assert refused.returncode == 1
    assert f"port {port} is in use" in refused.stderr
    assert "Traceback" not in refused.stderr
