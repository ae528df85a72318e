"""A cluster that has IPv6 addresses only: nodes, pods on both, Services, DNS over IPv6."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import REPOSITORY, RunningCluster, eventually, free_port, obstacle
from tests.e2e.test_networkpolicy import Pods
from tiphys.base.family import IPV6, ipv6_obstacle


@pytest.fixture
def alone() -> Iterator[RunningCluster]:
    if why_not := obstacle() or ipv6_obstacle():
        pytest.skip(why_not)
    directory = Path(tempfile.mkdtemp(prefix="tiphys-six-"))
    made = RunningCluster(directory)
    try:
        ranges = ("--cluster-cidr", "fd00:8::/56", "--service-cidr", "fd00:9::/112")
        made.tiphys("up", "--nodes", "2", *ranges, "--api-port", str(free_port()))
        made.tiphys("image", "build", str(REPOSITORY / "examples" / "hello"), "-t", made.image)
        yield made
    finally:
        made.tiphys("reset", check=False)
        shutil.rmtree(directory, ignore_errors=True)


def test_everything_has_ipv6_addresses_and_works_by_them(alone: RunningCluster) -> None:
    eventually(lambda: alone.kubectl("get", "sa", "default", check=False).returncode == 0)
    pods = Pods(alone, "default")
    server = alone.get("pod", "server")["status"]
    assert [IPV6.has(each["ip"]) for each in (*server["podIPs"], *server["hostIPs"])] == [True, True]
    pods.become({("near", server["podIP"]): True, ("far", server["podIP"]): True})
    ports = [{"port": 80, "targetPort": 8080}]
    spec = {"type": "NodePort", "selector": {"app": "server"}, "ports": ports}
    alone.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "six"}, "spec": spec})
    made = alone.get("service", "six")["spec"]
    assert made["ipFamilies"] == ["IPv6"] and IPV6.has(made["clusterIP"])
    for client in ("near", "far"):
        asked = ("exec", client, "--", "nslookup", "six.default.svc.cluster.local")
        eventually(lambda words=asked: made["clusterIP"] in alone.kubectl(*words, check=False).stdout, 20)
    pods.become({("near", "six.default.svc.cluster.local", 80): True, ("far", made["clusterIP"], 80): True})
    for node in alone.get("nodes")["items"]:
        (address,) = (each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
        with socket.create_connection((address, made["ports"][0]["nodePort"]), timeout=5):
            pass
