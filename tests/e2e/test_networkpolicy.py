"""Network policies between real pods on two nodes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.conftest import RunningCluster, eventually

SHELL = "busybox httpd -p 8081 -h /www; exec busybox httpd -f -p 8080 -h /www"


def pod(name: str, node: str, image: str) -> dict[str, Any]:
    container = {
        "name": "web",
        "image": image,
        "command": ["busybox", "sh", "-c", SHELL],
        "ports": [{"name": "web", "containerPort": 8080}, {"name": "admin", "containerPort": 8081}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0},
    }


class Pods:
    """A server on node-1, a client beside it and one on the other node."""

    def __init__(self, cluster: RunningCluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        for name, node in (("server", "node-1"), ("near", "node-1"), ("far", "node-2")):
            cluster.apply(pod(name, node, cluster.image), namespace)
        cluster.kubectl("wait", "pods", "--all", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
        found = cluster.get("pods", "-n", namespace)["items"]
        self.ips = {one["metadata"]["name"]: one["status"]["podIP"] for one in found}

    def reaches(self, source: str, target: str, port: int = 8080) -> bool:
        address = self.ips.get(target, target)
        ask = ["busybox", "nc", "-w", "1", address, str(port)]
        done = self.cluster.kubectl("exec", "-n", self.namespace, source, "--", *ask, check=False)
        return done.returncode == 0

    def policy(self, **spec: Any) -> None:
        self.cluster.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "it"},
                "spec": {"podSelector": {"matchLabels": {"app": "server"}}, **spec},
            },
            self.namespace,
        )

    def become(self, wanted: dict[tuple[Any, ...], bool]) -> None:
        """Every asked way is open or closed as wanted, soon and then still."""

        def found() -> dict[tuple[Any, ...], bool]:
            with ThreadPoolExecutor(len(wanted)) as at_once:
                return dict(zip(wanted, at_once.map(lambda way: self.reaches(*way), wanted), strict=True))

        eventually(lambda: found() == wanted, 20)
        assert found() == wanted


@pytest.fixture
def pods(cluster: RunningCluster, namespace: str) -> Pods:
    return Pods(cluster, namespace)


def selected(name: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"app": name}}}


def test_who_may_come_in(pods: Pods) -> None:
    pods.become({("near", "server"): True, ("far", "server"): True})
    pods.policy(policyTypes=["Ingress"])
    pods.become({("near", "server"): False, ("far", "server"): False, ("server", "far"): True, ("far", "near"): True})
    # Its own node's probes go on; and it reaches itself.
    status = pods.cluster.get("pod", "server", "-n", pods.namespace)["status"]
    assert all(one["ready"] for one in status["containerStatuses"])
    assert pods.reaches("server", "server")
    pods.policy(ingress=[{"from": [selected("far")], "ports": [{"port": "admin"}]}])
    pods.become({("far", "server", 8081): True, ("far", "server", 8080): False, ("near", "server", 8081): False})
    pods.policy(ingress=[{"from": [selected("near")], "ports": [{"port": 8080, "endPort": 8090}]}])
    pods.become({("near", "server", 8081): True, ("near", "server", 8080): True, ("far", "server"): False})
    everyone_but = {"ipBlock": {"cidr": "0.0.0.0/0", "except": [f"{pods.ips['near']}/32"]}}
    pods.policy(ingress=[{"from": [everyone_but]}])
    pods.become({("near", "server"): False, ("far", "server"): True})
    pods.policy(ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "red"}}}]}])
    pods.become({("near", "server"): False, ("far", "server"): False})
    pods.cluster.kubectl("label", "namespace", pods.namespace, "team=red")
    pods.become({("near", "server"): True, ("far", "server"): True})


def test_where_it_may_go(pods: Pods) -> None:
    dns = "kubernetes.default.svc.cluster.local"
    resolve = ["exec", "-n", pods.namespace, "server", "--", "busybox", "nslookup", dns]
    pods.policy(policyTypes=["Egress"])
    pods.become({("server", "near"): False, ("server", "far"): False, ("far", "server"): True})
    assert pods.cluster.kubectl(*resolve, check=False).returncode != 0
    to_dns = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    pods.policy(
        policyTypes=["Egress"],
        egress=[{"to": [to_dns], "ports": [{"port": 53, "protocol": "UDP"}]}, {"to": [selected("far")]}],
    )
    pods.become({("server", "far"): True, ("server", "near"): False})
    assert dns in pods.cluster.kubectl(*resolve).stdout
    # A client that is created later is known by its labels, too.
    pods.cluster.kubectl("label", "pod", "near", "app=far", "--overwrite", "-n", pods.namespace)
    pods.become({("server", "far"): True, ("server", "near"): True})
    pods.cluster.kubectl("delete", "networkpolicy", "it", "-n", pods.namespace)
    pods.become({("server", "near"): True})
