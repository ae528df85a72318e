"""Pages of records: where they meet, what a write forgets, how much there may be."""

from tiphys.store.embedded.pages import ASKED_MIN, Page, Pages
from tiphys.store.interface import Record


def record(key: bytes, value: bytes = b"") -> Record:
    return Record(key, value, 1, 1, 1)


def page(start: bytes, end: bytes, *keys: bytes, since: int = 5, size: int = 0) -> Page:
    return Page.of(start, end, since, [record(key, b"x" * size) for key in keys])


def told(pages: Pages, start: bytes, end: bytes, limit: int = 9) -> list[bytes] | None:
    found = pages.range(start, end, limit)
    return None if found is None else [one.key for one in found]


def test_ranges_over_pages_without_a_gap() -> None:
    pages = Pages()
    assert told(pages, b"a", b"c") is None
    pages.add(page(b"m", b"z", b"n", b"o"))
    pages.add(page(b"", b"d", b"a", b"c"))
    assert told(pages, b"a", b"d") == [b"a", b"c"]
    assert told(pages, b"a", b"n") is None
    pages.add(page(b"d", b"m"))
    assert told(pages, b"b", b"o") == [b"c", b"n"]
    assert told(pages, b"e", b"f") == []
    assert told(pages, b"o", b"zz") is None
    assert told(pages, b"a", b"c", limit=4) is None, "of a time before the page"


def test_a_write_between_the_keys_forgets_the_page() -> None:
    pages = Pages()
    pages.add(page(b"", b"d", b"a"))
    pages.add(page(b"d", b"h", b"e"))
    pages.forget(b"b")
    pages.forget(b"x")
    assert (told(pages, b"a", b"b"), told(pages, b"d", b"h")) == (None, [b"e"])


def test_a_page_takes_the_place_of_those_it_overlaps() -> None:
    pages = Pages()
    for start, end in ((b"a", b"c"), (b"c", b"e"), (b"e", b"g")):
        pages.add(page(start, end, start))
    pages.add(page(b"b", b"d", b"b", b"c"))
    assert told(pages, b"b", b"d") == [b"b", b"c"]
    assert (told(pages, b"a", b"b"), told(pages, b"d", b"e"), told(pages, b"e", b"f")) == (None, None, [b"e"])


def test_there_are_no_more_than_fit() -> None:
    pages = Pages(limit_bytes=5000)
    for number in range(10):
        name = b"%d" % number
        pages.add(page(name, name + b"~", name, size=1000))
        assert told(pages, name, name + b"~") == [name]
    kept = [number for number in range(10) if told(pages, b"%d" % number, b"%d~" % number)]
    assert len(kept) == 3
    pages.add(page(b"x", b"y", b"x", size=6000))
    assert told(pages, b"x", b"y") is None


def test_who_reads_all_once_makes_no_pages() -> None:
    pages = Pages()
    assert [pages.wants(b"a") for _ in range(ASKED_MIN)] == [False] * (ASKED_MIN - 1) + [True]
    assert not pages.wants(b"a")
