"""Records of neighbouring keys that are read more often than written, kept in the order of their keys.

A page stands for all keys from its start to its end, and holds the newest record of each that exists. A write to any
key between them, whether it exists or not, forgets the page; so what a page says is true for every revision from the
one that it was made at. Pages never overlap, and a range that pages cover without a gap is a few slices.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import msgspec

from tiphys.store.interface import Record

LIMIT_BYTES = 32 << 20
KEYS_MAX = 1024
ASKED_MIN = 20
"""Reads of a neighbourhood before it gets a page; who reads all keys once, a hundred at a time, asks half as often."""
_COUNTED_MAX = 4096
_RECORD_BYTES = 300
"""What a record takes beside its key and value."""


class Page(msgspec.Struct, frozen=True):
    """All keys with start <= key < end."""

    start: bytes
    end: bytes
    since: int
    """The position of the newest write among them: what was before is not told."""
    records: list[Record]
    keys: list[bytes]
    """Of the records."""
    size_bytes: int

    @classmethod
    def of(cls, start: bytes, end: bytes, since: int, records: list[Record]) -> Page:
        size = sum(_RECORD_BYTES + len(record.key) + len(record.value) for record in records)
        return cls(start, end, since, records, [record.key for record in records], size)


class Pages:
    """All pages; no more than `limit_bytes` of records."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._starts: list[bytes] = []
        self._pages: list[Page] = []
        self._size_bytes = 0
        self._hand = 0
        """Which page goes next when there is no room."""
        self._asked: dict[bytes, int] = {}

    def range(self, start: bytes, end: bytes, limit: int) -> list[Record] | None:
        """The records with start <= key < end as of position `limit`; None where pages do not tell."""
        index = bisect_right(self._starts, start) - 1
        reached, found = start, None
        while 0 <= index < len(self._pages):
            page = self._pages[index]
            if not page.start <= reached < page.end or page.since > limit:
                return None
            low = bisect_left(page.keys, start) if found is None else 0
            if end <= page.end:
                part = page.records[low : bisect_left(page.keys, end)]
                return found + part if found else part
            found = found + page.records if found else page.records[low:]
            reached = page.end
            index += 1
        return None

    def forget(self, key: bytes) -> None:
        """`key` is being written."""
        index = bisect_right(self._starts, key) - 1
        if index >= 0 and key < self._pages[index].end:
            self._remove(index)

    def wants(self, start: bytes) -> bool:
        """The keys from `start` on were read from elsewhere: whether they have been so often that they get a page."""
        asked = self._asked.get(start, 0) + 1
        if asked >= ASKED_MIN:
            self._asked.pop(start, None)
            return True
        if len(self._asked) >= _COUNTED_MAX:
            self._asked.clear()
        self._asked[start] = asked
        return False

    def add(self, page: Page) -> None:
        """In the place of all pages that it overlaps, and of others where there is no room."""
        if page.size_bytes > self._limit_bytes:
            return
        index = max(0, bisect_right(self._starts, page.start) - 1)
        while index < len(self._pages) and self._pages[index].start < page.end:
            if self._pages[index].end > page.start:
                self._remove(index)
            else:
                index += 1
        while self._size_bytes + page.size_bytes > self._limit_bytes:
            self._hand = (self._hand + 1) % len(self._pages)
            self._remove(self._hand)
        index = bisect_left(self._starts, page.start)
        self._starts.insert(index, page.start)
        self._pages.insert(index, page)
        self._size_bytes += page.size_bytes

    def _remove(self, index: int) -> None:
        self._size_bytes -= self._pages[index].size_bytes
        del self._starts[index], self._pages[index]
