"""Against a sorted list: ranges, counts, and buckets that split and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiphys.base.sortedkeys import SortedKeys

KEYS = st.integers(0, 4000).map(lambda number: b"%05d" % number)


@given(st.sets(KEYS, max_size=30), st.lists(st.tuples(KEYS, KEYS, st.integers(0, 40)), min_size=1, max_size=5))
def test_ranges_and_counts_of_few_keys(keys: set[bytes], asked: list[tuple[bytes, bytes, int]]) -> None:
    _holds(SortedKeys(keys), sorted(keys), asked)


@given(st.lists(st.tuples(KEYS, KEYS, st.integers(0, 4000)), min_size=1, max_size=20), st.integers(1, 7))
def test_ranges_and_counts_over_many_buckets(asked: list[tuple[bytes, bytes, int]], step: int) -> None:
    kept = [b"%05d" % number for number in range(0, 4000, step)]
    held = SortedKeys()
    for number in range(4000):
        held.add(b"%05d" % (number * 7919 % 4000))
    for number in range(4000):
        if number % step:
            held.remove(b"%05d" % number)
    _holds(held, kept, asked)


def _holds(held: SortedKeys, expected: list[bytes], asked: list[tuple[bytes, bytes, int]]) -> None:
    assert len(held) == len(expected)
    for start, end, limit in asked:
        inside = [key for key in expected if start <= key < end]
        assert held.range(start, end) == inside
        assert held.range(start, end, limit) == (inside[:limit] if limit else inside)
        assert held.count(start, end) == len(inside)


def test_neighbourhoods_meet_and_hold_what_is_added_between() -> None:
    assert SortedKeys().around(b"a") == (b"", [], None)
    keys = SortedKeys(b"%05d" % number for number in range(0, 6000, 2))
    reached, found = b"", []
    while True:
        start, around, end = keys.around(reached)
        assert start == reached
        found += around
        assert all(keys.around(key)[:1] == (start,) for key in (around[0], around[-1]))
        if end is None:
            break
        reached = end
    assert found == keys.range(b"", b"~")
    start, _, _ = keys.around(b"00001")
    keys.add(b"00001")
    assert b"00001" in keys.around(b"00000")[1] and keys.around(b"00001")[0] == start
