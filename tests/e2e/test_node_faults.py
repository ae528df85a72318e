"""A node loses its power or its link, and gets it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import RunningCluster, eventually
from tests.e2e.test_networkpolicy import Pods, pod


@pytest.fixture
def pods(cluster: RunningCluster, namespace: str) -> Iterator[Pods]:
    yield Pods(cluster, namespace)
    cluster.tiphys("nodes", "restore", "node-2")
    eventually(lambda: condition(cluster, "node", "node-2", "Ready") == "True", 60)


def condition(cluster: RunningCluster, kind: str, name: str, wanted: str, namespace: str = "default") -> str:
    conditions: list[dict[str, Any]] = cluster.get(kind, name, "-n", namespace)["status"].get("conditions", [])
    return next((str(one["status"]) for one in conditions if one["type"] == wanted), "")


def container(pods: Pods, name: str) -> tuple[str, int]:
    """Its ID and how often it was started again."""
    (status,) = pods.cluster.get("pod", name, "-n", pods.namespace)["status"]["containerStatuses"]
    return status.get("containerID", ""), status["restartCount"]


def test_a_partition_takes_the_node_out_and_harms_no_container(pods: Pods) -> None:
    cluster, far = pods.cluster, container(pods, "far")
    assert "down" in cluster.tiphys("nodes", "cut", "node-2").stdout
    assert not pods.reaches("near", "far")
    assert pods.reaches("near", "server")
    eventually(lambda: condition(cluster, "node", "node-2", "Ready") == "Unknown", 90)
    eventually(lambda: condition(cluster, "pod", "far", "Ready", pods.namespace) == "False", 30)
    assert condition(cluster, "pod", "near", "Ready", pods.namespace) == "True"
    cluster.tiphys("nodes", "restore", "node-2")
    eventually(lambda: condition(cluster, "pod", "far", "Ready", pods.namespace) == "True", 60)
    assert pods.reaches("near", "far")
    assert container(pods, "far") == far


def test_a_node_that_lost_power_starts_its_pods_again(pods: Pods) -> None:
    cluster, (before, restarts) = pods.cluster, container(pods, "far")
    cluster.apply(pod("further", "node-2", cluster.image), pods.namespace)
    assert "off" in cluster.tiphys("nodes", "stop", "node-2").stdout
    assert not pods.reaches("near", "far")
    assert pods.reaches("near", "server")
    cluster.tiphys("nodes", "restore", "node-2")
    eventually(lambda: container(pods, "far")[1] > restarts and container(pods, "far")[0] != before, 60)
    eventually(lambda: condition(cluster, "pod", "far", "Ready", pods.namespace) == "True", 60)
    eventually(lambda: condition(cluster, "pod", "further", "Ready", pods.namespace) == "True", 60)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("cut", "node-9"), "its nodes are node-1, node-2"), (("stop", "nobody"), "no node nobody here")],
)
def test_bad_names_are_told(cluster: RunningCluster, words: tuple[str, ...], said: str) -> None:
    done = cluster.tiphys("nodes", *words, check=False)
    assert done.returncode == 1 and said in done.stderr
