"""Reading at a revision: the index says where a record is, LMDB has it. Long reads give way to others meanwhile."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

from tiphys.store.embedded import chunk as chunks
from tiphys.store.embedded.disk import Disk
from tiphys.store.embedded.index import SUB_BITS, Index, last_position
from tiphys.store.embedded.watching import SLICE
from tiphys.store.interface import Change, Range, Record

_KEYS_PER_TURN = 2000
_READS_PER_TURN = 500


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
        positions: list[int] = []
        keys = self._index.keys.range(start, end)
        histories = self._index.histories
        for turn in range(0, len(keys), _KEYS_PER_TURN):
            for key in keys[turn : turn + _KEYS_PER_TURN]:
                history = histories.get(key)
                if history is not None and (position := history.at(stands_at)):
                    positions.append(position)
            if turn + _KEYS_PER_TURN < len(keys):
                await asyncio.sleep(0)
        wanted = positions[:limit] if limit else positions
        records: list[Record] = []
        for turn in range(0, len(wanted), _READS_PER_TURN):
            if turn:
                await asyncio.sleep(0)
            still_there()
            records += self._disk.read(wanted[turn : turn + _READS_PER_TURN])
        return Range(records, revision, len(positions))

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
        revision = 1
        for position, body in disk.scan():
            key, dead, created, version, lease = chunks.head_of(body)
            index.load(key, position, dead, created, version, lease)
            revision = max(revision, position >> SUB_BITS)
        index.finish_loading()
        return disk, index, revision, disk.live_bytes()
    except BaseException:
        disk.close()
        raise
    finally:
        if collecting:
            gc.enable()
