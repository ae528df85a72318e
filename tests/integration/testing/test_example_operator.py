"""examples/operator, whose own tests a newcomer runs, passes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "operator"


def test_the_example_operator_passes_its_own_tests(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(EXAMPLE), "-p", "no:cacheprovider",
         str(EXAMPLE / "tests")],
        cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert "6 passed" in done.stdout
