"""A second machine joins as a node: real containers in a network namespace of its own, beside the cluster's."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import TIPHYS, RunningCluster, eventually
from tests.e2e.machines import Machine
from tests.e2e.test_networkpolicy import pod
from tiphys.cluster.settings import DataDirectory


@pytest.fixture(scope="module")
def machine(cluster: RunningCluster) -> Iterator[Machine]:
    settings = DataDirectory(cluster.data_dir).load_settings()
    assert settings is not None
    networks = settings.networks
    directory = Path(tempfile.mkdtemp(prefix="tiphys-join-"))
    shutil.copytree(cluster.data_dir / "images", directory / "images")
    address = networks.host_address.rpartition(".")[0] + ".120"
    made = Machine("joiner", networks.bridge, address, networks.host_address, directory)
    try:
        yield made
    finally:
        made.remove()
        cluster.kubectl("delete", "node", made.name, "--ignore-not-found", check=False)
        shutil.rmtree(directory, ignore_errors=True)


def test_one_line_makes_a_machine_a_node(cluster: RunningCluster, machine: Machine, namespace: str) -> None:
    line = cluster.tiphys("token", "create").stdout.split()
    assert line[:2] == ["tiphys", "join"]
    machine.tiphys(*line[1:])
    node = cluster.get("node", machine.name)
    assert {"type": "InternalIP", "address": machine.address} in node["status"]["addresses"]
    assert machine.tiphys("status").returncode == 0

    for name, where in (("here", machine.name), ("there", "node-1")):
        cluster.apply(pod(name, where, cluster.image), namespace)
    cluster.kubectl("wait", "pods", "--all", "--for=condition=Ready", "-n", namespace, "--timeout=90s")
    ips = {one["metadata"]["name"]: one["status"]["podIP"] for one in cluster.get("pods", "-n", namespace)["items"]}
    # Its certificate for serving was asked for and granted: the API server trusts nothing else.
    eventually(lambda: cluster.kubectl("exec", "-n", namespace, "here", "--", "true", check=False).returncode == 0, 30)
    for source, target in (("here", "there"), ("there", "here")):
        ask = ("busybox", "nc", "-w", "2", ips[target], "8080")
        assert cluster.kubectl("exec", "-n", namespace, source, "--", *ask, check=False).returncode == 0
    name = ("busybox", "nslookup", "kubernetes.default.svc.cluster.local")
    assert "10.96.0.1" in cluster.kubectl("exec", "-n", namespace, "here", "--", *name).stdout


def test_it_comes_back_after_a_restart(cluster: RunningCluster, machine: Machine) -> None:
    machine.tiphys("down")
    machine.tiphys("up")
    assert machine.tiphys("status").returncode == 0
    refused = machine.tiphys("up", "--nodes", "3", check=False)
    assert refused.returncode == 1 and "joined a cluster" in refused.stderr


def test_a_name_is_taken_once(cluster: RunningCluster, machine: Machine, tmp_path: Path) -> None:
    line = cluster.tiphys("token", "create").stdout.split()
    again = machine.run(*TIPHYS, *line[1:], "--data-dir", str(tmp_path / "d"), check=False)
    assert again.returncode == 1 and "in the cluster already, and ready" in again.stderr
