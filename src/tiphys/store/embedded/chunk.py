"""How records lie on disk: packed into chunks, one chunk per commit and 64 KiB.

Every call into LMDB gives up the interpreter lock, and beside a busy event loop taking it back costs up to a switch
interval. A commit of forty records therefore is one `put` of one chunk, not forty. A chunk's LMDB key is the position
of its first record (big endian, so that chunks lie in order); its value is

    crc32 of the rest | count | positions (count x u64) | ends of payloads (count x u32) | payloads

and a payload is `flags | created | version | lease | key length | key | value`. Numbers are in the machine's own byte
order (the format's name says which), so that positions are searched in place, without unpacking.
"""

from __future__ import annotations

import struct
import sys
import zlib
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence

from tiphys.store.embedded.index import SUB_BITS
from tiphys.store.interface import Record, StoreError

FORMAT = f"tiphys-store-1-{sys.byteorder}".encode()
CHUNK_BYTES = 64 << 10

_HEAD = struct.Struct("=II")
_PAYLOAD = struct.Struct("=BQQqH")
_unpack_payload, _PAYLOAD_BYTES = _PAYLOAD.unpack_from, _PAYLOAD.size
_TOMBSTONE = 1

Buffer = bytes | memoryview


class CorruptChunk(StoreError):
    """A chunk's bytes are not what was written."""


def chunk_key(position: int) -> bytes:
    return position.to_bytes(8, "big")


def payload(key: bytes, value: bytes, created: int, version: int, lease: int) -> bytes:
    return _PAYLOAD.pack(0, created, version, lease, len(key)) + key + value


def tombstone(key: bytes) -> bytes:
    return _PAYLOAD.pack(_TOMBSTONE, 0, 0, 0, len(key)) + key


def pack(records: list[tuple[int, bytes]]) -> bytes:
    """One chunk of (position, payload) pairs in position order."""
    count = len(records)
    ends: list[int] = []
    end = 0
    for _, body in records:
        end += len(body)
        ends.append(end)
    rest = b"".join(
        (
            count.to_bytes(4, sys.byteorder),
            struct.pack(f"={count}Q", *[position for position, _ in records]),
            struct.pack(f"={count}I", *ends),
            *[body for _, body in records],
        )
    )
    return zlib.crc32(rest).to_bytes(4, sys.byteorder) + rest


def split(records: list[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """Runs of records that make chunks of about CHUNK_BYTES; a larger record gets a chunk of its own."""
    run: list[tuple[int, bytes]] = []
    size = 0
    for record in records:
        if run and size + len(record[1]) > CHUNK_BYTES:
            yield run
            run, size = [], 0
        run.append(record)
        size += len(record[1])
    if run:
        yield run


def check(chunk: Buffer) -> None:
    """Raises CorruptChunk."""
    view = memoryview(chunk)
    if len(view) < _HEAD.size or zlib.crc32(view[4:]) != int.from_bytes(view[:4], sys.byteorder):
        raise CorruptChunk("a stored chunk fails its checksum")


def unpack(chunk: Buffer) -> Iterator[tuple[int, memoryview]]:
    """The (position, payload) pairs of a chunk."""
    view = memoryview(chunk)
    positions, ends, body = _parts(view)
    start = 0
    for position, end in zip(positions, ends, strict=True):
        yield position, view[body + start : body + end]
        start = end


class Opened:
    """A chunk whose records are asked for, run by run."""

    __slots__ = ("_body", "_ends", "_positions", "_view")

    def __init__(self, chunk: Buffer) -> None:
        self._view = memoryview(chunk)
        self._positions, self._ends, self._body = _parts(self._view)

    def holds(self, position: int) -> bool:
        """Whether it may be in this chunk."""
        return self._positions[0] <= position <= self._positions[-1]

    def read_run(self, wanted: Sequence[int], at: int, found: list[Record]) -> int:
        """Add the records at `wanted[at]` and what follows to `found`, as long as they lie here in the same order.

        Returns how many there were; 0 where `wanted[at]` is not here, or a tombstone.
        """
        view, body, positions, ends = self._view, self._body, self._positions, self._ends
        index, count, left, here = bisect_left(positions, wanted[at]), 0, len(wanted) - at, len(positions)
        begins = body + ends[index - 1] if index else body
        while count < left and index < here and (position := positions[index]) == wanted[at + count]:
            flags, created, version, lease, length = _unpack_payload(view, begins)
            if flags & _TOMBSTONE:
                break
            begins += _PAYLOAD_BYTES
            middle, end = begins + length, body + ends[index]
            key, value = view[begins:middle].tobytes(), view[middle:end].tobytes()
            found.append(Record(key, value, created, position >> SUB_BITS, version, lease))
            begins = end
            count += 1
            index += 1
        return count


def without(chunk: Buffer, positions: Collection[int]) -> bytes:
    """The chunk less the records at `positions`; empty where none is left."""
    left = [(position, bytes(body)) for position, body in unpack(chunk) if position not in positions]
    return pack(left) if left else b""


def _parts(view: memoryview) -> tuple[memoryview, memoryview, int]:
    _, count = _HEAD.unpack_from(view)
    offsets = 8 + 8 * count
    body = offsets + 4 * count
    return view[8:offsets].cast("Q"), view[offsets:body].cast("I"), body


def heads(chunk: Buffer) -> Iterator[tuple[int, bytes, bool, int, int, int]]:
    """(position, key, is a tombstone, created, version, lease) of each record, the values left alone."""
    view = memoryview(chunk)
    positions, ends, body = _parts(view)
    begins = body
    for position, end in zip(positions, ends, strict=True):
        flags, created, version, lease, length = _unpack_payload(view, begins)
        begins += _PAYLOAD_BYTES
        yield position, view[begins : begins + length].tobytes(), flags & _TOMBSTONE != 0, created, version, lease
        begins = body + end


def parts_of(body: Buffer) -> tuple[bytes, tuple[int, int, int, bytes] | None]:
    """(key, (created, version, lease, value)) of a payload; None for a tombstone."""
    flags, created, version, lease, length = _PAYLOAD.unpack_from(body)
    start = _PAYLOAD.size + length
    key = bytes(body[_PAYLOAD.size : start])
    return key, None if flags & _TOMBSTONE else (created, version, lease, bytes(body[start:]))


def record_of(body: Buffer, revision: int) -> tuple[bytes, Record | None]:
    """(key, record) of a payload; the record is None for a tombstone."""
    key, found = parts_of(body)
    if found is None:
        return key, None
    created, version, lease, value = found
    return key, Record(key, value, created, revision, version, lease)
