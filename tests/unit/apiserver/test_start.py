"""What the API server loads before it answers: a start is mostly imports."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"aiohttp", "cryptography", "grpc", "numpy", "re2", "wsproto", "yaml"}


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    program = "import sys, tiphys.apiserver.server, tiphys.store.embedded.store; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "lmdb" in loaded
    assert not loaded & HEAVY
