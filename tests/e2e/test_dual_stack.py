"""Both families of addresses, with real pods on two nodes: between pods, through Services, in DNS, under policies."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import REPOSITORY, RunningCluster, eventually, free_port, obstacle
from tests.e2e.test_networkpolicy import Pods, selected
from tiphys.base.family import IPV4, IPV6, ipv6_obstacle


@pytest.fixture
def dual(request: pytest.FixtureRequest) -> Iterator[RunningCluster]:
    why_not = obstacle() or ipv6_obstacle()
    if why_not:
        pytest.skip(why_not)
    directory = Path(tempfile.mkdtemp(prefix="tiphys-dual-"))
    made = RunningCluster(directory)
    try:
        ports = ("--api-port", str(free_port()))
        made.tiphys("up", "--nodes", "2", "--dual-stack", "--pod-network", request.param, *ports)
        made.tiphys("image", "build", str(REPOSITORY / "examples" / "hello"), "-t", made.image)
        yield made
    finally:
        made.tiphys("reset", check=False)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def pods(dual: RunningCluster) -> Pods:
    eventually(lambda: dual.kubectl("get", "sa", "default", check=False).returncode == 0)
    return Pods(dual, "default")


def six(cluster: RunningCluster, name: str) -> str:
    """A pod's IPv6 address; its first one is IPv4."""
    status = cluster.get("pod", name)["status"]
    ips = [entry["ip"] for entry in status["podIPs"]]
    assert [IPV6.has(ip) for ip in ips] == [False, True] and status["podIP"] == ips[0]
    assert [IPV6.has(entry["ip"]) for entry in status["hostIPs"]] == [False, True]
    return str(ips[1])


def service(cluster: RunningCluster, **spec: Any) -> dict[str, Any]:
    whole = {"selector": {"app": "server"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}], **spec}
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "both"}, "spec": whole})
    return dict(cluster.get("service", "both")["spec"])


def connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("dual", ["host-gw"], indirect=True)
def test_pods_and_services_have_both_families(dual: RunningCluster, pods: Pods) -> None:
    server = six(dual, "server")
    pods.become({("near", server): True, ("far", server): True})
    spec = service(dual, type="NodePort", ipFamilyPolicy="PreferDualStack")
    assert [IPV6.has(ip) for ip in spec["clusterIPs"]] == [False, True]
    first, second = spec["clusterIPs"]
    # The server itself asks, too: its own answer comes back to it through the node.
    asked = {(source, ip, 80): True for source in ("near", "far", "server") for ip in (first, second)}
    pods.become(asked)
    nodes = {node["metadata"]["name"]: node for node in dual.get("nodes")["items"]}
    for node in nodes.values():
        assert len(node["spec"]["podCIDRs"]) == 2
        inside = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
        assert [IPV6.has(ip) for ip in inside] == [False, True]
        for ip in inside:
            assert connects(ip, spec["ports"][0]["nodePort"]), ip
    slices = dual.get("endpointslices", "-l", "kubernetes.io/service-name=both")["items"]
    assert {piece["addressType"]: piece["endpoints"][0]["addresses"] for piece in slices} == {
        IPV4.name: [pods.ips["server"]],
        IPV6.name: [server],
    }
    looked_up = {
        ("AAAA", "both.default.svc.cluster.local"): second,
        ("A", "both.default.svc.cluster.local"): first,
        ("PTR", ipaddress.ip_address(second).reverse_pointer): "both.default.svc.cluster.local",
    }
    for (kind, name), wanted in looked_up.items():
        done = dual.kubectl("exec", "far", "--", "busybox", "nslookup", f"-type={kind.lower()}", name)
        assert wanted in done.stdout
    # Without endpoints it is refused at once, not lost.
    service(dual, type="NodePort", ipFamilyPolicy="PreferDualStack", selector={"app": "nobody"})
    pods.become({("far", first, 80): False, ("far", second, 80): False})


@pytest.mark.parametrize("dual", ["vxlan"], indirect=True)
def test_policies_hold_for_both_families(dual: RunningCluster, pods: Pods) -> None:
    server, near = six(dual, "server"), six(dual, "near")
    both = [pods.ips["server"], server]
    pods.policy(policyTypes=["Ingress"], ingress=[{"from": [selected("far")]}])
    pods.become({("far", ip): True for ip in both} | {("near", ip): False for ip in both} | {("server", server): True})
    pods.policy(policyTypes=["Ingress"], ingress=[{"from": [{"ipBlock": {"cidr": "::/0", "except": [f"{near}/128"]}}]}])
    pods.become({("far", server): True, ("near", server): False, ("far", both[0]): False})
    dual.kubectl("delete", "networkpolicy", "it")
    pods.become({("near", ip): True for ip in both})
