"""Transactions that were validated and wait for their common commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tiphys.store.embedded import chunk as chunks
from tiphys.store.embedded.disk import Work
from tiphys.store.interface import Change


class Batch(msgspec.Struct):
    """Filled on the loop, then closed into `Work`; kept until its commit is done."""

    records: list[tuple[int, bytes]] = []
    changes: list[Change] = []
    waiters: list[tuple[asyncio.Future[Any], Callable[[], Any]]] = []
    """Whom to answer, and how the answer is made once it is durable."""
    meta: dict[bytes, int] = {}
    leases: dict[int, int] = {}
    drops: Sequence[int] = ()
    undo: list[Callable[[], None]] = []
    """What takes back changes in memory other than the index's, should the commit fail."""
    last_revision: int = 0

    def __bool__(self) -> bool:
        return bool(self.waiters or self.records or self.meta or self.leases or self.drops)

    def work(self) -> Work:
        packed = [(run[0][0], chunks.pack(run)) for run in chunks.split(self.records)]
        return Work(packed, self.meta, self.leases, self.drops)

    @property
    def empty_handed(self) -> bool:
        """Nothing to write: only answers that had to wait for earlier batches."""
        return not (self.records or self.meta or self.leases or self.drops)
