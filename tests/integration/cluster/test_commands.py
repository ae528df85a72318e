"""`tiphys up` and its relatives with simulated nodes: what needs neither root nor containers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiphys.cluster.process import running, started_at


class Here:
    """A data directory and a port of our own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def tiphys(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tiphys", *arguments, "--data-dir", str(self.directory)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.tiphys("up", "--runtime", "simulated", "--api-port", str(self.port), *arguments)

    def kubectl(self, *arguments: str) -> str:
        result = self.tiphys("kubectl", *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path / "data")
    yield made
    made.tiphys("reset")


def test_a_cluster_in_one_command(here: Here) -> None:
    assert here.up("--nodes", "2").returncode == 0
    again = here.up("--nodes", "2")
    assert again.returncode == 0, "up may be repeated"
    assert here.tiphys("status").returncode == 0
    here.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=3")
    assert "successfully rolled out" in here.kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    assert len(here.kubectl("get", "pods", "-o", "name").split()) == 3
    assert "server: https://127.0.0.1" in here.tiphys("kubeconfig").stdout
    other = here.up("--nodes", "3")
    assert other.returncode == 1
    assert "other settings" in other.stderr


def test_simulated_pods_live_by_the_file(here: Here, tmp_path: Path) -> None:
    stages = tmp_path / "stages.yaml"
    stages.write_text(
        "stages:\n- {name: slow, phases: [Pending], labels: {app: slow}, after: 10ms, becomes: Started}\n"
    )
    assert here.up("--nodes", "2", "--zones", "a,b", "--stages", str(stages)).returncode == 0
    stages.unlink()
    assert here.tiphys("up").returncode == 0, "what the file said is kept"
    here.kubectl("run", "slow", "--image=web:1", "--labels=app=slow")
    running = "jsonpath={.status.phase}=Running"
    here.kubectl("wait", "pod/slow", f"--for={running}", "--timeout=30s")
    assert here.kubectl("get", "pod", "slow", "-o", "jsonpath={.status.containerStatuses[0].ready}") == "false"
    zone = here.kubectl("get", "node", "sim-1", "-o", "jsonpath={.metadata.labels.topology\\.kubernetes\\.io/zone}")
    assert zone == "b"


def test_a_wrong_file_of_stages_is_refused_before_anything_starts(here: Here, tmp_path: Path) -> None:
    stages = tmp_path / "stages.yaml"
    stages.write_text("stages:\n- {name: x, becomes: Flying}\n")
    refused = here.up("--stages", str(stages))
    assert refused.returncode == 1
    assert "stages[0].becomes: must be one of" in refused.stderr
    assert not here.directory.exists()


def test_what_was_acknowledged_survives_down_and_kill(here: Here) -> None:
    assert here.up().returncode == 0
    here.kubectl("create", "configmap", "kept", "--from-literal=a=1")
    old = running(here.directory / "run" / "control-plane.pid")
    os.kill(old, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while running(here.directory / "run" / "control-plane.pid") in (0, old) or here.tiphys("status").returncode:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert here.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "1"
    assert here.tiphys("down").returncode == 0
    assert here.tiphys("kubectl", "get", "nodes").returncode == 1
    assert here.up().returncode == 0
    assert here.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "1"


def test_a_damaged_store_is_told_in_a_sentence_and_nothing_keeps_running(here: Here) -> None:
    assert here.up().returncode == 0
    assert here.tiphys("down").returncode == 0
    database = here.directory / "db" / "data.mdb"
    database.write_bytes(b"\xff" * database.stat().st_size)
    refused = here.up()
    assert refused.returncode == 1
    assert "is damaged" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not running(here.directory / "run" / "supervisor.pid")


def test_down_finds_processes_whose_pid_files_are_lost(here: Here) -> None:
    assert here.up().returncode == 0
    pids = [running(here.directory / "run" / f"{name}.pid") for name in ("supervisor", "control-plane")]
    assert all(pids)
    for pid_file in (here.directory / "run").glob("*.pid"):
        pid_file.unlink()
    assert here.tiphys("down").returncode == 0
    assert not any(started_at(pid) for pid in pids)


def test_reset_deletes_only_what_is_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    command = [sys.executable, "-m", "tiphys", "reset", "--data-dir", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert "is not a cluster's data directory" in refused.stderr
    assert (tmp_path / "precious").exists()
