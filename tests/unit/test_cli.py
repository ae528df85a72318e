"""What the command line tells of the system's refusals."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tiphys.cli import told

FULL = "No space left on device"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EACCES, "Permission denied", "/x"), "error: Permission denied: /x"),
        (OSError("odd"), "error: odd"),
        (
            OSError(errno.ENOSPC, FULL),
            f"error: {FULL}: /data\n       free some of that disk, then run the command again",
        ),
        (
            OSError(errno.ENOSPC, FULL, "/tmp/f"),
            f"error: {FULL}: /tmp/f\n       free some of that disk, then run the command again",
        ),
    ],
)
def test_refusals(error: OSError, text: str) -> None:
    assert told(error, Path("/data")) == text
