"""JavaScript's official client, @kubernetes/client-node. `make build/node_client` installs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from client_kinds import definition

_SCRIPT = Path(__file__).parent / "node_client" / "check.mjs"
_INSTALLED = Path(os.environ.get("TIPHYS_TEST_NODE_CLIENT", Path(__file__).parents[3] / "build" / "node_client"))


@pytest.mark.skipif(shutil.which("node") is None, reason="no node in PATH")
@pytest.mark.skipif(
    not (_INSTALLED / "node_modules" / "@kubernetes" / "client-node").is_dir(),
    reason=f"@kubernetes/client-node is not in {_INSTALLED}: make build/node_client",
)
def test_the_client_for_node(kubeconfig: Path, namespace: str, pod: str) -> None:
    done = subprocess.run(
        ["node", str(_SCRIPT), str(kubeconfig), namespace, pod],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "NODE_CLIENT": str(_INSTALLED), "DEFINITION": json.dumps(definition("nodeys", "Nodey"))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert sorted(told.pop("events")) == ["ADDED a", "ADDED b", "DELETED a", "MODIFIED a"]
    # This client calls a schema's default `_default`, and drops what has another name: there is no size.
    assert told == {
        "read": "1", "patched": "2", "listed": ["a"], "applied": "3", "manager": "node", "missing": 404,
        "log": "first\nsecond\n", "executed": "Success: say it\n", "custom": {"color": "red"},
    }  # fmt: skip
