"""The pytest plugin: fixtures `cluster`, `namespace`, `kubeconfig`; there once the package is installed.

Loaded at every start of pytest, so nothing heavy is imported until a test asks for a cluster.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tiphys.testing.cluster import TestCluster


@pytest.fixture(scope="session")
def cluster_arguments() -> list[str]:
    """Flags of `tiphys test-server` for the session's cluster. Override it in your conftest.py."""
    return []


@pytest.fixture(scope="session")
def cluster(cluster_arguments: list[str]) -> Iterator[TestCluster]:
    """A cluster of this process: API server, controllers, scheduler, simulated nodes. What a test changes, goes."""
    from tiphys.testing.cluster import TestCluster

    running = TestCluster(cluster_arguments)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _tiphys_cluster_reset(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set up after fixtures of wider scope and before the test's own: what those made stays, what these make goes."""
    running = _cluster_of(request)
    if running is None:
        yield
        return
    with running.undone():
        yield


def _cluster_of(request: pytest.FixtureRequest) -> TestCluster | None:
    if "cluster" not in request.fixturenames:
        return None
    found = request.getfixturevalue("cluster")
    return found if _is_ours(found) else None


def _is_ours(found: object) -> bool:
    from tiphys.testing.cluster import TestCluster

    return isinstance(found, TestCluster)


@pytest.fixture
def namespace(cluster: TestCluster, request: pytest.FixtureRequest) -> str:
    """The name of a new namespace for this test, with its default service account."""
    words = "".join(c if c.isascii() and c.isalnum() else "-" for c in request.node.name.lower())
    name = f"test-{words[:40].strip('-')}".rstrip("-")
    cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    cluster.rest()
    return name


@pytest.fixture
def kubeconfig(cluster: TestCluster, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The administrator's kubeconfig; during the test `KUBECONFIG` names it."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    official = sys.modules.get("kubernetes.config.kube_config")
    if official is not None:  # it has read the variable when it was imported
        monkeypatch.setattr(official, "KUBE_CONFIG_DEFAULT_LOCATION", str(cluster.kubeconfig))
    return cluster.kubeconfig


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Below a failed test: what the cluster looked like when it failed."""
    report = yield
    found = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and report.when in ("setup", "call") and found is not None and _is_ours(found):
        from tiphys.testing.process import TestClusterError

        try:
            report.sections.append(("cluster", found.picture()))
        except TestClusterError as error:
            report.sections.append(("cluster", str(error)))
    return report
