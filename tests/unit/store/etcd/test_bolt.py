"""Files in bbolt's format, read back page by page."""

import io
import struct

from hypothesis import given
from hypothesis import strategies as st

from tiphys.store.etcd import bolt

PAGE = bolt.PAGE_BYTES


class Reader:
    """Follows every reference, and knows which pages were reached."""

    def __init__(self, data: bytes) -> None:
        assert len(data) % PAGE == 0
        self.data = data
        metas = [self._meta(number) for number in (0, 1)]
        assert [meta[8] for meta in metas] == [0, 1], "transactions"
        self.pages, self.reached = metas[1][7], {0, 1, 2}
        assert self.pages * PAGE == len(data)
        assert metas[0][4] == metas[1][4]
        self.buckets = {}
        for flags, name, value in self._tree(metas[1][4]):
            assert flags == 1
            self.buckets[name] = [(key, value) for _, key, value in self._tree(struct.unpack("<QQ", value)[0])]
        assert self.reached == set(range(self.pages)), "pages that nothing leads to"

    def _meta(self, number: int) -> tuple[int, ...]:
        at = number * PAGE
        assert struct.unpack_from("<QHHI", self.data, at) == (number, 4, 0, 0)
        meta = struct.unpack_from("<IIIIQQQQQQ", self.data, at + 16)
        assert meta[:4] == (0xED0CDAED, 2, PAGE, 0)
        assert meta[9] == bolt.fnv1a(self.data[at + 16 : at + 72])
        return meta

    def _tree(self, number: int, *, root: bool = True) -> list[tuple[int, bytes, bytes]]:
        at = number * PAGE
        found, kind, count, further = struct.unpack_from("<QHHI", self.data, at)
        pages = set(range(number, number + 1 + further))
        assert found == number and not pages & self.reached
        self.reached |= pages
        if kind == 2:
            elements = []
            for where in range(at + 16, at + 16 + 16 * count, 16):
                flags, offset, keys, values = struct.unpack_from("<IIII", self.data, where)
                start = where + offset
                assert start + keys + values <= at + PAGE * len(pages)
                elements.append((flags, self.data[start : start + keys], self.data[start + keys :][:values]))
            assert elements or root
            return elements
        assert kind == 1 and count >= 2
        elements = []
        for where in range(at + 16, at + 16 + 16 * count, 16):
            offset, keys, page = struct.unpack_from("<IIQ", self.data, where)
            below = self._tree(page, root=False)
            assert below[0][1] == self.data[where + offset : where + offset + keys]
            elements += below
        return elements


def written(buckets: dict[bytes, list[tuple[bytes, bytes]]]) -> Reader:
    file = io.BytesIO()
    writer = bolt.Writer(file)
    for name in sorted(buckets):
        writer.bucket(name, iter(buckets[name]))
    assert writer.finish() == len(file.getvalue())
    return Reader(file.getvalue())


_items = st.dictionaries(st.binary(min_size=1, max_size=900), st.binary(max_size=9000), max_size=60)


@given(st.dictionaries(st.binary(min_size=1, max_size=20), _items, min_size=1, max_size=4))
def test_what_is_written_is_read(buckets) -> None:
    rows = {name: sorted(items.items()) for name, items in buckets.items()}
    assert written(rows).buckets == rows


def test_trees_of_several_levels() -> None:
    for count in (0, 1, 2, 200, 230, 40_000):
        rows = {b"key": [(b"%017d" % number, b"x" * (number % 90)) for number in range(count)]}
        assert written(rows).buckets == rows


def test_the_hash_is_the_one_it_should_be() -> None:
    """Values of the algorithm's own description."""
    assert (bolt.fnv1a(b""), bolt.fnv1a(b"a"), bolt.fnv1a(b"foobar")) == (
        0xCBF29CE484222325, 0xAF63DC4C8601EC8C, 0x85944171F73967E8
    )  # fmt: skip
