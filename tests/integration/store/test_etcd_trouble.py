"""What is told when etcd cannot be used, and that it is used again when it can."""

import asyncio
import datetime as dt
import shutil
import socket

import pytest
from etcd_cluster import EtcdCluster, needs_etcd, run
from msgspec.structs import replace

from tiphys.cluster.etcd_members import EtcdCertificates, free_ports
from tiphys.store.etcd import members
from tiphys.store.etcd.address import EtcdAddress, parse_servers
from tiphys.store.etcd.store import EtcdStore
from tiphys.store.interface import Put, StoreError, StoreFailed


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        (EtcdAddress(()), "no server is named"),
        (EtcdAddress(("127.0.0.1:2379",)), r"'127.0.0.1:2379' is not an address: write https://HOST:PORT"),
        (EtcdAddress(("https://host:port",)), "is not an address"),
    ],
)
async def test_addresses_that_cannot_be_right(address, problem) -> None:
    with pytest.raises(StoreError, match=problem):
        await EtcdStore.open(address)


async def test_files_that_cannot_be_used(tmp_path) -> None:
    servers = ("https://127.0.0.1:1",)
    with pytest.raises(StoreError, match=r"ca.crt cannot be read"):
        await EtcdStore.open(EtcdAddress(servers, str(tmp_path / "ca.crt")))
    with pytest.raises(StoreError, match="a client certificate needs its key"):
        await EtcdStore.open(EtcdAddress(servers, "", str(tmp_path / "client.crt")))


def test_servers_as_the_flag_has_them() -> None:
    assert parse_servers("https://a:1, https://b:2/,") == ("https://a:1", "https://b:2")


async def test_nobody_there(monkeypatch) -> None:
    monkeypatch.setattr("tiphys.store.etcd.store._OPEN_TIMEOUT_S", 0.5)
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(StoreFailed, match=f"no etcd member answers \\({url}\\)"):
        await EtcdStore.open(EtcdAddress((url,)))


@needs_etcd
async def test_certificates_of_another_are_refused(one_member, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tiphys.store.etcd.store._OPEN_TIMEOUT_S", 1.0)
    others = EtcdCertificates(tmp_path)
    others.create((), dt.datetime.now(dt.UTC))
    right, strange = one_member.address, others.address(one_member.members)
    for wrong, told in (
        (replace(right, ca_file=strange.ca_file), f"its certificate is not signed by {strange.ca_file}"),
        (replace(strange, ca_file=right.ca_file), f"it does not accept the client certificate {strange.cert_file}"),
        (EtcdAddress((right.servers[0].replace("https", "http"),)), "does it want TLS"),
    ):
        with pytest.raises(StoreFailed, match=told):
            await EtcdStore.open(wrong)


@needs_etcd
def test_without_a_majority_writes_fail_clearly_and_later_work_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(members, "CALL_TIMEOUT_S", 3.0)
    cluster = EtcdCluster(tmp_path, 3)
    cluster.start_all()

    async def scenario() -> None:
        store = await EtcdStore.open(cluster.address)
        await store.txn([], [Put(b"/a", b"1")])
        cluster.kill(1)
        cluster.kill(2)
        with pytest.raises(StoreFailed, match=r"etcd has no leader: too few of its members|did not answer in time"):
            await store.txn([], [Put(b"/a", b"2")])
        assert store.failure
        cluster.start(1)
        async with asyncio.timeout(20):
            while True:
                try:
                    await store.txn([], [Put(b"/a", b"3")])
                    break
                except StoreFailed:
                    await asyncio.sleep(0.2)
        assert store.failure == ""
        record = await store.get(b"/a")
        assert record is not None
        assert record.value == b"3"
        await store.close()

    try:
        run(scenario())
    finally:
        cluster.stop()


@needs_etcd
async def test_a_watch_passes_by_a_member_that_takes_connections_and_is_silent(one_member) -> None:
    right = one_member.address
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = (*right.servers, f"https://127.0.0.1:{silent.getsockname()[1]}")
        store = await EtcdStore.open(replace(right, servers=servers))
        written = await store.txn([], [Put(b"/silent/a", b"1")])
        watch = store.watch(b"/silent/", b"/silent0", written.revision)
        # As one that was of the cluster before it was cut off.
        store._members._known.add(1)
        store._members._current = 1
        changes = await asyncio.wait_for(anext(aiter(watch)), 12)
        assert [change.key for change in changes] == [b"/silent/a"]
        watch.cancel()
        await store.close()


@needs_etcd
async def test_a_full_database_is_told_as_such(one_member, monkeypatch) -> None:
    error = members.grpc.aio.AioRpcError(
        members.grpc.StatusCode.RESOURCE_EXHAUSTED, None, None, "etcdserver: mvcc: database space exceeded"
    )
    assert isinstance(members.refusal(error), StoreFailed)
    assert str(members.refusal(error)) == "etcd: etcdserver: mvcc: database space exceeded"


@needs_etcd
def test_a_member_of_another_cluster_is_refused(tmp_path) -> None:
    """The same certificates, another cluster: what was begun at one is not gone on with at the other."""
    one = EtcdCluster(tmp_path / "one", 1)
    shutil.copytree(tmp_path / "one" / "pki", tmp_path / "two" / "pki")
    two = EtcdCluster(tmp_path / "two", 1)
    try:
        one.start_all()
        two.start_all()
        both = replace(one.address, servers=(*one.address.servers, *two.address.servers))

        async def scenario() -> None:
            store = await EtcdStore.open(both)
            await store.txn([], [Put(b"/a", b"1")])
            await asyncio.to_thread(one.kill, 0)
            with pytest.raises(StoreError, match="is a member of another cluster"):
                await store.get(b"/a")
            with pytest.raises(StoreError, match=r"another cluster|answer"):
                await store.txn([], [Put(b"/b", b"1")])
            await store.close()
            alone = await EtcdStore.open(two.address)
            assert await alone.get(b"/b") is None, "nothing was written there"
            await alone.close()

        run(scenario())
    finally:
        one.stop()
        two.stop()
