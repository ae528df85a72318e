"""Many byte strings in order, cheap to add to, remove from and cut ranges out of.

A plain sorted list moves half of itself on every insertion, which is felt from some hundred thousand keys on. Here the
order is kept in buckets of bounded length, so an insertion moves a few kilobytes whatever the total.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

_FULL = 1024


class SortedKeys:
    """A set of keys in byte order."""

    __slots__ = ("_buckets", "_lasts", "_size")

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        # Not a set: what comes nearly in order is sorted in a fraction of the time.
        ordered = sorted(dict.fromkeys(keys))
        half = _FULL // 2
        self._buckets = [ordered[i : i + half] for i in range(0, len(ordered), half)]
        self._lasts = [bucket[-1] for bucket in self._buckets]
        self._size = len(ordered)

    def __len__(self) -> int:
        return self._size

    def add(self, key: bytes) -> None:
        """`key` must not be there yet."""
        self._size += 1
        if not self._buckets:
            self._buckets.append([key])
            self._lasts.append(key)
            return
        index = min(bisect_left(self._lasts, key), len(self._lasts) - 1)
        bucket = self._buckets[index]
        insort(bucket, key)
        if len(bucket) > _FULL:
            half = _FULL // 2
            self._buckets[index : index + 1] = [bucket[:half], bucket[half:]]
            self._lasts[index : index + 1] = [bucket[half - 1], bucket[-1]]
        elif bucket[-1] is key:
            self._lasts[index] = key

    def remove(self, key: bytes) -> None:
        """Raises KeyError when `key` is not there."""
        index = bisect_left(self._lasts, key)
        if index == len(self._lasts):
            raise KeyError(key)
        bucket = self._buckets[index]
        at = bisect_left(bucket, key)
        if bucket[at] != key:
            raise KeyError(key)
        del bucket[at]
        self._size -= 1
        if bucket:
            self._lasts[index] = bucket[-1]
        else:
            del self._buckets[index], self._lasts[index]

    def range(self, start: bytes, end: bytes, limit: int = 0) -> list[bytes]:
        """The keys with start <= key < end, in order, no more than `limit` (0: all); a new list."""
        found: list[bytes] = []
        index = bisect_left(self._lasts, start)
        while index < len(self._buckets) and not (limit and len(found) >= limit):
            bucket = self._buckets[index]
            low = bisect_left(bucket, start) if not found else 0
            if bucket[-1] < end:
                found += bucket[low:] if low else bucket
            else:
                found += bucket[low : bisect_left(bucket, end)]
                break
            index += 1
        return found[:limit] if limit else found

    def around(self, key: bytes) -> tuple[bytes, list[bytes], bytes | None]:
        """The neighbourhood of `key`: (where it starts, its keys, where the next one starts: None after the last).

        Some hundred keys, and every key that could be added between start and end belongs to it too.
        """
        index = min(bisect_left(self._lasts, key), len(self._lasts) - 1)
        if index < 0:
            return b"", [], None
        start = self._lasts[index - 1] + b"\0" if index else b""
        end = self._lasts[index] + b"\0" if index + 1 < len(self._lasts) else None
        return start, self._buckets[index][:], end

    def count(self, start: bytes, end: bytes) -> int:
        """How many keys there are with start <= key < end."""
        if end <= start:
            return 0
        (first, before), (last, inside) = self._place(start), self._place(end)
        return sum(map(len, self._buckets[first:last])) - before + inside

    def _place(self, key: bytes) -> tuple[int, int]:
        """The bucket where `key` is or would be, and how many of its keys come before."""
        index = bisect_left(self._lasts, key)
        return index, bisect_left(self._buckets[index], key) if index < len(self._buckets) else 0
