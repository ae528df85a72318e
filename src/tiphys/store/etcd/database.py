"""etcd's database file of a moment of another store: `etcdctl snapshot restore` makes a member's data of it.

Buckets are as an etcd 3.4 to 3.6 has them. `key` holds every put and deletion by its revision, history included, so
that revisions and versions are the same afterwards; an index is made of it by whoever opens it.

Source: etcd server/storage/schema and server/storage/mvcc/revision.go, for names and keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import tempfile
from collections.abc import Iterator
from io import BufferedRandom
from pathlib import Path

import msgspec

from tiphys.store.etcd import bolt
from tiphys.store.interface import Moment, StoreFailed

DIGEST_BYTES = hashlib.sha256().digest_size
"""What a snapshot ends with; etcd's tools tell by the file's size that it is there."""

_CLUSTER_VERSION = b"3.4.0"
"""The oldest etcd that may go on with it; newer ones raise it."""
_MEMBER = {"id": 1, "peerURLs": ["http://localhost:2380"], "name": "tiphys", "clientURLs": ["http://localhost:2379"]}
_EMPTY = (b"alarm", b"auth", b"authRoles", b"authUsers", b"members_removed")
_REVISION = struct.Struct(">QcQ")
_TOMBSTONE = b"t"
_TWO = tuple(bytes((low | 0x80, high)) for high in range(128) for low in range(128))
"""Numbers below 16384 that take two bytes, by their value."""


def write(file: BufferedRandom, moment: Moment) -> int:
    """A database of `moment` at the start of the empty `file`, and its SHA-256; returns the size of both."""
    buckets: dict[bytes, Iterator[tuple[bytes, bytes]]] = {name: iter(()) for name in _EMPTY} | {
        b"cluster": iter([(b"clusterVersion", _CLUSTER_VERSION)]),
        b"key": _keys(moment),
        b"lease": _leases(moment.leases),
        b"members": iter([(b"1", msgspec.json.encode(_MEMBER))]),
        b"meta": _meta(moment),
    }
    writer = bolt.Writer(file)
    for name in sorted(buckets):
        writer.bucket(name, buckets[name])
    size = writer.finish()
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").digest()
    file.seek(size)
    file.write(digest)
    return size + len(digest)


def _keys(moment: Moment) -> Iterator[tuple[bytes, bytes]]:
    for revision, number, key, record in moment.records:
        at = _REVISION.pack(revision, b"_", number)
        if record is None:
            yield at + _TOMBSTONE, b"\x0a" + _varint(len(key)) + key
        else:
            created, version, lease, value = record
            yield (
                at,
                b"".join(
                    (
                        b"\x0a", _varint(len(key)), key,
                        b"\x10", _varint(created), b"\x18", _varint(revision), b"\x20", _varint(version),
                        *((b"\x2a", _varint(len(value)), value) if value else ()),
                        *((b"\x30", _varint(lease & 0xFFFFFFFFFFFFFFFF)) if lease else ()),
                    )
                ),
            )  # fmt: skip


def _leases(leases: dict[int, int]) -> Iterator[tuple[bytes, bytes]]:
    for lease, ttl_s in sorted(leases.items()):
        yield lease.to_bytes(8, "big"), b"\x08" + _varint(lease) + b"\x10" + _varint(ttl_s)


def _meta(moment: Moment) -> Iterator[tuple[bytes, bytes]]:
    """What was compacted, and what is to be cleaned up yet; of a raft log there is only a beginning."""
    compacted = _REVISION.pack(moment.compacted, b"_", 0)
    yield b"confState", b'{"voters":[1],"auto_leave":false}'
    yield b"consistent_index", (1).to_bytes(8, "big")
    if moment.compacted and not moment.compacting:
        yield b"finishedCompactRev", compacted
    if moment.compacted:
        yield b"scheduledCompactRev", compacted
    yield b"term", (1).to_bytes(8, "big")


def _varint(number: int) -> bytes:
    if number < 0x80:
        return number.to_bytes(1, "little")
    if number < 0x4000:
        return _TWO[number]
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def temporary(directory: Path, moment: Moment) -> tuple[BufferedRandom, int]:
    """(a nameless file in `directory` with the database and its digest, its size). Blocks. Raises StoreFailed."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(dir=directory))
            size = write(file, moment)
            file.seek(0)
        except OSError as error:
            raise StoreFailed(f"the snapshot could not be written: {error.strerror or error}") from error
        stack.pop_all()
        return file, size
