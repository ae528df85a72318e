"""A pod network of the user's own, the plugin ptp: Services, DNS and policies work as ever."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import REPOSITORY, RunningCluster, eventually, free_port, obstacle
from tests.e2e.test_networkpolicy import pod, selected
from tiphys.network.cni import plugin_directory

ROUTED = {
    "cniVersion": "1.0.0",
    "name": "routed",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": True,
            "mtu": 1400,
            "ipam": {"type": "host-local", "subnet": "${podCIDR}", "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
    ],
}


@pytest.fixture
def routed() -> Iterator[RunningCluster]:
    if why_not := obstacle():
        pytest.skip(why_not)
    if not Path(plugin_directory(), "ptp").exists():
        pytest.skip("no plugin ptp")
    directory = Path(tempfile.mkdtemp(prefix="tiphys-cni-"))
    config = directory.with_suffix(".conflist")
    config.write_text(json.dumps(ROUTED))
    made = RunningCluster(directory)
    try:
        made.tiphys("up", "--isolated", "--pod-network", str(config), "--api-port", str(free_port()))
        made.tiphys("image", "build", str(REPOSITORY / "examples" / "hello"), "-t", made.image)
        yield made
    finally:
        made.tiphys("reset", check=False)
        shutil.rmtree(directory, ignore_errors=True)
        config.unlink()


def test_pods_of_another_plugin_have_services_dns_and_policies(routed: RunningCluster) -> None:
    eventually(lambda: routed.kubectl("get", "sa", "default", check=False).returncode == 0)
    for name in ("server", "near"):
        routed.apply(pod(name, "node-1", routed.image))
    ports = [{"port": 80, "targetPort": 8080}]
    routed.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "it"},
            "spec": {"selector": {"app": "server"}, "ports": ports},
        }
    )
    routed.kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
    link = routed.kubectl("exec", "near", "--", "busybox", "ip", "link", "show", "eth0").stdout
    assert "mtu 1400" in link
    address = routed.get("service", "it")["spec"]["clusterIP"]

    def reaches(source: str) -> bool:
        words = ("exec", source, "--", "busybox", "nc", "-w", "1", address, "80")
        return routed.kubectl(*words, check=False).returncode == 0

    eventually(lambda: reaches("near") and reaches("server"))
    looked_up = routed.kubectl("exec", "near", "--", "busybox", "nslookup", "it.default.svc.cluster.local").stdout
    assert address in looked_up
    policy = {"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [{"from": [selected("nobody")]}]}
    routed.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "it"},
            "spec": policy,
        }
    )
    eventually(lambda: not reaches("near"))
    routed.kubectl("label", "pod", "near", "app=nobody", "--overwrite")
    eventually(lambda: reaches("near"))
