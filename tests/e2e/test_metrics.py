"""What pods use, as the kubelet's pages and `kubectl top` show it, on real containers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import RunningCluster, eventually

NAMESPACE = "default"


@pytest.fixture(scope="module")
def busy(cluster: RunningCluster) -> Iterator[str]:
    """The node of a pod that keeps half a core busy."""
    cluster.apply({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "busy"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "main",
                "image": cluster.image,
                "command": ["sh", "-c", "while :; do :; done"],
                "resources": {"limits": {"cpu": "300m", "memory": "64Mi"}},
                "volumeMounts": [{"name": "disk", "mountPath": "/disk"}],
            }],
            "volumes": [{"name": "disk", "emptyDir": {}}],
        },
    })  # fmt: skip
    cluster.kubectl("wait", "--for=condition=Ready", "pod/busy", "--timeout=60s")
    yield str(cluster.get("pod", "busy")["spec"]["nodeName"])
    cluster.kubectl("delete", "pod", "busy", "--wait=false")


def page(cluster: RunningCluster, node: str, path: str) -> str:
    return cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/{path}").stdout


def test_summary(cluster: RunningCluster, busy: str) -> None:
    found = json.loads(page(cluster, busy, "stats/summary"))
    assert found["node"]["nodeName"] == busy
    assert found["node"]["memory"]["workingSetBytes"] > 0
    assert found["node"]["fs"]["capacityBytes"] > found["node"]["fs"]["availableBytes"] > 0
    mine = next(p for p in found["pods"] if p["podRef"]["name"] == "busy")
    container = mine["containers"][0]
    assert container["name"] == "main"
    assert 0 < container["memory"]["workingSetBytes"] < 64 << 20
    assert container["memory"]["availableBytes"] == (64 << 20) - container["memory"]["workingSetBytes"]
    assert mine["network"]["name"] == "eth0"
    assert [v["name"] for v in mine["volume"] if v["name"] == "disk"] == ["disk"]
    rate = eventually(
        lambda: next(
            p for p in json.loads(page(cluster, busy, "stats/summary"))["pods"] if p["podRef"]["name"] == "busy"
        )["cpu"].get("usageNanoCores")
    )
    assert 50_000_000 < rate < 450_000_000, "the limit is 300m"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("metrics", 'kubelet_running_containers{container_state="running"}'),
        (
            "metrics/resource",
            f'container_cpu_usage_seconds_total{{container="main",namespace="{NAMESPACE}",pod="busy"}}',
        ),
        ("metrics/cadvisor", "container_cpu_cfs_throttled_periods_total{"),
        ("metrics/probes", "# TYPE prober_probe_total counter"),
    ],
)
def test_metrics(cluster: RunningCluster, busy: str, path: str, line: str) -> None:
    assert any(found.startswith(line) for found in page(cluster, busy, path).splitlines())


def test_top(cluster: RunningCluster, busy: str) -> None:
    cluster.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=30s")
    raw = cluster.kubectl("get", "--raw", f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods/busy").stdout
    usage = json.loads(raw)["containers"][0]["usage"]
    assert 50_000_000 < int(usage["cpu"].removesuffix("n")) < 450_000_000
    nodes = json.loads(cluster.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes").stdout)["items"]
    assert busy in [node["metadata"]["name"] for node in nodes]
