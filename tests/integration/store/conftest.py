"""The stores that one suite runs against: each test gets one that looks new, whatever etcd kept of earlier tests."""

import asyncio
import datetime as dt
import itertools
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from etcd_cluster import EtcdCluster, installed
from from_nothing import FromNothing

from tiphys.cluster.etcd_members import EtcdCertificates, EtcdMember
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.etcd.serving import EtcdView
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


@pytest.fixture
def empty_member(tmp_path_factory):
    """For who needs an etcd that no test wrote to."""
    cluster = _cluster(tmp_path_factory, 1)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def three_members(tmp_path_factory):
    cluster = _cluster(tmp_path_factory, 3)
    yield cluster
    cluster.stop()


@asynccontextmanager
async def viewed(directory: Path, *, read_only: bool = False):
    """(an embedded store, etcd's client over what it shows)"""
    inner = await EmbeddedStore.open(directory / "db")
    certificates = EtcdCertificates(directory / "pki")
    certificates.create((), dt.datetime.now(dt.UTC))
    member, ca = certificates.pair("member"), certificates.pair("ca").certificate
    view = EtcdView(inner, read_only=read_only)
    await view.start("127.0.0.1", 0, ca, member.certificate, member.key)
    client = await EtcdStore.open(certificates.address([EtcdMember("a", directory, "127.0.0.1", view.port, 0)]))
    try:
        yield inner, client
    finally:
        await client.close()
        await view.stop()
        await inner.close()


@pytest_asyncio.fixture(loop_scope="session")
async def read_only_view(tmp_path: Path):
    """(an embedded store, etcd's client that may only read)"""
    async with viewed(tmp_path, read_only=True) as both:
        yield both


@pytest_asyncio.fixture(loop_scope="session", params=["embedded", "etcd view", "etcd-1", "etcd-3"])
async def store(request, tmp_path: Path):
    if request.param == "embedded":
        opened = await EmbeddedStore.open(tmp_path / "db")
        yield opened
        await opened.close()
        return
    if request.param == "etcd view":
        async with viewed(tmp_path) as (_, client):
            yield client
        return
    if not installed():
        pytest.skip("etcd is not installed (`tiphys install --etcd` brings it)")
    name = "one_member" if request.param == "etcd-1" else "three_members"
    cluster = await asyncio.to_thread(request.getfixturevalue, name)
    inner = await EtcdStore.open(cluster.address)
    yield await FromNothing.over(inner, b"/test-%d" % next(_numbers))
    await inner.close()


def pytest_collection_modifyitems(items) -> None:
    """One loop for all: gRPC loses events once a loop of its is gone."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
