"""Control planes of two versions on one etcd: one after the other is replaced, forth and back, and no request fails.

The other version is that of TIPHYS_PREVIOUS (a directory with `tiphys` in it), else of fifty commits ago, where the
history is there.
"""

import asyncio
import io
import os
import subprocess
import tarfile
from pathlib import Path

import msgspec
import pytest
from control_planes import ControlPlane, create_and_read, follow, ready, serving, until
from etcd_cluster import EtcdCluster, needs_etcd
from msgspec.structs import replace

from tiphys.client import kubeconfig
from tiphys.client.rest import RestClient
from tiphys.cluster.etcd_members import free_ports
from tiphys.cluster.settings import ClusterSettings

COMMITS = 50
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def previous(tmp_path_factory) -> Path:
    """Where the other version's package is."""
    if chosen := os.environ.get("TIPHYS_PREVIOUS"):
        return Path(chosen)
    command = ["git", "-C", str(REPOSITORY), "archive", f"HEAD~{COMMITS}", "src"]
    archive = subprocess.run(command, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip("no history here, and TIPHYS_PREVIOUS names no other version")
    directory = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(directory, filter="data")
    return directory / "src"


@pytest.fixture
def planes(tmp_path):
    cluster = EtcdCluster(tmp_path, 1)
    cluster.start_all()
    ports = free_ports(2)
    settings = ClusterSettings(runtime="simulated", api_port=ports[0], etcd=cluster.address)
    first = ControlPlane(tmp_path / "a", settings, None)
    second = ControlPlane(tmp_path / "b", replace(settings, api_port=ports[1]), first.data.pki)
    usual = msgspec.json.decode(msgspec.json.encode(ClusterSettings()))
    for plane in (first, second):  # as a version wrote it that knew no more than this
        said = msgspec.json.decode(plane.data.settings_file.read_bytes())
        told = {name: value for name, value in said.items() if value != usual[name]}
        plane.data.settings_file.write_bytes(msgspec.json.encode(told))
    yield first, second
    for plane in (first, second):
        plane.kill()
    cluster.stop()


@needs_etcd
def test_a_rolling_upgrade_and_the_way_back_cost_no_request(planes, previous) -> None:
    first, second = planes
    older, newer = {"PYTHONPATH": str(previous)}, {"PYTHONPATH": str(REPOSITORY / "src")}
    for plane in planes:
        plane.environment = older
    first.start()
    access = kubeconfig.load([first.data.admin_kubeconfig]).access()

    async def scenario() -> None:
        clients = [
            RestClient(replace(access, server=one.url, more_servers=(other.url,)))
            for one, other in ((first, second), (second, first), (first, second))
        ]
        await until(lambda: ready(clients[0]), 60)
        second.start()
        await serving(second, access)
        failed: list[str] = []
        made: list[str] = []
        seen: set[str] = set()
        workers = [asyncio.create_task(create_and_read(n, clients[n % 3], made, failed)) for n in range(6)]
        watching = asyncio.create_task(follow(clients[2], seen))
        for plane, version in ((first, newer), (second, newer), (first, older), (second, older)):
            await asyncio.sleep(0.5)
            plane.environment = version
            await asyncio.to_thread(plane.restart)
            await serving(plane, access)
        await asyncio.sleep(0.5)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        assert failed == []
        assert len(made) > 50

        async def all_seen() -> bool:
            return seen >= set(made)

        await until(all_seen, 30)
        watching.cancel()
        for client in clients:
            await client.close()

    asyncio.run(scenario())
