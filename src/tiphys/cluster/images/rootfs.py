"""Layers: files of the build context with the owners and modes that the Dockerfile asks for.

Layers are reproducible: sorted, without times and without names of this machine's users.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tiphys.cluster.failure import ClusterError
from tiphys.kubelet.images.oci import File, layer_of

LAYER_BYTES_MAX = 2 << 30


class Layer:
    """Entries of a layer in the making; directories above a file are added once."""

    def __init__(self) -> None:
        self._files: list[File] = []
        self._directories: set[str] = set()
        self._size = 0

    def directory(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        name = path.strip("/")
        if not name or name in self._directories:
            return
        self._parents(name)
        self._directories.add(name)
        self._files.append(File(name, None, mode, uid=uid, gid=gid))

    def file(self, path: str, content: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        name = path.strip("/")
        self._parents(name)
        self._grow(len(content), name)
        self._files.append(File(name, content, mode, uid=uid, gid=gid))

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        name = path.strip("/")
        self._parents(name)
        self._files.append(File(name, None, 0o777, target=target))

    def copy(self, source: Path, path: str, *, mode: int | None = None, uid: int = 0, gid: int = 0) -> None:
        """A file, a link, or a directory with all below it. Raises ClusterError for anything else."""
        for item, name in _walk(source, path.strip("/")):
            if item.is_symlink():
                self.link(name, os.readlink(item))
            elif item.is_dir():
                self.directory(name, item.stat().st_mode & 0o7777, uid, gid)
            elif item.is_file():
                self._grow(item.stat().st_size, name)
                content_mode = item.stat().st_mode & 0o7777 if mode is None else mode
                self.file(name, item.read_bytes(), content_mode, uid, gid)
            else:
                raise ClusterError(f"{item} is neither a file, a directory nor a link")

    def finish(self) -> bytes:
        """The layer as an uncompressed tar."""
        return layer_of(self._files)

    def _parents(self, name: str) -> None:
        parent = str(PurePosixPath(name).parent)
        if parent != ".":
            self.directory(parent)

    def _grow(self, size: int, name: str) -> None:
        self._size += size
        if self._size > LAYER_BYTES_MAX:
            raise ClusterError(f"{name}: a layer may hold {LAYER_BYTES_MAX >> 30} GiB at most")


def _walk(source: Path, name: str) -> Iterator[tuple[Path, str]]:
    if source.is_dir() and not source.is_symlink():
        if name:
            yield source, name
        for child in sorted(source.iterdir()):
            yield from _walk(child, f"{name}/{child.name}" if name else child.name)
    else:
        yield source, name
