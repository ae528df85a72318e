"""What etcdctl sees of the embedded store."""

import asyncio
import os
import subprocess

import pytest
from etcd_cluster import needs_etcd

from tiphys.store.interface import Put, StoreError


async def etcdctl(client, *arguments: str) -> str:
    where = client.address
    command = ["etcdctl", "--endpoints", where.servers[0], "--cacert", where.ca_file]
    command += ["--cert", where.cert_file, "--key", where.key_file, *arguments]
    environment = {**os.environ, "ETCDCTL_API": "3"}
    ran = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    return ran.stdout + ran.stderr


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
