"""hostPath and its types. Source: pkg/volume/hostpath/host_path.go; messages are upstream's."""

from __future__ import annotations

import stat
from pathlib import Path

from tiphys.kubelet.volumes.content import BadVolume

_CHECKS = {
    "Directory": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


def check_host_path(text: str, kind: str) -> Path:
    """The path, made if its type says so. Raises BadVolume."""
    path = Path(text)
    if kind == "":
        return path
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not path.exists():
        if not path.parent.is_dir():
            raise BadVolume(f"hostPath type check failed: {text} is not a file")
        path.touch(mode=0o644)
    wanted = kind.removesuffix("OrCreate")
    if wanted not in _CHECKS:
        raise BadVolume(f"{kind} is an invalid volume type")
    test, name = _CHECKS[wanted]
    try:
        right = test(path.stat().st_mode)
    except OSError:
        right = False
    if not right:
        raise BadVolume(f"hostPath type check failed: {text} is not a {name}")
    return path
