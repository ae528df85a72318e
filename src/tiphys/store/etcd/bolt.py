"""A database file in bbolt's format, written in one pass: what etcd keeps its data in, and snapshots of it are.

A file is pages of 4 KiB. Pages 0 and 1 are two *metas*, of which the one with the higher transaction counts: where the
root is, how many pages there are, and a checksum. Page 2 lists free pages; there are none. Everything else is B+ trees:

    leaf     header | (flags, offset, key size, value size) per element | keys and values
    branch   header | (offset, key size, page) per element              | keys: the first of each child

A page that is larger than 4 KiB runs on over the following ones. The root is a tree whose leaves name buckets, and a
bucket is a tree of its own. Keys come in order, so that pages are written as they fill up, and a tree in work holds
one unfinished page per level: memory does not grow with the file.

Source: the format of go.etcd.io/bbolt, page.go, meta.go and bucket.go.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

PAGE_BYTES = 4096

_MAGIC, _VERSION = 0xED0CDAED, 2
_BRANCH, _LEAF, _META, _FREE = 0x01, 0x02, 0x04, 0x10
_BUCKET = 0x01
"""The flag of a leaf's element whose value is where a bucket's tree is."""
_PAGE_HEAD = struct.Struct("<QHHI")
"""number, kind, elements, further pages"""
_LEAF_HEAD = struct.Struct("<IIII")
_BRANCH_HEAD = struct.Struct("<IIQ")
_BUCKET_VALUE = struct.Struct("<QQ")
"""root, sequence"""
_META_BODY = struct.Struct("<IIIIQQQQQ")
"""magic, version, page size, flags, root, its sequence, free list, pages, transaction"""
_FREE_PAGE = 2
_FIRST_PAGE = 3
_CHILDREN_MIN = 2
"""bbolt merges a branch that has fewer."""

_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3

Element = tuple[int, bytes, bytes]
"""(flags, key, value) of a leaf."""


class Writer:
    """Writes one database into `file`, which is empty and can be sought. Buckets come in the order of their names."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._next = _FIRST_PAGE
        self._buckets: list[Element] = []
        file.seek(_FIRST_PAGE * PAGE_BYTES)

    def bucket(self, name: bytes, items: Iterable[tuple[bytes, bytes]]) -> None:
        """(key, value) in the order of the keys, each key once."""
        root = self._tree((0, key, value) for key, value in items)
        self._buckets.append((_BUCKET, name, _BUCKET_VALUE.pack(root, 0)))

    def finish(self) -> int:
        """Make it a database; returns its size in bytes."""
        root = self._tree(self._buckets)
        self._file.seek(0)
        for number in (0, 1):
            meta = _META_BODY.pack(_MAGIC, _VERSION, PAGE_BYTES, 0, root, 0, _FREE_PAGE, self._next, number)
            self._put(number, _META, 0, meta + fnv1a(meta).to_bytes(8, "little"))
        self._put(_FREE_PAGE, _FREE, 0, b"")
        return self._next * PAGE_BYTES

    def _tree(self, elements: Iterable[Element]) -> int:
        """Write a tree; returns its root's page."""
        levels: list[_Children] = []
        for run in _pages_of(elements):
            self._enter(levels, 0, run[0][1] if run else b"", self._page(_LEAF, len(run), _leaf(run)))
        height = 0
        while height + 1 < len(levels) or len(levels[height].found) > 1:
            key, page = self._branch(levels[height].found)
            self._enter(levels, height + 1, key, page)
            height += 1
        return levels[height].found[0][1]

    def _enter(self, levels: list[_Children], height: int, key: bytes, page: int) -> None:
        """A page is complete: its parent learns of it, and is complete itself when it is full."""
        if height == len(levels):
            levels.append(_Children())
        full = levels[height].add(key, page)
        if full:
            self._enter(levels, height + 1, *self._branch(full))

    def _branch(self, children: list[tuple[bytes, int]]) -> tuple[bytes, int]:
        return children[0][0], self._page(_BRANCH, len(children), _branch(children))

    def _page(self, kind: int, count: int, body: bytes) -> int:
        number = self._next
        self._next += self._put(number, kind, count, body)
        return number

    def _put(self, number: int, kind: int, count: int, body: bytes) -> int:
        """Where the file stands; returns how many pages it took."""
        pages = -(-(_PAGE_HEAD.size + len(body)) // PAGE_BYTES)
        self._file.write(_PAGE_HEAD.pack(number, kind, count, pages - 1))
        self._file.write(body)
        self._file.write(bytes(pages * PAGE_BYTES - _PAGE_HEAD.size - len(body)))
        return pages


class _Children:
    """The page of a branch that is being filled: (first key, page) of each child."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, int]] = []
        self._size = _PAGE_HEAD.size

    def add(self, key: bytes, page: int) -> list[tuple[bytes, int]]:
        """Returns the children of a full page, or none. The last ones stay, so that no page ends up with one child."""
        self.found.append((key, page))
        self._size += _BRANCH_HEAD.size + len(key)
        if self._size <= PAGE_BYTES or len(self.found) <= 2 * _CHILDREN_MIN:
            return []
        full, self.found = self.found[:-_CHILDREN_MIN], self.found[-_CHILDREN_MIN:]
        self._size = _PAGE_HEAD.size + sum(_BRANCH_HEAD.size + len(key) for key, _ in self.found)
        return full


def _pages_of(elements: Iterable[Element]) -> Iterator[list[Element]]:
    """Runs of elements that fill a leaf; a larger one is alone. One empty run where there is none."""
    run: list[Element] = []
    size = _PAGE_HEAD.size
    for element in elements:
        more = _LEAF_HEAD.size + len(element[1]) + len(element[2])
        if run and size + more > PAGE_BYTES:
            yield run
            run, size = [], _PAGE_HEAD.size
        run.append(element)
        size += more
    yield run


def _leaf(elements: list[Element]) -> bytes:
    heads: list[bytes] = []
    bodies: list[bytes] = []
    offset = len(elements) * _LEAF_HEAD.size  # from an element's head to its key
    for flags, key, value in elements:
        heads.append(_LEAF_HEAD.pack(flags, offset, len(key), len(value)))
        bodies += key, value
        offset += len(key) + len(value) - _LEAF_HEAD.size
    return b"".join(heads + bodies)


def _branch(children: list[tuple[bytes, int]]) -> bytes:
    heads: list[bytes] = []
    offset = len(children) * _BRANCH_HEAD.size
    for key, page in children:
        heads.append(_BRANCH_HEAD.pack(offset, len(key), page))
        offset += len(key) - _BRANCH_HEAD.size
    return b"".join(heads + [key for key, _ in children])


def fnv1a(data: bytes) -> int:
    """The 64 bit FNV-1a hash."""
    found = _FNV_OFFSET
    for byte in data:
        found = (found ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return found
