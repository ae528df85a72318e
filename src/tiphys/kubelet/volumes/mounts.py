"""Mounts, through the C library: tmpfs, bind, lazy unmount. Linux only."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

_MS_BIND, _MS_REC = 4096, 16384
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MS_REMOUNT, _MS_RDONLY = 32, 1
_MNT_DETACH = 2


def _check(result: int, path: Path) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))


def mount_tmpfs(target: Path, size_bytes: int = 0) -> None:
    """An empty tmpfs on `target`; `size_bytes` 0 leaves the kernel's bound (half of memory). Raises OSError."""
    options = f"size={size_bytes}" if size_bytes else ""
    _check(_libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", 0, options.encode()), target)


def mount_huge_pages(target: Path, page_bytes: int) -> None:
    """Huge pages of this size as files below `target`. Raises OSError where the kernel has none of them."""
    options = f"pagesize={page_bytes >> 10}K"
    _check(_libc.mount(b"nodev", os.fsencode(target), b"hugetlbfs", 0, options.encode()), target)


def bind(source: Path, target: Path) -> None:
    """`source` (file or directory, what is mounted below it too) also at `target`. Raises OSError."""
    _check(_libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND | _MS_REC, None), target)


def make_read_only(target: Path) -> None:
    """Nothing can be written through this bind any more. Raises OSError."""
    flags = _MS_BIND | _MS_REMOUNT | _MS_RDONLY
    _check(_libc.mount(None, os.fsencode(target), None, flags, None), target)


def unmount(target: Path) -> None:
    """Take the mount away now; what still has files open in it keeps them. Raises OSError."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), target)


def mounted_under(directory: Path) -> list[Path]:
    """Mount points at or below `directory`, deepest first."""
    return mount_points(directory, Path("/proc/self/mountinfo").read_text().splitlines())


def mount_points(directory: Path, mountinfo: Iterable[str]) -> list[Path]:
    """The same from the lines of a mountinfo file; a point mounted twice is there twice."""
    prefix = str(directory)
    found = []
    for line in mountinfo:
        point = _unescape(line.split(" ")[4])
        if point == prefix or point.startswith(prefix + "/"):
            found.append(Path(point))
    return sorted(found, key=lambda p: len(p.parts), reverse=True)


def _unescape(text: str) -> str:
    """Octal escapes of mountinfo: `\\040` is a blank."""
    if "\\" not in text:
        return text
    out, at = [], 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 4].isdigit():
            out.append(chr(int(text[at + 1 : at + 4], 8)))
            at += 4
        else:
            out.append(text[at])
            at += 1
    return "".join(out)


def unmount_under(directory: Path) -> None:
    """Take away every mount at or below `directory`. Raises OSError for the first that resists."""
    for point in mounted_under(directory):
        unmount(point)
