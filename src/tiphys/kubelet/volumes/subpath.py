"""`subPath`: one place inside a volume, mounted so that nobody in the pod can move it elsewhere meanwhile.

The path is resolved inside the volume, then walked without following any link; what was walked to is bind-mounted
through its file descriptor, which the runtime then mounts from. A link that is swapped in between is refused.

Source: pkg/volume/util/subpath/subpath_linux.go.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tiphys.kubelet.volumes import mounts


class BadSubPath(Exception):
    """The text is the container's waiting message."""


def bind_subpath(volume: Path, sub_path: str, target: Path) -> None:
    """Bind `volume/sub_path` at `target`; a missing one is made as a directory (0750). Raises BadSubPath, OSError.

    `target`'s directory is made; an earlier bind at `target` is kept.
    """
    if os.path.isabs(sub_path) or ".." in Path(sub_path).parts:
        raise BadSubPath(f"unacceptable subPath {sub_path!r}: must be relative and must not contain '..'")
    descriptor = open_inside(volume, sub_path)
    try:
        if mounts.mounted_under(target):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        mounts.bind(Path(f"/proc/{os.getpid()}/fd/{descriptor}"), target)
    finally:
        os.close(descriptor)


def open_inside(volume: Path, sub_path: str) -> int:
    """A descriptor (O_PATH) of the place, which surely lies inside the volume. Raises BadSubPath, OSError."""
    base = Path(os.path.realpath(volume))
    resolved = Path(os.path.realpath(base / sub_path))
    if resolved != base and base not in resolved.parents:
        raise BadSubPath(f"subPath {sub_path!r} is outside of the volume")
    current = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in resolved.relative_to(base).parts:
            current = _step(current, part, sub_path)
    except BaseException:
        os.close(current)
        raise
    return current


def _step(parent: int, part: str, sub_path: str) -> int:
    """Open `part` below `parent` and close `parent`; on an error `parent` stays open."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        found = os.open(part, flags, dir_fd=parent)
    except FileNotFoundError:
        os.mkdir(part, 0o750, dir_fd=parent)
        found = os.open(part, flags, dir_fd=parent)
    if stat.S_ISLNK(os.fstat(found).st_mode):
        os.close(found)
        raise BadSubPath(f"subPath {sub_path!r} changed while it was resolved")
    os.close(parent)
    return found
