"""Files that change all at once: what configMap, secret, projected and downwardAPI volumes look like inside a pod.

    name        -> ..data/name
    ..data      -> ..2026_01_02_03_04_05.123456
    ..2026.../  the files

An update writes a new directory and swaps `..data` by rename, so that a reader sees the old set or the new one.

Source: pkg/volume/util/atomic_writer.go.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath


class BadPath(ValueError):
    """A path in a payload leaves the volume."""


@dataclass(frozen=True, slots=True)
class Content:
    """One projected file."""

    data: bytes
    mode: int
    uid: int = -1
    """-1: the kubelet's own."""
    gid: int = -1


Payload = Mapping[str, Content]
"""By path relative to the volume."""


def check_path(path: str) -> None:
    """Raises BadPath."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or len(path) > 4096:
        raise BadPath(f"invalid path: {path!r} must be relative and must not contain '..'")
    if pure.parts[0].startswith(".."):
        raise BadPath(f"invalid path: {path!r} must not start with '..'")


def write(directory: Path, payload: Payload, now: datetime) -> bool:
    """Make `directory` show exactly `payload`; whether anything changed. Raises BadPath, OSError.

    `directory` exists. Directories made are 0755, or 0750 with the group of a file that has one.
    """
    for path in payload:
        check_path(path)
    data_link = directory / "..data"
    current = _link_target(data_link)
    if current is not None and _same(directory / current, payload):
        _link_visible(directory, payload)
        return False
    stamp = now.strftime("..%Y_%m_%d_%H_%M_%S.")
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=directory))
    try:
        fresh.chmod(0o755)
        for path, content in payload.items():
            _write_file(fresh, path, content)
        temporary = directory / "..data_tmp"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(fresh.name)
        temporary.rename(data_link)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _link_visible(directory, payload)
    if current is not None:
        shutil.rmtree(directory / current, ignore_errors=True)
    return True


def _link_target(link: Path) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None


def _same(directory: Path, payload: Payload) -> bool:
    existing = {str(p.relative_to(directory)) for p in directory.rglob("*") if not p.is_dir()}
    if existing != {str(PurePosixPath(path)) for path in payload}:
        return False
    for path, content in payload.items():
        file = directory / path
        if file.stat().st_mode & 0o7777 != content.mode or file.read_bytes() != content.data:
            return False
    return True


def _write_file(directory: Path, path: str, content: Content) -> None:
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.data)
    if content.uid >= 0 or content.gid >= 0:
        os.chown(file, content.uid, content.gid)
    file.chmod(content.mode)  # after chown, which clears set-id bits; and past the umask


def _link_visible(directory: Path, payload: Payload) -> None:
    """One link per first path element; links of elements that are gone go away."""
    wanted = {PurePosixPath(path).parts[0] for path in payload}
    for name in wanted:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted and entry.is_symlink():
            entry.unlink()
