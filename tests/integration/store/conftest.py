"""The stores that one suite runs against: each test gets one that looks new, whatever etcd kept of earlier tests."""

import asyncio
import itertools
from pathlib import Path

import pytest
from etcd_cluster import EtcdCluster, installed
from from_nothing import FromNothing

from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.etcd.store import EtcdStore

_numbers = itertools.count(1)


def _cluster(tmp_path_factory, size: int) -> EtcdCluster:
    cluster = EtcdCluster(tmp_path_factory.mktemp(f"etcd-{size}"), size)
    cluster.start_all()
    return cluster


@pytest.fixture(scope="session")
def one_member(tmp_path_factory):
    cluster = _cluster(tmp_path_factory, 1)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def three_members(tmp_path_factory):
    cluster = _cluster(tmp_path_factory, 3)
    yield cluster
    cluster.stop()


@pytest.fixture(params=["embedded", "etcd-1", "etcd-3"])
async def store(request, tmp_path: Path):
    if request.param == "embedded":
        opened = await EmbeddedStore.open(tmp_path / "db")
        yield opened
        await opened.close()
        return
    if not installed():
        pytest.skip("etcd is not installed (`tiphys install --etcd` brings it)")
    name = "one_member" if request.param == "etcd-1" else "three_members"
    cluster = await asyncio.to_thread(request.getfixturevalue, name)
    inner = await EtcdStore.open(cluster.address)
    yield await FromNothing.over(inner, b"/test-%d" % next(_numbers))
    await inner.close()
