"""Node ports: which are free, also where several API servers give them out from one store.

What stored Services have is known from the watch cache. Between choosing a port and the moment when every server has
seen the Service that got it, the port is claimed by a key of its own in the store, which only one server can create. A
claim ends by itself after a minute: by then the Service is everywhere, or was never written.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tiphys.apiserver.registry.service_addresses import Full, Refused
from tiphys.store.interface import Compare, Delete, Put, Store

PREFIX = b"/registry/tiphys/nodeports/"
_CLAIM_S = 60
_TRIES = 64


class Pool:
    """Integers of a range. New ones come at random from the upper part; the lower is left for requested ones."""

    def __init__(self, first: int, last: int, reserved: int, taken: str, outside: Callable[[int], str]) -> None:
        self._first, self._last = first, last
        self._reserved = min(reserved, last - first)
        """How many of the lowest are handed out only when the others are gone."""
        self._taken_text, self._outside = taken, outside
        self._taken: set[int] = set()
        """By writes of this server that are not over, or not seen yet."""
        self._stored: set[int] = set()
        """By Services."""
        self._random = random.Random()  # noqa: S311 # which free one it is, is no secret

    def __contains__(self, number: int) -> bool:
        return number in self._taken or number in self._stored

    def __len__(self) -> int:
        return len(self._taken | self._stored)

    def take(self, number: int) -> None:
        """Raises Refused."""
        if not self._first <= number <= self._last:
            raise Refused(self._outside(number))
        if number in self:
            raise Refused(self._taken_text)
        self._taken.add(number)

    def take_any(self) -> int:
        """Raises Full."""
        middle = self._first + self._reserved
        for low, high in ((middle, self._last), (self._first, middle - 1)):
            size = high - low + 1
            start = self._random.randrange(size) if size > 0 else 0
            for step in range(size):
                number = low + (start + step) % size
                if number not in self:
                    self._taken.add(number)
                    return number
        raise Full

    def give_back(self, number: int) -> None:
        """What a write took, and did not need after all."""
        self._taken.discard(number)

    def adopt(self, number: int) -> None:
        """A stored Service has it, whatever the range is now."""
        self._stored.add(number)
        self._taken.discard(number)

    def drop(self, number: int) -> None:
        """No stored Service has it any more."""
        self._stored.discard(number)
        self._taken.discard(number)

    def refused(self) -> Refused:
        return Refused(self._taken_text)


class NodePorts:
    """A pool, and claims where others give ports out of the same range."""

    def __init__(self, pool: Pool, store: Store) -> None:
        self.pool = pool
        self._store = store

    async def take(self, number: int, owner: str) -> None:
        """For the Service `owner` (namespace/name; empty where nothing will be written). Raises Refused, StoreError."""
        self.pool.take(number)
        if not await self._claim(number, owner):
            self.pool.give_back(number)
            raise self.pool.refused()

    async def take_any(self, owner: str) -> int:
        """Raises Full, StoreError."""
        for _ in range(_TRIES):
            number = self.pool.take_any()
            if await self._claim(number, owner):
                return number
            self.pool.give_back(number)
        raise Full

    async def give_back(self, number: int, owner: str) -> None:
        """`owner` needs it no more, or never got it. Raises StoreError."""
        self.pool.give_back(number)
        await self.unclaim(number, owner)

    async def unclaim(self, number: int, owner: str) -> None:
        """End a claim of `owner` that is still there. Raises StoreError."""
        if not self._store.shared or not owner:
            return
        found = await self._store.get(_key(number))
        if found is not None and found.value == owner.encode():
            await self._store.txn([Compare(found.key, found.mod_revision)], [Delete(found.key)])

    async def _claim(self, number: int, owner: str) -> bool:
        if not self._store.shared or not owner:
            return True
        try:
            lease = await self._store.grant(_CLAIM_S)
            claimed = await self._store.txn([Compare(_key(number), 0)], [Put(_key(number), owner.encode(), lease)])
        except BaseException:
            self.pool.give_back(number)
            raise
        if not claimed.succeeded:
            await self._store.revoke(lease)
        return claimed.succeeded


def _key(number: int) -> bytes:
    return PREFIX + b"%d" % number
