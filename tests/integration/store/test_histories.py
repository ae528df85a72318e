"""Concurrent clients, with and without members dying: no answered write is lost, no event missed or doubled."""

import asyncio

import pytest
import store_history
from etcd_cluster import EtcdCluster, needs_etcd

from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.etcd.address import EtcdAddress
from tiphys.store.etcd.store import EtcdStore


async def test_histories_of_the_embedded_store_are_linearizable(tmp_path) -> None:
    store = await EmbeddedStore.open(tmp_path / "db")
    history, changes = await store_history.run([store] * 6, store, keys=3, seconds=1.5)
    await store.close()
    assert len(changes) > 100
    assert any(op.outcome == "refused" for op in history.operations)
    history.check(changes)


@pytest.mark.parametrize("harm", ["kill leader", "freeze leader", "kill follower"])
@needs_etcd
def test_histories_over_failing_members_are_linearizable(tmp_path, harm) -> None:
    cluster = EtcdCluster(tmp_path, 3)
    cluster.start_all()
    try:
        history, changes = asyncio.run(_with_harm(cluster, harm))
    finally:
        cluster.stop()
    history.check(changes)
    written = [op for op in history.operations if op.outcome == "written"]
    assert len(written) > 100
    # Service went on: the last writes came long after the harm.
    assert max(op.ended for op in written) - min(op.began for op in written) > 6.0


async def _with_harm(cluster: EtcdCluster, harm: str):
    servers = cluster.address.servers
    stores = []
    for turn in range(3):  # each client asks another member first
        rotated = servers[turn:] + servers[:turn]
        files = (cluster.address.ca_file, cluster.address.cert_file, cluster.address.key_file)
        stores.append(await EtcdStore.open(EtcdAddress(rotated, *files)))
    running = asyncio.create_task(store_history.run(stores, stores[0], keys=3, seconds=8.0))
    await asyncio.sleep(1.0)
    leader = await asyncio.to_thread(cluster.leader)
    victim = leader if "leader" in harm else (leader + 1) % 3
    if "kill" in harm:
        await asyncio.to_thread(cluster.kill, victim)
        await asyncio.sleep(2.0)
        cluster.start(victim)
    else:
        cluster.freeze(victim)
        await asyncio.sleep(2.0)
        cluster.thaw(victim)
    result = await running
    for store in stores:
        await store.close()
    return result
