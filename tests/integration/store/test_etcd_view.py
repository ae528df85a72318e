"""What etcdctl sees of the embedded store."""

import pytest
from etcd_cluster import etcdctl, needs_etcd

from tiphys.store.interface import Put, StoreError


@needs_etcd
async def test_etcdctl_reads(read_only_view) -> None:
    store, client = read_only_view
    for name in ("b", "a", "c"):
        await store.txn([], [Put(b"/registry/configmaps/default/" + name.encode(), b"{}")])
    listed = await etcdctl(client, "get", "/registry/", "--prefix", "--keys-only")
    assert listed.split() == [f"/registry/configmaps/default/{name}" for name in "abc"]
    newest = await etcdctl(client, "get", "", "--prefix", "--sort-by=MODIFY", "--order=DESCEND", "--limit=1")
    assert newest.split() == ["/registry/configmaps/default/c", "{}"]
    assert "is healthy" in await etcdctl(client, "endpoint", "health")
    assert "tiphys" in await etcdctl(client, "member", "list")


async def test_nothing_is_written_through_it(read_only_view) -> None:
    _, client = read_only_view
    with pytest.raises(StoreError, match="Method not found"):
        await client.txn([], [Put(b"/registry/x", b"")])
