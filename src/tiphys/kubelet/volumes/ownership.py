"""Giving a volume to the pod's fsGroup. Source: pkg/volume/volume_linux.go (SetVolumeOwnership)."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def give_to_group(directory: Path, group: int, *, read_only: bool, on_root_mismatch: bool = False) -> None:
    """Everything in `directory` gets the group and its permissions; directories pass the group on (setgid).

    `on_root_mismatch`: do nothing when the directory itself is right already. Raises OSError.
    """
    status = directory.lstat()
    wanted = _mode(status.st_mode, read_only)
    if on_root_mismatch and status.st_gid == group and stat.S_IMODE(status.st_mode) & wanted == wanted:
        return
    for root, directories, files in os.walk(directory, topdown=False):
        for name in (*directories, *files):
            _give(Path(root, name), group, read_only)
    _give(directory, group, read_only)


def _give(path: Path, group: int, read_only: bool) -> None:
    status = path.lstat()
    os.chown(path, -1, group, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        path.chmod(_mode(status.st_mode, read_only))


def _mode(mode: int, read_only: bool) -> int:
    added = 0o440 if read_only else 0o660
    if stat.S_ISDIR(mode):
        added |= 0o110 | stat.S_ISGID
    return stat.S_IMODE(mode) | added
