"""Work on a data directory that no server uses: verify it, forget its history, give its free space back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from tiphys.store.embedded import chunk as chunks
from tiphys.store.embedded.disk import COMPACTED, DEFAULT_QUOTA_BYTES, Disk
from tiphys.store.embedded.index import SUB_BITS
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import StoreError

_PROBLEMS_MAX = 100


class Report(msgspec.Struct, frozen=True):
    """What `check` found."""

    revision: int
    compact_revision: int
    keys: int
    """That exist now."""
    records: int
    """History included."""
    size_bytes: int
    """Of the file."""
    problems: tuple[str, ...]
    """At most a hundred; empty: all is well."""


class _Life(msgspec.Struct):
    """What is known of a key while its records pass by."""

    revision: int
    created: int
    version: int
    dead: bool
    lease: int


def check(path: Path) -> Report:
    """Read everything: checksums, order, and that each record continues its key's life. Raises StoreError."""
    disk = _open(path)
    try:
        return _checked(disk)
    finally:
        disk.close()


def _checked(disk: Disk) -> Report:
    problems: list[str] = []
    lives: dict[bytes, _Life] = {}
    compacted, leases = disk.meta(COMPACTED), disk.leases()
    records, last = 0, 0
    heads = (head for value in disk.scan() for head in chunks.heads(value))
    for position, key, dead, created, version, lease in heads:
        records += 1
        if position <= last:
            problems.append(f"position {position >> SUB_BITS} comes after {last >> SUB_BITS}")
        last = max(last, position)
        now = _Life(position >> SUB_BITS, created, version, dead, lease)
        if len(problems) < _PROBLEMS_MAX:
            problems += _breaks(key, lives.get(key), now, compacted)
        lives[key] = now
    alive = [(key, life) for key, life in lives.items() if not life.dead]
    problems += [
        f"{_shown(key)} is held by lease {life.lease}, which is not there"
        for key, life in alive
        if life.lease and life.lease not in leases
    ]
    revision = max(1, last >> SUB_BITS)
    if compacted > revision:
        problems.append(f"it was compacted at revision {compacted}, but ends at {revision}")
    size = (disk.path / "data.mdb").stat().st_size
    return Report(revision, compacted, len(alive), records, size, tuple(problems[:_PROBLEMS_MAX]))


def _breaks(key: bytes, before: _Life | None, now: _Life, compacted: int) -> list[str]:
    """How a record contradicts the one before it; what compaction forgot cannot be asked."""
    at = f"{_shown(key)} at revision {now.revision}"
    if before is None or before.dead:
        if now.dead and before is not None:
            return [f"{at} is deleted, though it did not exist"]
        if not now.dead and now.version == 1 and now.created != now.revision:
            return [f"{at} begins, but says it began at {now.created}"]
        if not now.dead and now.version != 1 and (before is not None or now.created > compacted):
            return [f"{at} has version {now.version} and no beginning"]
        return []
    if not now.dead and (now.created, now.version) != (before.created, before.version + 1):
        return [f"{at} has version {now.version} of {now.created} after version {before.version} of {before.created}"]
    return []


async def compact(path: Path, revision: int = 0) -> int:
    """Forget history below `revision` (0: all of it); returns the revision. Raises StoreError."""
    _must_be_there(path)
    store = await EmbeddedStore.open(path)
    try:
        at = revision or store.revision
        if at > store.compact_revision:
            await store.compact(at)
        return store.compact_revision
    finally:
        await store.close()


def defragment(path: Path) -> tuple[int, int]:
    """Write the file anew without its free pages, in one step; returns its size before and after. Raises StoreError."""
    disk = _open(path)
    copy = path.with_name(path.name + ".defrag")
    data = path / "data.mdb"
    before = data.stat().st_size
    shutil.rmtree(copy, ignore_errors=True)
    try:
        disk.snapshot(copy)
        disk.release()  # the file is put in its place while only the lock is held
        os.replace(copy / "data.mdb", data)
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    finally:
        disk.close()
        shutil.rmtree(copy, ignore_errors=True)
    return before, data.stat().st_size


def _open(path: Path) -> Disk:
    _must_be_there(path)
    return Disk.open(path, DEFAULT_QUOTA_BYTES)


def _must_be_there(path: Path) -> None:
    if not (path / "data.mdb").exists():
        raise StoreError(f"{path} holds no database")


def _shown(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")
