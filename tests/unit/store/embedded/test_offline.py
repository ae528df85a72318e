"""Checking, compacting and defragmenting a directory that nobody uses."""

from pathlib import Path

import pytest

from tiphys.store.embedded import chunk as chunks
from tiphys.store.embedded import offline
from tiphys.store.embedded.disk import Disk, Work, hot_copy
from tiphys.store.embedded.index import first_position
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import Delete, Put, StoreError


async def filled(path: Path) -> None:
    store = await EmbeddedStore.open(path)
    lease = await store.grant(100)
    await store.txn([], [Put(b"/leased", b"v", lease)])
    for number in range(60):
        await store.txn([], [Put(b"/%d" % (number % 20), b"x" * 5000)])
    await store.txn([], [Delete(b"/0")])
    await store.txn([], [Put(b"/0", b"again")])
    await store.close()


async def test_all_is_well_in_what_a_store_wrote(tmp_path) -> None:
    await filled(tmp_path / "db")
    report = offline.check(tmp_path / "db")
    assert (report.problems, report.revision, report.keys, report.records) == ((), 64, 21, 63)


async def test_compaction_and_defragmentation_give_space_back(tmp_path) -> None:
    await filled(tmp_path / "db")
    assert await offline.compact(tmp_path / "db") == 64
    before, after = offline.defragment(tmp_path / "db")
    assert after < before / 2
    report = offline.check(tmp_path / "db")
    assert (report.problems, report.keys, report.compact_revision, report.size_bytes) == ((), 21, 64, after)
    store = await EmbeddedStore.open(tmp_path / "db")
    assert (store.revision, (await store.get(b"/1")).version) == (64, 3)
    await store.close()


def broken(key: bytes, revision: int, created: int, version: int, lease: int = 0) -> tuple[int, bytes]:
    return first_position(revision), chunks.payload(key, b"v", created, version, lease)


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([broken(b"/a", 2, 2, 1), broken(b"/a", 3, 2, 3)], "/a at revision 3 has version 3 of 2 after version 1 of 2"),
        ([broken(b"/a", 2, 1, 1)], "/a at revision 2 begins, but says it began at 1"),
        ([broken(b"/a", 2, 2, 4)], "/a at revision 2 has version 4 and no beginning"),
        ([broken(b"/a", 2, 2, 1, 7)], "/a is held by lease 7, which is not there"),
    ],
)
def test_records_that_contradict_each_other_are_told(tmp_path, records, problem) -> None:
    disk = Disk.open(tmp_path / "db", 1 << 20)
    disk.commit(Work([(records[0][0], chunks.pack(records))]))
    disk.close()
    assert problem in offline.check(tmp_path / "db").problems


def test_a_directory_without_a_database_is_left_alone(tmp_path) -> None:
    for act in (offline.check, offline.defragment):
        with pytest.raises(StoreError, match="holds no database"):
            act(tmp_path)
    assert not list(tmp_path.iterdir())


async def test_a_hot_copy_is_a_data_directory(tmp_path) -> None:
    await filled(tmp_path / "db")
    assert hot_copy(tmp_path / "db", tmp_path / "copy") == 64
    assert offline.check(tmp_path / "copy").problems == ()


async def test_another_format_is_refused_before_anything_is_written(tmp_path) -> None:
    await filled(tmp_path / "db")
    (tmp_path / "db" / "FORMAT").write_bytes(b"tiphys-store-9\n")
    before = (tmp_path / "db" / "data.mdb").read_bytes()
    with pytest.raises(StoreError, match=r"is in format tiphys-store-9, this program reads tiphys-store-1"):
        await EmbeddedStore.open(tmp_path / "db")
    assert (tmp_path / "db" / "data.mdb").read_bytes() == before
