"""The operator runs beside the tests, in a thread, against the cluster that the plugin of tiphys brings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def installed(cluster) -> None:
    """The definition, once: fixtures of wider scope than a test are not undone after it."""
    cluster.apply(HERE / "crd.yaml")


@pytest.fixture
def operator(cluster, installed, kubeconfig) -> Iterator[None]:
    from kopf.testing import KopfRunner

    with KopfRunner(["run", "--all-namespaces", str(HERE / "operator_websites.py")], timeout=30) as runner:
        cluster.until(lambda: cluster.requests(verb="watch", resource="websites"), what="the operator watches")
        yield
    assert runner.exception is None, runner.output
