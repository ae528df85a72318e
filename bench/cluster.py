"""A cluster of our own for a benchmark: in a temporary directory, on a free port, with simulated nodes."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cluster:
    data_dir: Path
    port: int

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "admin.kubeconfig"

    def tiphys(self, *words: str) -> None:
        """Run a subcommand on this cluster. Exits with its output when it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "tiphys", *words, "--data-dir", str(self.data_dir)],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"tiphys {' '.join(words)} failed:\n{done.stdout}{done.stderr}")

    def up(self, nodes: int) -> None:
        self.tiphys("up", "--runtime", "simulated", "--nodes", str(nodes), "--api-port", str(self.port))

    def down(self) -> None:
        self.tiphys("down")


@contextlib.contextmanager
def place() -> Iterator[Cluster]:
    """Where a cluster can be made; stopped and deleted afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="tiphys-bench-")), port)
    try:
        yield cluster
    finally:
        with contextlib.suppress(SystemExit):
            cluster.down()
        shutil.rmtree(cluster.data_dir, ignore_errors=True)
