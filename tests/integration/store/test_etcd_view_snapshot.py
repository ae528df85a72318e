"""A snapshot of the embedded store in etcd's format: etcd's own tools and etcd itself go on with it."""

import asyncio
import os
import subprocess

import msgspec
from etcd_cluster import EtcdCluster, etcdctl, needs_etcd

from tiphys.cluster.etcd_members import restore_arguments
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.etcd.store import EtcdStore
from tiphys.store.interface import Delete, Put, Store
from tiphys.store.migration import everything

_MANY = b"/registry/configmaps/many/%06d"


async def _lived(store: EmbeddedStore) -> int:
    """History that a file of any depth and page size comes out of; returns a revision in the middle of it."""
    for start in range(0, 20_000, 500):  # three levels of pages
        await store.txn([], [Put(_MANY % number, b"%d" % number * 20) for number in range(start, start + 500)])
    await store.txn([], [Delete(_MANY % number) for number in range(0, 20_000, 3)])
    await store.compact(store.revision - 1)
    lease = await store.grant(3600)
    await store.txn([], [Put(b"/registry/leases/held", b"x", lease), Put(b"/registry/empty", b"")])
    middle = store.revision
    await store.txn([], [Put(b"/registry/large", os.urandom(1_000_000)), Put(_MANY % 1, b"again")])
    await store.txn([], [Delete(b"/registry/empty")])
    await store.txn([], [Put(b"/registry/empty", b"back")])
    return middle


async def _events(store: Store, first: int, last: int) -> list[object]:
    """What a watch tells of these revisions."""
    watch, found = store.watch(b"/", b"0", first, previous=False), []
    async with asyncio.timeout(30):
        async for batch in watch:
            found += [(change.revision, change.key, change.record) for change in batch]
            if batch[-1].revision >= last:
                watch.cancel()
    return found


@needs_etcd
async def test_etcd_goes_on_with_a_snapshot(read_only_view, tmp_path) -> None:
    store, client = read_only_view
    middle = await _lived(store)
    file = tmp_path / "snapshot.db"
    assert "Snapshot saved" in await etcdctl(client, "snapshot", "save", str(file))
    told = msgspec.json.decode(await etcdctl(client, "snapshot", "status", str(file), "--write-out=json"))
    assert (told["revision"], told["totalSize"]) == (store.revision, file.stat().st_size - 32)

    cluster = EtcdCluster(tmp_path / "restored", 1)
    command = restore_arguments(file, cluster.members[0])
    environment = {**os.environ, "ETCDCTL_API": "3"}
    restored = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert restored.returncode == 0, restored.stderr
    cluster.start(0)
    try:
        etcd = await EtcdStore.open(cluster.address)
        assert etcd.revision == store.revision
        for revision in (middle, store.revision):
            assert await everything(etcd, revision) == await everything(store, revision)
        assert await _events(etcd, middle, store.revision) == await _events(store, middle, store.revision)
        lease = store.lease_ids()[0]
        left = msgspec.json.decode(await etcdctl(etcd, "lease", "timetolive", f"{lease:x}", "--keys", "-w", "json"))
        assert (left["granted-ttl"], left["keys"]) == (3600, ["L3JlZ2lzdHJ5L2xlYXNlcy9oZWxk"])
        # Its own work on the file: new pages, freed ones, merged ones.
        await etcd.txn([], [Put(_MANY % number, b"new") for number in range(100)])
        await etcd.compact(etcd.revision)
        assert "deleted" not in await etcdctl(etcd, "del", "/registry/configmaps/", "--prefix")
        await etcd.compact(await etcd.newest())
        assert "Finished defragmenting" in await etcdctl(etcd, "defrag")
        assert {record.key for record in await everything(etcd, await etcd.newest())} == {
            b"/registry/leases/held", b"/registry/empty", b"/registry/large"
        }  # fmt: skip
        await etcd.close()
    finally:
        cluster.stop()


async def test_an_empty_store_has_a_snapshot_too(read_only_view, tmp_path) -> None:
    store, client = read_only_view
    assert await client.snapshot(str(tmp_path / "empty.db")) == store.revision
    assert (tmp_path / "empty.db").stat().st_size % 4096 == 32


async def test_a_snapshot_is_of_one_moment(read_only_view, tmp_path) -> None:
    """Writers go on meanwhile: what is written together is in the file together, or not at all."""
    store, client = read_only_view
    writing = True

    async def go_on() -> None:
        number = 0
        while writing:
            number += 1
            await store.txn([], [Put(b"/twins/%d" % twin, b"value-%d-" % number) for twin in range(2)])

    writer = asyncio.create_task(go_on())
    for turn in range(3):
        await client.snapshot(str(tmp_path / f"{turn}.db"))
        content = (tmp_path / f"{turn}.db").read_bytes()
        assert content.count(b"/twins/0") == content.count(b"/twins/1")
    writing = False
    await writer
