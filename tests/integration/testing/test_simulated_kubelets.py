"""Logs, exec, attach, port-forward and usage of pods that only pretend, asked for by clients that nobody here wrote."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import kubernetes
import pytest
from kubernetes.stream import portforward, stream

from tiphys.testing.cluster import TestCluster

STAGES = """
stages:
- {name: crash, phases: [Running], labels: {app: crashing}, after: 1m, becomes: Restarted, exitCode: 9}
logs:
- {labels: {app: web}, lines: ["first", "second"], every: 1ms, repeat: false}
exec:
- {command: "date*", stdout: "today\\n", stderr: "about\\n", exitCode: 3}
ports:
- {ports: [7], echo: true}
usage:
- {labels: {app: web}, cpu: 250m, memory: 64Mi}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One of its own, with answers of its own."""
    path: Path = tmp_path_factory.mktemp("stages") / "stages.yaml"
    path.write_text(STAGES)
    running = TestCluster(["--stages", str(path)])
    yield running
    running.stop()


@pytest.fixture
def core(cluster: TestCluster, namespace: str) -> kubernetes.client.CoreV1Api:
    for name in ("web", "crashing"):
        spec = {"containers": [{"name": "main", "image": "nginx:1"}]}
        pod = {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
        cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    api = kubernetes.client.CoreV1Api(cluster.client("kubernetes"))
    cluster.until(lambda: all(pod.status.phase == "Running" for pod in api.list_namespaced_pod(namespace).items))
    return api


def test_logs(cluster, namespace, core) -> None:
    cluster.advance(seconds=2)
    assert core.read_namespaced_pod_log("web", namespace) == "first\nsecond\n"
    assert core.read_namespaced_pod_log("web", namespace, tail_lines=1) == "second\n"
    with pytest.raises(kubernetes.client.ApiException, match="previous terminated container"):
        core.read_namespaced_pod_log("crashing", namespace, previous=True)
    cluster.advance(minutes=2)
    cluster.until(lambda: core.read_namespaced_pod("crashing", namespace).status.container_statuses[0].restart_count)
    assert "crashing main: line 1\n" in core.read_namespaced_pod_log("crashing", namespace, previous=True)


def test_a_followed_log_ends_with_its_pod(cluster, namespace, core) -> None:
    lines = core.read_namespaced_pod_log("web", namespace, follow=True, _preload_content=False).stream()
    seen = b""
    while b"second" not in seen:
        seen += next(lines)
    core.delete_namespaced_pod("web", namespace)
    assert b"".join(lines) == b""


def test_exec_over_a_websocket(namespace, core) -> None:
    answer = stream(
        core.connect_get_namespaced_pod_exec, "web", namespace, command=["date", "+%s"], stdout=True, stderr=True,
        _preload_content=False,
    )  # fmt: skip
    answer.run_forever(timeout=30)
    assert (answer.read_stdout(), answer.read_stderr(), answer.returncode) == ("today\n", "about\n", 3)


def test_ports_over_a_websocket(namespace, core) -> None:
    sockets = portforward(core.connect_get_namespaced_pod_portforward, "web", namespace, ports="7,80")
    echo, http = sockets.socket(7), sockets.socket(80)
    echo.setblocking(True)
    http.setblocking(True)
    echo.sendall(b"there and back")
    assert echo.recv(100) == b"there and back"
    http.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert http.recv(1000).endswith(f"\r\n\r\n{namespace}/web port 80\n".encode())


def test_usage(cluster, namespace, core) -> None:
    node = core.read_namespaced_pod("web", namespace).spec.node_name
    [shown] = [
        pod
        for pod in cluster.request("GET", f"/api/v1/nodes/{node}/proxy/stats/summary")["pods"]
        if pod["podRef"]["name"] == "web" and pod["podRef"]["namespace"] == namespace
    ]
    assert shown["cpu"]["usageNanoCores"] == 250_000_000
    assert shown["memory"]["workingSetBytes"] == 64 << 20


def test_nobody_answers_on_a_lost_node(cluster, namespace, core) -> None:
    cluster.lose_node(core.read_namespaced_pod("web", namespace).spec.node_name)
    with pytest.raises(kubernetes.client.ApiException):
        core.read_namespaced_pod_log("web", namespace)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
@pytest.mark.parametrize("websockets", ["true", "false"])
def test_kubectl(cluster, namespace, core, websockets, tmp_path) -> None:
    own = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    environment = {**cluster.environment, **own}

    def kubectl(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", "-n", namespace, *words],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    dated = kubectl("exec", "web", "--", "date")
    assert (dated.stdout, dated.returncode) == ("today\n", 3)
    assert "about\n" in dated.stderr
    assert kubectl("exec", "-i", "web", "--", "cat", stdin="hello").stdout == "hello"
    assert kubectl("logs", "web", "--tail=1").stdout == "second\n"
