"""Which revisions every key has: the in-memory half of multi-version storage.

A key's life is a row of generations. A generation begins with the put that creates the key and ends with the
tombstone of its deletion. Every put and tombstone has a *position*: the transaction's revision, and within it the
number of the write, in one integer (`revision << 20 | write`), which is also how the record is found on disk.

A worked example, positions written as bare revisions. These transactions on key `a`

    2 put   4 put   7 delete   9 put

leave two generations:

    [2, 4, 7+]   [9]             (+ is a tombstone)

Reading `a` at revision 5 finds the newest position <= 5 in its generation: 4. At 7 and 8 the newest is the tombstone:
the key does not exist. At 1 there is none. Compaction at 5 forgets what nobody may ask for any more, that is, all but
the newest position <= 5 of a generation: `[4, 7+] [9]`. Compaction at 7 keeps the tombstone, so that a watch from 7
still sees the deletion: `[7+] [9]`; compaction at 8 removes the generation: `[9]`.

Source: the idea is etcd's server/storage/mvcc/key_index.go.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter

from tiphys.base.sortedkeys import SortedKeys
from tiphys.store.embedded.pages import Pages

SUB_BITS = 20
MAX_WRITES = 1 << SUB_BITS
_last = attrgetter("last")


def first_position(revision: int) -> int:
    return revision << SUB_BITS


def last_position(revision: int) -> int:
    return (revision + 1 << SUB_BITS) - 1


class History:
    """The generations of one key. The newest is spread over the fields; ended ones are lists in `older`."""

    __slots__ = ("before", "created", "last", "lease", "older", "version")

    def __init__(self, last: int = 0, created: int = 0, version: int = 0, lease: int = 0) -> None:
        self.last = last
        """The newest position; negative where it is a tombstone, 0 without any. Ranges mostly look at nothing else."""
        self.before: list[int] | None = None
        """Positions of the newest generation before the last one: most keys of a large store have none."""
        self.created = created
        self.version = version
        self.lease = lease
        self.older: list[list[int]] | None = None

    def put(self, position: int, lease: int) -> None:
        if self.ended:
            if self.last:
                self.older = [*(self.older or ()), self._generation()]
            self.before = None
            self.created = position >> SUB_BITS
            self.version = 1
        else:
            self._remember()
            self.version += 1
        self.last = position
        self.lease = lease

    def delete(self, position: int) -> None:
        if not self.ended:
            self._remember()
        self.last = -position
        self.lease = 0

    def _remember(self) -> None:
        if self.before is None:
            self.before = [self.last]
        else:
            self.before.append(self.last)

    def _generation(self) -> list[int]:
        return [*(self.before or ()), abs(self.last)]

    @property
    def ended(self) -> bool:
        """The newest generation's last position is a tombstone (or there is no generation)."""
        return self.last <= 0

    @property
    def newest(self) -> int:
        """The newest revision, 0 where the key does not exist; transactions not yet durable count."""
        return self.last >> SUB_BITS if self.last > 0 else 0

    def at(self, limit: int) -> int:
        """The position of the record that stands at position `limit`; 0 where the key does not exist then."""
        if self.last and abs(self.last) <= limit:
            return max(0, self.last)
        if self.before is not None and self.before[0] <= limit:
            return self.before[bisect_right(self.before, limit) - 1]
        for generation in reversed(self.older or ()):
            if generation[0] <= limit:
                found = bisect_right(generation, limit) - 1
                return 0 if found == len(generation) - 1 else generation[found]
        return 0

    def compact(self, revision: int) -> list[int]:
        """Forget what only reads below `revision` could see; returns the forgotten positions."""
        dropped: list[int] = []
        if self.older:
            kept = [left for generation in self.older if (left := _compacted(generation, True, revision, dropped))]
            self.older = kept or None
        left = _compacted(self._generation(), self.ended, revision, dropped)
        if left:
            self.before = left[:-1] or None
        else:
            self._take_older()
        return dropped

    def roll_back(self, limit: int) -> None:
        """Forget every position after `limit`. `created`, `version` and `lease` are then the caller's to restore."""
        while abs(self.last) > limit:
            if self.before:
                self.last = self.before.pop()
                self.before = self.before or None
            else:
                self._take_older()

    def _take_older(self) -> None:
        """The newest generation is empty: the one before it, which has ended, is the newest now."""
        generation = self.older.pop() if self.older else [0]
        self.older = self.older or None
        self.last = -generation[-1]
        self.before = generation[:-1] or None


def _compacted(generation: list[int], ended: bool, revision: int, dropped: list[int]) -> list[int]:
    newest = bisect_right(generation, last_position(revision)) - 1
    if newest < 0:
        return generation
    if ended and newest == len(generation) - 1 and generation[newest] < first_position(revision):
        newest += 1
    dropped += generation[:newest]
    return generation[newest:] if newest else generation


class Index:
    """All keys, in order."""

    def __init__(self) -> None:
        self.histories: dict[bytes, History] = {}
        self.keys = SortedKeys()
        self.pages = Pages()

    def history(self, key: bytes) -> History:
        """The key's history, begun where there is none, for who writes to it."""
        self.pages.forget(key)
        history = self.histories.get(key)
        if history is None:
            history = self.histories[key] = History()
            self.keys.add(key)
        return history

    def newest(self, key: bytes) -> int:
        history = self.histories.get(key)
        return 0 if history is None else history.newest

    def at(self, key: bytes, revision: int) -> int:
        history = self.histories.get(key)
        return 0 if history is None else history.at(last_position(revision))

    def standing(self, keys: Iterable[bytes], limit: int) -> list[int]:
        """The positions of the records that stand at position `limit`, of those of these keys that exist then.

        No more than a few passes in C where all that was written since is not about these keys.
        """
        histories = list(filter(None, map(self.histories.get, keys)))
        lasts = list(map(_last, histories))
        if not lasts:
            return lasts
        if max(lasts) > limit or min(lasts) < -limit:
            return [position for history in histories if (position := history.at(limit))]
        return lasts if min(lasts) > 0 else [position for position in lasts if position > 0]

    def compact(self, keys: Iterable[bytes], revision: int) -> list[int]:
        """Compact these keys; returns the positions whose records nobody can ask for any more."""
        dropped: list[int] = []
        for key in keys:
            history = self.histories.get(key)
            if history is None:
                continue
            dropped += history.compact(revision)
            self.forget_if_empty(key, history)
        return dropped

    def forget_if_empty(self, key: bytes, history: History) -> None:
        if not history.last:
            del self.histories[key]
            self.keys.remove(key)

    def load(self, key: bytes, position: int, tombstone: bool, created: int, version: int, lease: int) -> None:
        """Take in one record while opening; records come in position order. `finish_loading` ends it."""
        history = self.histories.get(key)
        if history is None:
            self.histories[key] = History(-position if tombstone else position, created, version, lease)
        elif tombstone:
            history.delete(position)
        else:
            history.put(position, lease)
            history.created, history.version = created, version

    def finish_loading(self) -> None:
        self.keys = SortedKeys(self.histories)
