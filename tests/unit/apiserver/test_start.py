"""What the API server loads before it answers: a start is mostly imports."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

HEAVY = {"aiohttp", "cryptography", "grpc", "html", "numpy", "re2", "wsproto", "yaml"}
SELDOM_USED = {
    "tiphys.api.cel.parse",
    "tiphys.apiserver.encryption.opening",
    "tiphys.base.cron",
    "tiphys.store.etcd.store",
}
"""Parts that a plain cluster does without until somebody asks for them."""


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    program = "import sys, tiphys.apiserver.server, tiphys.store.embedded.store; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    loaded = {name.partition(".")[0] for name in modules}
    assert "lmdb" in loaded
    assert not loaded & HEAVY
    assert not modules & SELDOM_USED


def test_what_is_seldom_used_is_there() -> None:
    assert all(find_spec(name) for name in SELDOM_USED)
