"""etcd's Snapshot of a store of ours: a database file, made beside the data and sent in parts.

The file has no name: whatever happens, nothing is left of it. It is as large as the data, history included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from io import BufferedRandom
from pathlib import Path
from typing import Any, Protocol

from tiphys.api import protobuf
from tiphys.store.etcd import database
from tiphys.store.etcd import messages as m
from tiphys.store.interface import Moment

_PART_BYTES = 64 << 10
"""As etcd sends."""

Write = Callable[[bytes], Awaitable[Any]]


class Copied(Protocol):
    """What a store must show of itself for a snapshot in etcd's format."""

    @property
    def path(self) -> Path:
        """The directory of its data, where there is room for as much again."""

    def moment(self) -> AbstractContextManager[Moment]:
        """All that is on disk now, for a thread other than the loop's."""


class SnapshotSender:
    """Snapshots for clients; one is made at a time, so that they cannot fill the disk between them."""

    def __init__(self, store: Copied) -> None:
        self._store = store
        self._turn = asyncio.Lock()

    async def send(self, write: Write) -> None:
        """All of one. Raises StoreError."""
        async with self._turn:
            made = asyncio.ensure_future(asyncio.to_thread(self._make))
            try:
                file, left = await asyncio.shield(made)
            except asyncio.CancelledError:  # the thread goes on; what it makes is closed when it is done
                made.add_done_callback(_discard)
                raise
            with file:
                while part := await asyncio.to_thread(file.read, _PART_BYTES):
                    left -= len(part)
                    await write(protobuf.encode(m.SnapshotResponse(remaining_bytes=left, blob=part), proto3=True))

    def _make(self) -> tuple[BufferedRandom, int]:
        with self._store.moment() as moment:
            return database.temporary(self._store.path, moment)


def _discard(made: asyncio.Future[tuple[BufferedRandom, int]]) -> None:
    if not made.cancelled() and made.exception() is None:
        made.result()[0].close()
