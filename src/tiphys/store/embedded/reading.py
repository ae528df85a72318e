"""Reading at a revision: the index says where a record is, LMDB has it. Long reads give way to others meanwhile."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

from tiphys.store.embedded import chunk as chunks
from tiphys.store.embedded.disk import Disk
from tiphys.store.embedded.index import SUB_BITS, Index, last_position
from tiphys.store.embedded.pages import KEYS_MAX, Page
from tiphys.store.embedded.watching import SLICE
from tiphys.store.interface import Change, Range, Record

_KEYS_PER_TURN = 20_000
_READS_PER_TURN = 500
_END = b"\xff" * 1024
"""After every key."""


class Reads:
    """Revisions given here must be readable: durable, and not compacted."""

    def __init__(self, disk: Disk, index: Index) -> None:
        self._disk = disk
        self._index = index

    def get(self, key: bytes, revision: int) -> Record | None:
        return self._record(self._index.at(key, revision))

    async def range(
        self, start: bytes, end: bytes, revision: int, limit: int, still_there: Callable[[], None]
    ) -> Range:
        """`still_there` raises when the revision has been compacted meanwhile."""
        stands_at = last_position(revision)
        kept = self._index.pages.range(start, end, stands_at)
        if kept is not None:
            return Range(kept[:limit] if limit else kept, revision, len(kept))
        positions: list[int] = []
        keys = self._index.keys.range(start, end)
        for turn in range(0, len(keys), _KEYS_PER_TURN):
            if turn:
                await asyncio.sleep(0)
            positions += self._index.standing(keys[turn : turn + _KEYS_PER_TURN], stands_at)
        wanted = positions[:limit] if limit else positions
        if keys and len(keys) <= KEYS_MAX:
            self._keep_pages(keys, stands_at)
        records: list[Record] = []
        for turn in range(0, len(wanted), _READS_PER_TURN):
            if turn:
                await asyncio.sleep(0)
            still_there()
            records += self._disk.read(wanted[turn : turn + _READS_PER_TURN])
        return Range(records, revision, len(positions))

    def _keep_pages(self, keys: list[bytes], stands_at: int) -> None:
        """Make pages of what is around these keys, where it is often read, and not written after `stands_at`."""
        index = self._index
        reached = b""
        for key in (keys[0], keys[-1]):
            if key < reached:
                return
            start, around, end = index.keys.around(key)
            reached = _END if end is None else end
            if index.pages.wants(start):
                since = max(abs(index.histories[one].last) for one in around)
                if since <= stands_at:
                    records = self._disk.read(index.standing(around, stands_at))
                    index.pages.add(Page.of(start, reached, since, records))

    def history(self, first: int, last: int, start: bytes, end: bytes) -> tuple[list[Change], int]:
        """Some changes of the keys from `start` to `end` in these revisions, and the revision to go on from."""
        found = self._disk.history(first, last, SLICE)
        changes = [
            Change(position >> SUB_BITS, key, record, self._previous(key, position))
            for position, key, record in found
            if start <= key < end
        ]
        return changes, (found[-1][0] >> SUB_BITS) + 1 if len(found) >= SLICE else last + 1

    def _previous(self, key: bytes, position: int) -> Record | None:
        history = self._index.histories.get(key)
        return self._record(history.at(position - 1)) if history is not None else None

    def _record(self, position: int) -> Record | None:
        return self._disk.read((position,))[0] if position else None


def load(path: Path, quota_bytes: int) -> tuple[Disk, Index, int, int]:
    """Open the disk and read the whole index. Blocks."""
    disk = Disk.open(path, quota_bytes)
    # Millions of objects come and none goes: looking for garbage among them would take a fifth of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        index = Index()
        load_record = index.load
        position = live_bytes = 0
        for value in disk.scan():
            live_bytes += len(value)
            for position, key, dead, created, version, lease in chunks.heads(value):
                load_record(key, position, dead, created, version, lease)
        index.finish_loading()
        return disk, index, max(1, position >> SUB_BITS), live_bytes
    except BaseException:
        disk.close()
        raise
    finally:
        if collecting:
            gc.enable()
