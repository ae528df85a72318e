"""Snapshots of running stores, what a restoration gives back, and moving between stores."""

import asyncio
import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest
from etcd_cluster import needs_etcd

from tiphys.cluster import snapshots
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.settings import ClusterSettings, DataDirectory
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import Delete, Put, StoreError
from tiphys.store.migration import everything, migrate

NOW = dt.datetime(2026, 3, 1, 4, 5, 6, tzinfo=dt.UTC)


def tiphys(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tiphys", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def filled(path: Path, count: int = 300) -> EmbeddedStore:
    store = await EmbeddedStore.open(path)
    await store.txn([], [Put(b"/registry/pods/a/%d" % number, b"x" * 300) for number in range(count)])
    await store.txn([], [Delete(b"/registry/pods/a/7")])
    return store


async def test_a_snapshot_is_one_moment_of_a_store_in_use(tmp_path) -> None:
    data = DataDirectory(tmp_path / "old")
    data.create()
    (data.pki / "ca.crt").write_text("CA")
    store = await filled(data.db)
    writing = True

    async def go_on() -> None:
        number = 0
        while writing:
            number += 1
            await store.txn([], [Put(b"/registry/twins/%d" % twin, b"%d" % number) for twin in range(2)])

    writer = asyncio.create_task(go_on())
    saved = await asyncio.to_thread(tiphys, "snapshot", "save", "--data-dir", str(data.root), "--to", f"{tmp_path}/s")
    writing = False
    await writer
    await store.close()
    assert saved.returncode == 0, saved.stderr
    restored = await asyncio.to_thread(tiphys, "snapshot", "restore", f"{tmp_path}/s", "--data-dir", f"{tmp_path}/new")
    assert restored.returncode == 0, restored.stderr
    assert (tmp_path / "new" / "pki" / "ca.crt").read_text() == "CA"
    again = await EmbeddedStore.open(tmp_path / "new" / "db")
    found = await everything(again, again.revision)
    assert len([record for record in found if record.key.startswith(b"/registry/pods/")]) == 299
    twins = {record.value for record in found if record.key.startswith(b"/registry/twins/")}
    assert len(twins) <= 1
    await again.close()


async def test_damage_and_places_that_are_taken_are_refused(tmp_path) -> None:
    data = DataDirectory(tmp_path / "old")
    data.create()
    await (await filled(data.db)).close()
    snapshots.save(data, ClusterSettings(), tmp_path / "s", NOW)
    with pytest.raises(ClusterError, match="already holds a cluster"):
        snapshots.restore(tmp_path / "s", data)
    with pytest.raises(ClusterError, match="exists"):
        snapshots.save(data, ClusterSettings(), tmp_path / "s", NOW)
    file = tmp_path / "s" / "db" / "data.mdb"
    file.write_bytes(file.read_bytes().replace(b"xxxx", b"xxxy", 1))
    with pytest.raises(ClusterError, match="is damaged"):
        snapshots.restore(tmp_path / "s", DataDirectory(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    with pytest.raises(ClusterError, match="is not a snapshot"):
        snapshots.restore(tmp_path, DataDirectory(tmp_path / "new"))


async def test_a_restored_cluster_has_its_settings_but_not_its_machine(tmp_path) -> None:
    data, new = DataDirectory(tmp_path / "old"), DataDirectory(tmp_path / "new")
    data.create()
    await (await filled(data.db, 10)).close()
    settings = ClusterSettings(service_cidr="10.7.0.0/16", number=3, advertise_address="10.0.0.1", nodes=2)
    snapshots.save(data, settings, tmp_path / "s", NOW)
    snapshots.restore(tmp_path / "s", new)
    assert new.load_settings() == ClusterSettings(service_cidr="10.7.0.0/16", nodes=2)
    kept = tmp_path / "s" / "cluster.json"
    kept.write_text(kept.read_text().replace('"nodes"', '"of_the_future"'))
    with pytest.raises(ClusterError, match=r"cannot be read \(Object contains unknown field"):
        snapshots.restore(tmp_path / "s", DataDirectory(tmp_path / "newer"))
    assert not (tmp_path / "newer").exists()


def test_settings_of_a_newer_version_are_told_from_damaged_ones(tmp_path) -> None:
    data = DataDirectory(tmp_path)
    data.settings_file.write_text('{"of_the_future": 1}')
    with pytest.raises(ClusterError, match="was written by another version of Tiphys"):
        data.load_settings()
    data.settings_file.write_text('{"nodes": ')
    with pytest.raises(ClusterError, match="is damaged"):
        data.load_settings()


async def test_only_the_newest_are_kept(tmp_path) -> None:
    data = DataDirectory(tmp_path)
    data.create()
    await (await filled(data.db, 10)).close()
    for minute in range(4):
        moment = NOW + dt.timedelta(minutes=minute)
        snapshots.save(data, ClusterSettings(), data.snapshots / snapshots.name_of(moment), moment)
    gone = snapshots.prune(data.snapshots, 2)
    left = [path.name for path, _ in snapshots.list_all(data.snapshots)]
    assert [path.name for path in gone] == ["2026-03-01T04.05.06Z", "2026-03-01T04.06.06Z"]
    assert left == ["2026-03-01T04.07.06Z", "2026-03-01T04.08.06Z"]


@needs_etcd
async def test_objects_move_to_etcd_and_back(empty_member, tmp_path) -> None:
    store = await filled(tmp_path / "db")
    before = {record.key: record.value for record in await everything(store, store.revision)}
    revision = store.revision
    await store.close()
    moved = await migrate(tmp_path / "db", empty_member.address)
    assert (moved.keys, moved.revision > revision) == (299, True)
    with pytest.raises(StoreError, match="already holds a cluster's objects"):
        await migrate(tmp_path / "db", empty_member.address)
    back = await migrate(empty_member.address, tmp_path / "back")
    assert back.revision > moved.revision
    store = await EmbeddedStore.open(tmp_path / "back")
    assert {record.key: record.value for record in await everything(store, store.revision)} == before
    await store.close()
    with pytest.raises(StoreError, match="holds no database"):
        await migrate(tmp_path / "nothing", empty_member.address)
