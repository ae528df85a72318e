"""The LMDB side: opening a data directory, and the few blocking operations on it.

Tables: `chunks` (position -> chunk of records), `leases` (id -> granted TTL), `meta` (format, revisions). Everything
here blocks; writes are called from the writer's thread only, reads from any.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from tiphys.base import failpoint
from tiphys.store.embedded import chunk as chunks
from tiphys.store.embedded.index import MAX_WRITES, SUB_BITS, first_position
from tiphys.store.interface import Moment, Record, StoreError, StoreFailed

_FORMAT = b"format"
COMPACTED = b"compacted"
"""Reads below this revision are refused."""
COMPACTING = b"compacting"
"""A compaction whose records may not all be removed yet; 0 or absent: none."""
DEFAULT_QUOTA_BYTES = 8 << 30
_SPARE_BYTES = 1 << 20
"""What a commit may write beside its records: pages of the tree."""
_DATA, _MARK = "data.mdb", "FORMAT"
"""The mark says that there is data: LMDB would make a new database of an emptied file and not say a word."""
_OWN_FILES = {_DATA, _MARK, "lock.mdb", "LOCK"}


class Unusable(StoreFailed):
    """The storage below is in an unknown state: only opening it again helps."""


class Work(msgspec.Struct):
    """What one commit does, ready for the thread: bytes only."""

    chunks: list[tuple[int, bytes]] = []
    meta: dict[bytes, int] = {}
    leases: dict[int, int] = {}
    """id -> TTL in seconds; 0 removes."""
    drops: Sequence[int] = ()
    """Positions that compaction forgot, in order."""


class Disk:
    """An open data directory. Use `Disk.open`."""

    def __init__(self, path: Path, env: Any, lock_fd: int, quota_bytes: int) -> None:
        self.path = path
        self.quota_bytes = quota_bytes
        self._env = env
        self._lock_fd = lock_fd
        self._chunks = env.open_db(b"chunks")
        self._leases = env.open_db(b"leases")
        self._meta = env.open_db(b"meta")

    @classmethod
    def open(cls, path: Path, quota_bytes: int) -> Disk:
        """Lock and open, or create. Raises StoreError with a sentence that names the path and what to do."""
        lock_fd = _claim(path)
        try:
            _refuse_foreign(path)
            _refuse_other_format(path)
            env = _open_env(path, quota_bytes)
            try:
                _check_size(path, env)
                disk = cls(path, env, lock_fd, quota_bytes)
                disk._check_format()
                _mark(path)
            except BaseException:
                env.close()
                raise
            return disk
        except lmdb.Error as error:
            os.close(lock_fd)
            raise _damaged(path, str(error)) from error
        except BaseException:
            os.close(lock_fd)
            raise

    def close(self) -> None:
        self.release()
        os.close(self._lock_fd)

    def release(self) -> None:
        """Let go of the file, but keep others out until `close`; idempotent."""
        self._env.close()

    # Reading.

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raises StoreError for what LMDB cannot read."""
        try:
            yield
        except lmdb.Error as error:
            raise _damaged(self.path, str(error)) from error

    def read(self, positions: Sequence[int]) -> list[Record]:
        """The records at these positions, in the order given. Positions must exist."""
        found: list[Record] = []
        with self._told(), self._env.begin(db=self._chunks, buffers=True) as txn, txn.cursor() as cursor:
            # Records that were written together share a chunk, and mostly are read together.
            chunk: chunks.Opened | None = None
            while len(found) < len(positions):
                position = positions[len(found)]
                if chunk is None or not chunk.holds(position):
                    chunk = chunks.Opened(cursor.value()) if _seek(cursor, position) else None
                if chunk is None or not chunk.read_run(positions, len(found), found):
                    raise StoreError(f"{self.path}: the record at revision {position >> SUB_BITS} is missing")
        return found

    def history(self, from_revision: int, to_revision: int, limit: int) -> list[tuple[int, bytes, Record | None]]:
        """(position, key, record) of the writes of whole revisions, until at least `limit` are found."""
        found: list[tuple[int, bytes, Record | None]] = []
        start, end = first_position(from_revision), first_position(to_revision + 1)
        with self._told(), self._env.begin(db=self._chunks, buffers=True) as txn, txn.cursor() as cursor:
            more = _seek(cursor, start)
            while more:
                for position, body in chunks.unpack(cursor.value()):
                    if position < start:
                        continue
                    if position >= end or (len(found) >= limit and found[-1][0] >> SUB_BITS != position >> SUB_BITS):
                        return found
                    key, record = chunks.record_of(body, position >> SUB_BITS)
                    found.append((position, key, record))
                more = cursor.next()
        return found

    def scan(self) -> Iterator[memoryview]:
        """All chunks in order, verified, each good until the next. Raises StoreError."""
        with self._told(), self._env.begin(buffers=True) as txn:
            yield from self._verified(txn)

    def _verified(self, txn: Any) -> Iterator[memoryview]:
        missing = txn.stat(self._chunks)["entries"]
        with txn.cursor(db=self._chunks) as cursor:
            for _, value in cursor:
                try:
                    chunks.check(value)
                except chunks.CorruptChunk as error:
                    raise _damaged(self.path, str(error)) from error
                missing -= 1
                yield value
        if missing:
            raise _damaged(self.path, "chunks are missing")

    @contextmanager
    def moment(self) -> Iterator[Moment]:
        """One moment of everything, for the thread that reads it; writing goes on beside. Raises StoreError."""
        with self._told(), self._env.begin(buffers=True) as txn:
            numbers = [int.from_bytes(txn.get(name, b"", db=self._meta), "big") for name in (COMPACTED, COMPACTING)]
            with txn.cursor(db=self._leases) as cursor:
                leases = {int.from_bytes(key, "big"): int.from_bytes(ttl_s, "big") for key, ttl_s in cursor}
            yield Moment(self._records(txn), leases, numbers[0], bool(numbers[1]))

    def _records(self, txn: Any) -> Iterator[tuple[int, int, bytes, tuple[int, int, int, bytes] | None]]:
        for value in self._verified(txn):
            for position, body in chunks.unpack(value):
                key, found = chunks.parts_of(body)
                yield position >> SUB_BITS, position & MAX_WRITES - 1, key, found

    def leases(self) -> dict[int, int]:
        with self._told(), self._env.begin(db=self._leases) as txn:
            return {int.from_bytes(key, "big"): int.from_bytes(value, "big") for key, value in txn.cursor()}

    def meta(self, name: bytes) -> int:
        """COMPACTED or COMPACTING; 0 where never set."""
        with self._told(), self._env.begin(db=self._meta) as txn:
            return int.from_bytes(txn.get(name, b""), "big")

    # Writing: the writer's thread.

    def commit(self, work: Work) -> int:
        """Make `work` durable, all or nothing; returns by how many bytes the records grew.

        Raises StoreFailed where nothing was written and a later commit may work (full), Unusable where the state
        of the disk is unknown.
        """
        try:
            with self._env.begin(write=True) as txn:
                grown = self._apply(txn, work)
                failpoint.hit("store.before-commit")
            failpoint.hit("store.after-commit")
        except lmdb.MapFullError as error:
            raise StoreFailed(
                f"{self.path}: the database has reached its size limit: delete objects, or start with a larger quota"
            ) from error
        except (lmdb.DiskError, OSError, lmdb.Error) as error:
            raise self._failure(error, sum(len(value) for _, value in work.chunks)) from error
        return grown

    def _apply(self, txn: Any, work: Work) -> int:
        grown = 0
        for position, value in work.chunks:
            if not txn.put(chunks.chunk_key(position), value, append=True, db=self._chunks):
                raise Unusable(f"{self.path}: revision {position >> SUB_BITS} is already on disk")
            grown += len(value)
            failpoint.hit("store.in-commit")
        for lease, ttl_s in work.leases.items():
            key = lease.to_bytes(8, "big")
            if ttl_s:
                txn.put(key, ttl_s.to_bytes(8, "big"), db=self._leases)
            else:
                txn.delete(key, db=self._leases)
        if work.drops:
            grown -= self._drop(txn, work.drops)
        for name, number in work.meta.items():
            txn.put(name, number.to_bytes(8, "big"), db=self._meta)
        return grown

    def _drop(self, txn: Any, positions: Sequence[int]) -> int:
        freed = 0
        wanted = set(positions)
        with txn.cursor(db=self._chunks) as cursor:
            for position in positions:
                if position not in wanted or not _seek(cursor, position):
                    continue
                before = cursor.value()
                here = {found for found, _ in chunks.unpack(before)} & wanted
                wanted -= here
                after = chunks.without(before, here) if here else before
                freed += len(before) - len(after)
                if not after:
                    cursor.delete()
                elif here:
                    cursor.put(cursor.key(), after)
        return freed

    def _failure(self, error: Exception, size_bytes: int) -> StoreFailed:
        full = getattr(error, "errno", 0) == errno.ENOSPC or "No space left" in str(error)
        if not full and "Input/output error" in str(error):
            # A write that a full disk cut short is EIO in LMDB's words. It happens before the page that makes a
            # commit valid is written, and LMDB lets nobody write any more where that very page failed.
            disk = os.statvfs(self.path)
            full = disk.f_bavail * disk.f_frsize < size_bytes + _SPARE_BYTES
        if full:
            return StoreFailed(f"{self.path}: no space left on the disk: free some, then try again")
        return Unusable(f"{self.path}: writing failed ({error}): check the disk, then restart")

    def snapshot(self, target: Path) -> int:
        """A compacted copy as a data directory of its own, complete or absent; returns its revision."""
        return _copy(self._env, target)

    def _check_format(self) -> None:
        with self._env.begin(write=True) as txn:
            found = txn.get(_FORMAT, db=self._meta)
            if found is None:
                if txn.stat(db=self._chunks)["entries"]:
                    raise _damaged(self.path, "it does not say which format it has")
                txn.put(_FORMAT, chunks.FORMAT, db=self._meta)
            elif found != chunks.FORMAT:
                raise _other_format(self.path, found)


def hot_copy(path: Path, target: Path) -> int:
    """A copy of a data directory that another process may be using: one moment of it. Returns its revision."""
    if not (path / _DATA).exists():
        raise StoreError(f"{path} holds no database")
    try:
        _refuse_other_format(path)
        with lmdb.open(str(path), readonly=True, max_dbs=4) as env:
            return _copy(env, target)
    except lmdb.Error as error:
        raise _damaged(path, str(error)) from error


def _copy(env: Any, target: Path) -> int:
    if target.exists():
        raise StoreError(f"{target} exists: give a snapshot a new path")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    try:
        env.copy(str(partial), compact=True)
        with lmdb.open(str(partial), readonly=True, lock=False, max_dbs=4) as copy:
            revision = _revision_of(copy)
        _mark(partial)
        _sync_tree(partial)
        partial.rename(target)
        _sync(target.parent)
    except (OSError, lmdb.Error) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StoreFailed(f"{target}: the snapshot could not be written ({error})") from error
    return revision


def _revision_of(env: Any) -> int:
    """The newest revision: its records are never dropped, compaction keeps what stands at its own revision."""
    table = env.open_db(b"chunks")
    with env.begin(db=table, buffers=True) as txn, txn.cursor() as cursor:
        if not cursor.last():
            return 1
        return max(position for position, _ in chunks.unpack(cursor.value())) >> SUB_BITS


def _seek(cursor: Any, position: int) -> bool:
    """Move to the chunk that holds `position`, or would: the last one that begins at or before it, else the first."""
    key = chunks.chunk_key(position)
    if not cursor.set_range(key):
        return bool(cursor.last())
    if cursor.key() == key:
        return True
    return bool(cursor.prev() or cursor.first())


def _claim(path: Path) -> int:
    """The directory, made if need be, locked against other processes; returns the lock's descriptor."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock_fd = os.open(path / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: cannot be used as a data directory ({error.strerror}): give another") from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(lock_fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock_fd)
        raise StoreError(
            f"{path} is in use by another process (pid {holder}): stop it, or give another data directory"
        ) from error
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)
    return lock_fd


def _refuse_foreign(path: Path) -> None:
    present = {entry.name for entry in path.iterdir()}
    strange = sorted(present - _OWN_FILES)
    if _MARK in present and (_DATA not in present or not (path / _DATA).stat().st_size):
        raise _damaged(path, f"{_DATA} is missing or empty")
    if strange and _DATA not in present:
        raise StoreError(f"{path} holds something else ({strange[0]}): give an empty directory, or one Tiphys made")


def _refuse_other_format(path: Path) -> None:
    """Before anything is opened for writing, which alone would change the file."""
    mark, data = path / _MARK, path / _DATA
    marked = mark.read_bytes().strip() if mark.exists() else b""
    if marked and marked != chunks.FORMAT:
        raise _other_format(path, marked)
    if not data.exists() or not data.stat().st_size:
        return
    with lmdb.open(str(path), readonly=True, lock=False, max_dbs=4) as env:
        found = _format_of(env)
        if found and found != chunks.FORMAT:
            raise _other_format(path, found)
        # Opened for writing, tables that a torn page hides would be made anew, and empty.
        if (found or marked) and not (found and _has_tables(env)):
            raise _damaged(path, "its tables are not there")


def _format_of(env: Any) -> bytes:
    try:
        table = env.open_db(b"meta", create=False)
    except lmdb.NotFoundError:
        return b""
    with env.begin(db=table) as txn:
        return bytes(txn.get(_FORMAT) or b"")


def _has_tables(env: Any) -> bool:
    try:
        for name in (b"chunks", b"leases"):
            env.open_db(name, create=False)
    except lmdb.NotFoundError:
        return False
    return True


def _other_format(path: Path, found: bytes) -> StoreError:
    return StoreError(
        f"{path} is in format {found.decode(errors='replace')}, this program reads {chunks.FORMAT.decode()}: "
        "use the version of Tiphys that wrote it, or another data directory"
    )


def _mark(path: Path) -> None:
    mark = path / _MARK
    if not mark.exists():
        mark.write_bytes(chunks.FORMAT + b"\n")
        _sync_tree(path)


def _open_env(path: Path, quota_bytes: int) -> Any:
    # Room beyond the quota, so that deletions and compaction, which write before they free, still work when it is
    # reached. The map is address space only; the file grows as it is used.
    map_size = 2 * quota_bytes + (64 << 20)
    return lmdb.open(
        str(path), map_size=map_size, max_dbs=4, max_readers=64, mode=0o600, readahead=False, meminit=False
    )


def _check_size(path: Path, env: Any) -> None:
    """A file shorter than its own header says would kill the process (SIGBUS) when the missing part is read."""
    wanted = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    size = (path / _DATA).stat().st_size
    if size < wanted:
        raise _damaged(path, f"{_DATA} has {size} bytes, and should have {wanted}")


def _damaged(path: Path, detail: str) -> StoreError:
    return StoreError(
        f"{path} is damaged ({detail}): restore a snapshot into an empty directory, or move it away to start anew"
    )


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_tree(directory: Path) -> None:
    for entry in directory.iterdir():
        with contextlib.suppress(IsADirectoryError):
            _sync(entry)
    _sync(directory)
