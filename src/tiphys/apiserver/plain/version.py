"""/version."""

from __future__ import annotations

import platform
import sys

import msgspec

from tiphys import __version__

MAJOR, MINOR, PATCH = "1", "36", "2"
GIT_VERSION = f"v{MAJOR}.{MINOR}.{PATCH}-tiphys.{__version__}"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def version_info() -> dict[str, str]:
    """What upstream's version.Info says, of us."""
    machine = platform.machine()
    return {
        "major": MAJOR, "minor": MINOR, "emulationMajor": MAJOR, "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR, "minCompatibilityMinor": str(int(MINOR) - 1),
        "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}", "compiler": platform.python_implementation(),
        "platform": f"{sys.platform}/{_MACHINES.get(machine, machine)}",
    }  # fmt: skip


def version_body() -> bytes:
    return msgspec.json.format(msgspec.json.encode(version_info()), indent=2)
