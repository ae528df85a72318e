"""A whole cluster as a user gets it, with two real nodes in namespaces of their own; once for all tests here."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tiphys.cluster import preflight

_NUMBERS = itertools.count()
PATIENCE = float(os.environ.get("TIPHYS_TEST_PATIENCE", "1"))
"""How much longer a slow machine is waited for."""
REPOSITORY = Path(__file__).resolve().parents[2]
TIPHYS = (sys.executable, "-m", "tiphys")


@dataclass(frozen=True)
class RunningCluster:
    """The cluster under test. `image` is in every node's runtime."""

    data_dir: Path
    image: str = "hello:1"

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "admin.kubeconfig"

    def tiphys(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [*TIPHYS, *arguments, "--data-dir", str(self.data_dir)]
        return run(command, check=check)

    def kubectl(
        self, *arguments: str, binary: str = "", stdin: str | None = None, check: bool = True, editor: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """`tiphys kubectl`, or another kubectl by its path; output as text."""
        command = [binary] if binary else [*TIPHYS, "kubectl"]
        environment = {"KUBECONFIG": str(self.kubeconfig), "KUBE_EDITOR": editor}
        return run([*command, *arguments], stdin=stdin, check=check, environment=environment)

    def get(self, *arguments: str) -> dict[str, Any]:
        """The object, or the list, as JSON."""
        found = json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)
        assert isinstance(found, dict)
        return found

    def apply(self, manifest: object, namespace: str = "default") -> None:
        self.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))

    def pid(self, program: str) -> int:
        """The process of `supervisor`, `control-plane` or a node; 0 when it is not running."""
        from tiphys.cluster.process import running

        return running(self.data_dir / "run" / f"{program}.pid")


def run(
    command: list[str], *, stdin: str | None = None, check: bool = True, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program, bounded; on failure the assertion shows what it printed."""
    result = subprocess.run(
        command,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=180 * PATIENCE,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if check:
        assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"
    return result


def eventually(condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """The first true value of `condition`; fails with the last one after `timeout_s`."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"still {value!r} after {timeout_s} s"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def obstacle() -> str:
    """Why real containers cannot run here; empty: they can."""
    needs = preflight.missing() if not preflight.obstacle() else []
    return preflight.obstacle() or (f"missing: {', '.join(need.package for need in needs)}" if needs else "")


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster]:
    """Two nodes, and the image of examples/hello on both."""
    why_not = obstacle()
    if why_not:
        pytest.skip(why_not)
    directory = Path(tempfile.mkdtemp(prefix="tiphys-e2e-"))
    made = RunningCluster(directory)
    try:
        made.tiphys("up", "--nodes", "2", "--api-port", str(free_port()))
        made.tiphys("image", "build", str(REPOSITORY / "examples" / "hello"), "-t", made.image)
        yield made
    finally:
        made.tiphys("reset", check=False)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def namespace(cluster: RunningCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one test, named after it."""
    words = "".join(letter if letter.isalnum() else "-" for letter in request.node.originalname.lower())
    name = f"{words[:40].strip('-')}-{next(_NUMBERS)}"
    cluster.kubectl("create", "namespace", name)
    eventually(lambda: cluster.kubectl("get", "sa", "default", "-n", name, check=False).returncode == 0)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def kubectls() -> list[str]:
    """Every kubectl that can be found: on PATH, in TIPHYS_TEST_KUBECTLS (separated by colons), and our own ("")."""
    found = [shutil.which("kubectl") or "", *os.environ.get("TIPHYS_TEST_KUBECTLS", "").split(":")]
    return ["", *dict.fromkeys(path for path in found if path and Path(path).exists())]
