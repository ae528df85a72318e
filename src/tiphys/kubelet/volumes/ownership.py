"""Giving a volume to the pod's fsGroup. Source: pkg/volume/volume_linux.go (SetVolumeOwnership).

Every step goes through directory descriptors and follows no link: a container that runs in another pod on the same
volume may swap names meanwhile, and nothing outside the volume may change for that.
"""

from __future__ import annotations

import contextlib
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
    for _, directories, files, descriptor in os.fwalk(directory, topdown=False, follow_symlinks=False):
        for name in (*directories, *files):
            with contextlib.suppress(FileNotFoundError):
                _give(name, descriptor, group, read_only)
    _give(str(directory), None, group, read_only)  # last: a walk that was cut short is begun anew


def _give(name: str, within: int | None, group: int, read_only: bool) -> None:
    found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        status = os.fstat(found)
        os.chown(name, -1, group, dir_fd=within, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(f"/proc/self/fd/{found}", _mode(status.st_mode, read_only))
    finally:
        os.close(found)


def _mode(mode: int, read_only: bool) -> int:
    added = 0o440 if read_only else 0o660
    if stat.S_ISDIR(mode):
        added |= 0o110 | stat.S_ISGID
    return stat.S_IMODE(mode) | added
