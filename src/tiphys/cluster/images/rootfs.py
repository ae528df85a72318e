"""Layers: files of the build context as a tar, with the owners and modes that the Dockerfile asks for.

Layers are reproducible: sorted, with all times at zero and no names of this machine's users.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tiphys.cluster.failure import ClusterError

LAYER_BYTES_MAX = 2 << 30


class Layer:
    """A tar in the making; directories above a file are added once."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)
        self._directories: set[str] = set()
        self._size = 0

    def directory(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        name = path.strip("/")
        if not name or name in self._directories:
            return
        self.directory(str(PurePosixPath(name).parent).lstrip("."), uid=0, gid=0)
        self._directories.add(name)
        entry = _entry(name, mode, uid, gid)
        entry.type = tarfile.DIRTYPE
        self._tar.addfile(entry)

    def file(self, path: str, content: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        self._parents(path)
        self._grow(len(content), path)
        entry = _entry(path.strip("/"), mode, uid, gid)
        entry.size = len(content)
        self._tar.addfile(entry, io.BytesIO(content))

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._parents(path)
        entry = _entry(path.strip("/"), 0o777, 0, 0)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def copy(self, source: Path, path: str, *, mode: int | None = None, uid: int = 0, gid: int = 0) -> None:
        """A file, a link, or a directory with all below it. Raises ClusterError for anything else."""
        for item, name in _walk(source, path.strip("/")):
            if item.is_symlink():
                self.link(name, os.readlink(item))
            elif item.is_dir():
                self.directory(name, item.stat().st_mode & 0o7777, uid, gid)
            elif item.is_file():
                content_mode = item.stat().st_mode & 0o7777 if mode is None else mode
                self._grow(item.stat().st_size, name)
                self.file(name, item.read_bytes(), content_mode, uid, gid)
            else:
                raise ClusterError(f"{item} is neither a file, a directory nor a link")

    def finish(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()

    def _parents(self, path: str) -> None:
        self.directory(str(PurePosixPath(path.strip("/")).parent).lstrip("."))

    def _grow(self, size: int, path: str) -> None:
        self._size += size
        if self._size > LAYER_BYTES_MAX:
            raise ClusterError(f"{path}: a layer may hold {LAYER_BYTES_MAX >> 30} GiB at most")


def _entry(name: str, mode: int, uid: int, gid: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid, entry.mtime = mode, uid, gid, 0
    return entry


def _walk(source: Path, name: str) -> Iterator[tuple[Path, str]]:
    if source.is_dir() and not source.is_symlink():
        if name:
            yield source, name
        for child in sorted(source.iterdir()):
            yield from _walk(child, f"{name}/{child.name}" if name else child.name)
    else:
        yield source, name
