"""Concurrent clients, with and without members dying: no answered write is lost, no event missed or doubled."""

import asyncio
import os

import pytest
import store_history
from etcd_cluster import EtcdCluster, Network, needs_etcd, run

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
        history, changes = run(_with_harm(cluster, harm))
    finally:
        cluster.stop()
    history.check(changes)
    written = [op for op in history.operations if op.outcome == "written"]
    assert len(written) > 100
    # Service went on: the last writes came long after the harm.
    assert max(op.ended for op in written) - min(op.began for op in written) > 6.0


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
@needs_etcd
def test_a_leader_that_is_cut_off_takes_nothing_along(tmp_path) -> None:
    """Unlike a dead one it is silent: nobody's connection is refused, and it still believes that it leads."""
    network = Network(3)
    try:
        cluster = EtcdCluster(tmp_path, 3, network)
        cluster.start_all()
        try:
            history, changes = run(_with_harm(cluster, "cut leader", seconds=22.0, harmed_s=14.0))
        finally:
            cluster.stop()
    finally:
        network.remove()
    history.check(changes)
    written = [op for op in history.operations if op.outcome == "written"]
    began = min(op.began for op in written)
    # While it was away, from two to fourteen seconds, the others served those who asked them.
    assert sum(began + 5 < op.began < began + 13 for op in written) > 50


async def _with_harm(cluster: EtcdCluster, harm: str, *, seconds: float = 8.0, harmed_s: float = 2.0):
    servers = cluster.address.servers
    stores = []
    for turn in range(3):  # each client asks another member first
        rotated = servers[turn:] + servers[:turn]
        files = (cluster.address.ca_file, cluster.address.cert_file, cluster.address.key_file)
        stores.append(await EtcdStore.open(EtcdAddress(rotated, *files)))
    running = asyncio.create_task(store_history.run(stores, stores[0], keys=3, seconds=seconds))
    await asyncio.sleep(1.0)
    leader = await asyncio.to_thread(cluster.leader)
    victim = leader if "leader" in harm else (leader + 1) % 3
    if "kill" in harm:
        await asyncio.to_thread(cluster.kill, victim)
        await asyncio.sleep(harmed_s)
        cluster.start(victim)
    elif cluster.network is not None:
        cluster.network.cut(victim)
        await asyncio.sleep(harmed_s)
        cluster.network.heal(victim)
    else:
        cluster.freeze(victim)
        await asyncio.sleep(harmed_s)
        cluster.thaw(victim)
    result = await running
    for store in stores:
        await store.close()
    return result
