"""Fixtures of the integration tests: a server that all share, namespaces of one's own, every kubectl."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_harness import Kubectl, RunningServer, kubectls


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests that do not change what others rely on."""
    server = RunningServer(tmp_path_factory.mktemp("api"))
    server.start()
    # The controller that makes it is not part of this server.
    server.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    yield server
    server.stop()


@pytest.fixture
def namespace(api: RunningServer, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own, with a default service account."""
    name = "t-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:40].strip("-")
    assert api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    api.request("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    return name


@pytest.fixture(params=kubectls() or [""], ids=lambda path: path.strip("/").replace("/", "-") or "none")
def kubectl(request: pytest.FixtureRequest, api: RunningServer, tmp_path: Path) -> Kubectl:
    if not request.param:
        pytest.skip("no kubectl in PATH or TIPHYS_TEST_KUBECTLS")
    return Kubectl(request.param, api, tmp_path)
