"""Failures and limits of the embedded store."""

import asyncio
import errno
from pathlib import Path

import pytest

from tiphys.base import failpoint
from tiphys.store.embedded import watching
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import Compacted, Compare, Delete, LeaseNotFound, Put, StoreError, StoreFailed
from tiphys.testing.clock import FakeClock


@pytest.fixture
async def store(tmp_path):
    opened = await EmbeddedStore.open(tmp_path / "db", clock=FakeClock())
    yield opened
    await opened.close()


async def put(store, key: bytes, value: bytes = b"v") -> int:
    return (await store.txn([], [Put(key, value)])).revision


async def test_a_full_disk_fails_what_is_in_flight_and_nothing_else(store) -> None:
    await put(store, b"/a", b"old")
    lease = await store.grant(100)

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with failpoint.armed("store.before-commit", full):
        results = await asyncio.gather(
            store.txn([], [Put(b"/a", b"new", lease)]),
            store.txn([], [Put(b"/b", b"new")]),
            store.txn([Compare(b"/b", 3)], [Delete(b"/b")]),
            return_exceptions=True,
        )
    assert [type(result) for result in results] == [StoreFailed] * 3
    assert str(results[0]) == f"{store.path}: no space left on the disk: free some, then try again"
    assert store.revision == 2
    assert (await store.get(b"/a")).value == b"old"
    assert await store.get(b"/b") is None
    # There is room again: the same revisions are given anew, and the lease holds nothing.
    assert (await store.txn([Compare(b"/a", 2)], [Put(b"/a", b"newer")])).revision == 3
    await store.revoke(lease)
    assert (await store.get(b"/a")).version == 2


async def test_an_io_error_ends_writing_for_good(store) -> None:
    await put(store, b"/a")
    watch = aiter(store.watch(b"/", b"0", 0))
    with failpoint.armed("store.before-commit", "errno:EIO"), pytest.raises(StoreFailed, match="check the disk"):
        await put(store, b"/b")
    with pytest.raises(StoreFailed, match="then restart"):
        await put(store, b"/c")
    with pytest.raises(StoreFailed):
        await anext(watch)
    assert (await store.get(b"/a")).value == b"v"


async def test_the_quota_refuses_puts_and_lets_deletes_make_room(tmp_path) -> None:
    store = await EmbeddedStore.open(tmp_path / "db", quota_bytes=200_000)
    for count in range(4):
        await put(store, b"/%d" % count, b"x" * 50_000)
    with pytest.raises(StoreFailed, match="its quota is 200000: delete objects, or start with a larger quota"):
        await put(store, b"/more")
    for count in range(4):
        await store.txn([], [Delete(b"/%d" % count)])
    await store.compact(store.revision)
    assert store.live_bytes < 1000
    await put(store, b"/again", b"x" * 50_000)
    await store.close()


async def test_writers_are_answered_after_readers_can_see(store) -> None:
    seen: list[tuple[int, bytes]] = []
    store.tap(lambda revision, changes: seen.extend((revision, change.key) for change in changes))
    revision = await put(store, b"/a")
    assert seen == [(revision, b"/a")]
    assert store.revision == revision


async def test_nothing_is_visible_before_it_is_durable(store) -> None:
    writing = asyncio.create_task(put(store, b"/a"))
    await asyncio.sleep(0)
    assert store.revision == 1
    assert await store.get(b"/a") is None
    refused = await store.txn([Compare(b"/a", 0)], [Put(b"/a", b"other")])
    # The refusal depended on the write in flight, and so waited for it.
    assert writing.done() or store.revision == 2
    assert refused.failed[0].value == b"v"
    await writing


async def test_a_cancelled_writer_takes_nobody_along(store) -> None:
    first = asyncio.create_task(put(store, b"/a"))
    second = asyncio.create_task(put(store, b"/b"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 3


async def test_a_slow_watcher_reads_from_disk_what_it_missed(store, monkeypatch) -> None:
    monkeypatch.setattr(watching, "MAX_QUEUED", 4)
    watch = aiter(store.watch(b"/", b"0", 0))
    for count in range(20):
        await put(store, b"/%d" % count)
    seen: list[int] = []
    while len(seen) < 20:
        seen += [change.revision for change in await anext(watch)]
    assert seen == list(range(2, 22))


async def exhausted(watch) -> None:
    async for _ in watch:
        pass


async def test_a_watcher_overtaken_by_compaction_is_told(store, monkeypatch) -> None:
    monkeypatch.setattr(watching, "MAX_QUEUED", 1)
    watch = aiter(store.watch(b"/", b"0", 0))
    for _ in range(6):
        await put(store, b"/a")
    await store.compact(store.revision)
    with pytest.raises(Compacted):
        await exhausted(watch)


async def test_a_key_may_stand_once_in_a_transaction(store) -> None:
    with pytest.raises(StoreError, match="duplicate key"):
        await store.txn([], [Put(b"/a", b"1"), Delete(b"/b"), Put(b"/a", b"2")])


async def test_an_unknown_lease_is_refused(store) -> None:
    with pytest.raises(LeaseNotFound):
        await store.txn([], [Put(b"/a", b"1", 4711)])


async def test_directories_that_are_not_ours_are_refused(tmp_path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(StoreError, match=r"holds something else \(letters.txt\): give an empty directory"):
        await EmbeddedStore.open(tmp_path)
    file = tmp_path / "letters.txt"
    with pytest.raises(StoreError, match="cannot be used as a data directory"):
        await EmbeddedStore.open(file)


@pytest.mark.parametrize("harm", ["empty", "garbage", "truncated", "flipped"])
async def test_a_damaged_database_is_named_with_what_to_do(tmp_path, harm) -> None:
    store = await EmbeddedStore.open(tmp_path / "db")
    for count in range(50):
        await put(store, b"/%d" % count, b"value" * 500)
    await store.close()
    _harm(tmp_path / "db" / "data.mdb", harm)
    with pytest.raises(StoreError, match=r"is damaged .*: restore a snapshot into an empty directory, or move it away"):
        await EmbeddedStore.open(tmp_path / "db")


def _harm(file: Path, harm: str) -> None:
    data = bytearray(file.read_bytes())
    if harm == "empty":
        data = bytearray()
    elif harm == "garbage":
        data[:8192] = b"\x17" * 8192
    elif harm == "truncated":
        del data[len(data) // 2 :]
    else:
        data = data.replace(b"valuevalue", b"valuevAlue")  # also in pages that are free by now
    file.write_bytes(data)


async def test_another_format_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tiphys.store.embedded.chunk.FORMAT", b"tiphys-store-9")
    await (await EmbeddedStore.open(tmp_path / "db")).close()
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"is in format tiphys-store-9.* use the version of Tiphys that wrote it"):
        await EmbeddedStore.open(tmp_path / "db")


async def test_a_snapshot_does_not_overwrite(store, tmp_path) -> None:
    await put(store, b"/a")
    assert await store.snapshot(str(tmp_path / "copy")) == 2
    with pytest.raises(StoreError, match="give a snapshot a new path"):
        await store.snapshot(str(tmp_path / "copy"))


async def test_a_closed_store_says_so(tmp_path) -> None:
    store = await EmbeddedStore.open(tmp_path / "db")
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="the store is closed"):
        await store.get(b"/a")
