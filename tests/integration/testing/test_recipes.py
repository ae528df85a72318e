"""Every Python block of docs/testing-operators.md, run as a newcomer would: in a directory of tests, side by side."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "testing-operators.md"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "web:1"}]}
"""
FAILING = """

def test_that_fails(cluster, namespace):
    pod = {"metadata": {"name": "huge"}, "spec": {"containers": [
        {"name": "main", "image": "web:1", "resources": {"requests": {"cpu": "1000"}}}]}}
    cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    cluster.rest()
    assert cluster is None
"""


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def as_tests(found: list[str]) -> str:
    """Blocks that are tests or fixtures as they stand; of statements, one test each."""
    module = []
    for number, block in enumerate(found):
        if re.search(r"^(async )?def test_", block, re.MULTILINE):
            module.append(block)
        else:
            body = textwrap.indent(block, "    ")
            module.append(f"def test_block_{number}(cluster, namespace, kubeconfig):\n{body}")
    return "\n\n".join(module)


def pytest_in(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(directory), "-p", "no:cacheprovider",
         "--asyncio-mode=auto", *arguments],
        cwd=directory, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_they_all_pass_on_two_workers_each_with_its_cluster(tmp_path: Path) -> None:
    found = blocks()
    (tmp_path / "test_page.py").write_text(as_tests(found))
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    for name in ("crd.yaml", "operator_websites.py"):
        shutil.copy(ROOT / "examples" / "operator" / name, tmp_path / name)
    done = pytest_in(tmp_path, "-n", "2")
    assert done.returncode == 0, done.stdout[-5000:]
    assert "bringing up nodes" in done.stdout
    assert len(found) >= 5
    assert " passed" in done.stdout


def test_below_a_failure_stands_what_the_cluster_looked_like(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text(FAILING)
    done = pytest_in(tmp_path)
    assert done.returncode == 1, done.stdout[-5000:]
    for said in ("- cluster -", "Pod test-test-that-fails/huge", "Insufficient cpu", "Node node-1", "201 POST"):
        assert said in done.stdout, done.stdout[-5000:]
