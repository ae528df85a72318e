"""What every store promises, asked of each: embedded, one etcd member, three."""

import asyncio

import pytest

from tiphys.store.interface import (
    Compacted,
    Compare,
    Delete,
    FutureRevision,
    LeaseNotFound,
    Put,
    Record,
    StoreError,
)


async def put(store, key: bytes, value: bytes = b"v", lease: int = 0) -> int:
    return (await store.txn([], [Put(key, value, lease)])).revision


async def collect(watch, count: int):
    async def read():
        seen = []
        async for batch in watch:
            seen.append(batch)
            if sum(map(len, seen)) >= count:
                return seen
        return seen

    try:
        return await asyncio.wait_for(read(), 10)
    finally:
        watch.cancel()


async def test_revisions_begin_at_one_and_grow_by_one(store) -> None:
    assert await store.newest() == 1
    assert [await put(store, b"/%d" % n) for n in range(3)] == [2, 3, 4]
    assert (await store.txn([], [Delete(b"/nobody")])).revision == 4
    assert store.revision == await store.newest() == 4


async def test_a_record_tells_its_life(store) -> None:
    await put(store, b"/a", b"1")
    await put(store, b"/b")
    await put(store, b"/a", b"2")
    assert await store.get(b"/a") == Record(b"/a", b"2", 2, 4, 2)
    assert await store.get(b"/a", revision=3) == Record(b"/a", b"1", 2, 2, 1)
    assert await store.get(b"/none") is None


async def test_ranges_are_ordered_paged_and_of_one_moment(store) -> None:
    for name in (b"c", b"a", b"b"):
        await put(store, b"/r/" + name)
    page = await store.range(b"/r/", b"/r0", limit=2)
    await store.txn([], [Delete(b"/r/c"), Put(b"/r/d", b"")])
    assert ([record.key for record in page.records], page.count, page.more) == ([b"/r/a", b"/r/b"], 3, True)
    rest = await store.range(b"/r/b\0", b"/r0", revision=page.revision)
    assert ([record.key for record in rest.records], rest.revision) == ([b"/r/c"], page.revision)
    assert [record.key for record in (await store.range(b"/r/", b"/r0")).records] == [b"/r/a", b"/r/b", b"/r/d"]
    assert (await store.range(b"/r0", b"/r/")).records == []


async def test_a_transaction_is_all_or_nothing(store) -> None:
    created = await store.txn([Compare(b"/a", 0)], [Put(b"/a", b"1"), Put(b"/b", b"1")])
    assert created.succeeded
    refused = await store.txn([Compare(b"/a", 0), Compare(b"/b", created.revision)], [Delete(b"/a"), Delete(b"/b")])
    assert not refused.succeeded
    assert [record.value for record in refused.failed] == [b"1", b"1"]
    assert refused.revision == created.revision
    done = await store.txn([Compare(b"/a", created.revision)], [Delete(b"/a"), Put(b"/b", b"2")])
    assert (done.succeeded, await store.get(b"/a"), (await store.get(b"/b")).version) == (True, None, 2)


async def test_a_key_stands_once_in_a_transaction(store) -> None:
    with pytest.raises(StoreError, match="duplicate key given in txn request"):
        await store.txn([], [Put(b"/a", b"1"), Put(b"/a", b"2")])
    assert await store.get(b"/a") is None


async def test_the_future_and_the_forgotten_are_refused(store) -> None:
    for n in range(4):
        await put(store, b"/a", b"%d" % n)
    with pytest.raises(FutureRevision):
        await store.get(b"/a", revision=99)
    await store.compact(4)
    assert store.compact_revision == 4
    assert (await store.get(b"/a", revision=4)).value == b"2"
    with pytest.raises(Compacted) as told:
        await store.range(b"/", b"0", revision=3)
    assert told.value.compact_revision == 4
    for revision in (3, 4):
        with pytest.raises(Compacted):
            await store.compact(revision)
    with pytest.raises(FutureRevision):
        await store.compact(99)
    with pytest.raises(Compacted):
        await collect(store.watch(b"/", b"0", 2), 1)


async def test_a_deletion_at_the_revision_of_the_compaction_is_told_or_refused(store) -> None:
    await put(store, b"/a", b"1")
    gone = (await store.txn([], [Delete(b"/a")])).revision
    await put(store, b"/b", b"1")
    await store.compact(gone)
    try:
        seen = await collect(store.watch(b"/", b"0", gone), 2)
    except Compacted:
        seen = await collect(store.watch(b"/", b"0", gone + 1), 1)
        assert [change.key for batch in seen for change in batch] == [b"/b"]
    else:
        assert [change.key for batch in seen for change in batch] == [b"/a", b"/b"]


async def test_a_watch_tells_the_past_and_the_future_once(store) -> None:
    await put(store, b"/a", b"1")
    await store.txn([], [Put(b"/a", b"2"), Put(b"/b", b"1"), Put(b"1", b"outside")])
    watch = store.watch(b"/", b"0", 2)
    reading = asyncio.create_task(collect(watch, 5))
    await asyncio.sleep(0.05)
    await store.txn([], [Delete(b"/a")])
    await put(store, b"/b", b"2")
    changes = [change for batch in await reading for change in batch]
    assert [(change.revision, change.key, change.record and change.record.value) for change in changes] == [
        (2, b"/a", b"1"), (3, b"/a", b"2"), (3, b"/b", b"1"), (4, b"/a", None), (5, b"/b", b"2"),
    ]  # fmt: skip


async def test_a_revision_is_never_split(store) -> None:
    await store.txn([], [Put(b"/%03d" % n, b"x" * 1000) for n in range(100)])
    batches = await collect(store.watch(b"/", b"0", 2), 100)
    assert [len(batch) for batch in batches] == [100]


async def test_a_watch_from_now_tells_nothing_of_before(store) -> None:
    await put(store, b"/a")
    reading = asyncio.create_task(collect(store.watch(b"/", b"0", 0), 1))
    await asyncio.sleep(0.05)
    await put(store, b"/b")
    assert [change.key for batch in await reading for change in batch] == [b"/b"]


async def test_a_cancelled_watch_ends(store) -> None:
    watch = store.watch(b"/", b"0", 0)
    reading = asyncio.create_task(collect(watch, 1))
    await asyncio.sleep(0.05)
    watch.cancel()
    watch.cancel()
    assert await asyncio.wait_for(reading, 5) == []


async def test_what_stood_there_before_is_told(store) -> None:
    await put(store, b"/a", b"1")
    await put(store, b"/a", b"2")
    (change,) = [c for batch in await collect(store.watch(b"/", b"0", 3), 1) for c in batch]
    assert change.previous == Record(b"/a", b"1", 2, 2, 1)


async def test_keys_go_with_their_lease(store) -> None:
    lease = await store.grant(600)
    assert await store.keep_alive(lease) == 600
    await put(store, b"/kept", b"v")
    await store.txn([], [Put(b"/a", b"1", lease), Put(b"/b", b"1", lease)])
    assert (await store.get(b"/a")).lease == lease
    await put(store, b"/b", b"2")  # without the lease: it stays
    await store.revoke(lease)
    assert [record.key for record in (await store.range(b"/", b"0")).records] == [b"/b", b"/kept"]
    for refused in (store.keep_alive(lease), store.revoke(lease), put(store, b"/c", lease=lease)):
        with pytest.raises(LeaseNotFound):
            await refused


async def test_a_lease_that_nobody_keeps_ends(store) -> None:
    lease = await store.grant(1)
    await put(store, b"/short", lease=lease)
    changes = await collect(store.watch(b"/", b"0", store.revision + 1), 1)
    assert (changes[0][0].key, changes[0][0].record) == (b"/short", None)


async def test_a_snapshot_is_new_and_complete(store, tmp_path) -> None:
    await put(store, b"/a", b"x" * 100_000)
    assert await store.snapshot(str(tmp_path / "copy")) == 2
    with pytest.raises(StoreError, match="give a snapshot a new path"):
        await store.snapshot(str(tmp_path / "copy"))


async def test_of_writers_at_one_time_one_wins(store) -> None:
    tries = [store.txn([Compare(b"/one", 0)], [Put(b"/one", b"%d" % n)]) for n in range(20)]
    results = await asyncio.gather(*tries)
    assert sum(result.succeeded for result in results) == 1
