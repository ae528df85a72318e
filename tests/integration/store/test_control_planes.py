"""Two control planes on three etcd members: one works, and when it dies the other goes on. Nothing answered is lost."""

import asyncio
import contextlib
import time

import pytest
from control_planes import ControlPlane, create_and_read, follow, ready, serving, until
from etcd_cluster import EtcdCluster, needs_etcd
from msgspec.structs import replace

from tiphys.api.errors import AlreadyExists, ApiError
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, LEASE, POD
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.client import kubeconfig
from tiphys.client.rest import RestClient
from tiphys.cluster.etcd_members import free_ports
from tiphys.cluster.settings import ClusterSettings

LEASE_S = 2.0


@pytest.fixture
def planes(tmp_path):
    cluster = EtcdCluster(tmp_path, 3)
    cluster.start_all()
    ports = free_ports(2)
    first_settings = ClusterSettings(
        runtime="simulated", api_port=ports[0], etcd=cluster.address, lease_duration_s=LEASE_S
    )
    first = ControlPlane(tmp_path / "a", first_settings, None)
    second = ControlPlane(tmp_path / "b", replace(first_settings, api_port=ports[1]), first.data.pki)
    yield first, second, cluster
    for plane in (first, second):
        plane.kill()
    cluster.stop()


@needs_etcd
def test_the_other_goes_on_when_one_is_killed(planes) -> None:
    first, second, cluster = planes
    first.start()
    access = kubeconfig.load([first.data.admin_kubeconfig]).access()

    async def scenario() -> float:
        client = RestClient(replace(access, more_servers=(second.url,)))
        await until(lambda: ready(client), 60)
        second.start()
        other = RestClient(replace(access, server=second.url))
        await until(lambda: ready(other), 60)
        kept: list[str] = []
        writing = asyncio.create_task(_write(client, kept))
        await asyncio.sleep(1.0)
        await asyncio.to_thread(cluster.kill, await asyncio.to_thread(cluster.leader))
        await asyncio.sleep(1.0)
        before = await client.get(LEASE, "kube-scheduler", "kube-system")
        first.kill()
        killed = time.monotonic()

        async def another_leads() -> bool:
            lease = await other.get(LEASE, "kube-scheduler", "kube-system")
            return lease.spec.holder_identity != before.spec.holder_identity

        await until(another_leads, 15)
        took_s = time.monotonic() - killed
        await asyncio.sleep(1.0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        there = {item.metadata.name for item in (await other.list(CONFIGMAP, "default")).items}
        assert len(kept) > 50
        assert set(kept) <= there
        await client.close()
        await other.close()
        return took_s

    took_s = asyncio.run(scenario())
    print(f"another control plane led after {took_s:.2f} s")
    assert took_s < LEASE_S + 3.0


async def _write(client: RestClient, kept: list[str]) -> None:
    for number in range(100_000):
        try:
            await client.create(CONFIGMAP, new(CONFIGMAP, f"c-{number}", "default"))
        except AlreadyExists:
            pass
        except ApiError:
            await asyncio.sleep(0.02)
            continue
        kept.append(f"c-{number}")


@needs_etcd
def test_api_servers_on_one_etcd_agree(planes) -> None:
    first, second, _ = planes
    first.start()
    access = kubeconfig.load([first.data.admin_kubeconfig]).access()

    async def scenario() -> None:
        clients = [RestClient(access), RestClient(replace(access, server=second.url))]
        await until(lambda: ready(clients[0]), 60)
        second.start()
        await until(lambda: ready(clients[1]), 60)
        for number in range(40):
            writer, reader = clients if number % 2 else reversed(clients)
            made = await writer.create(CONFIGMAP, new(CONFIGMAP, f"x-{number}", "default"))
            seen = await reader.get(CONFIGMAP, f"x-{number}", "default")
            assert seen.metadata.resource_version == made.metadata.resource_version
            seen.data = {"a": "b"}
            await reader.update(CONFIGMAP, seen)
            listed = await writer.list(CONFIGMAP, "default")
            assert next(c for c in listed.items if c.metadata.name == f"x-{number}").data == {"a": "b"}
            await writer.delete(CONFIGMAP, f"x-{number}", "default")
            names = {c.metadata.name for c in (await reader.list(CONFIGMAP, "default")).items}
            assert f"x-{number}" not in names
        for client in clients:
            await client.close()

    asyncio.run(scenario())


@needs_etcd
def test_planes_are_restarted_one_by_one_and_no_request_fails(planes) -> None:
    """Readers, writers and a watch on kept connections; each plane is stopped in order and started again, twice."""
    first, second, _ = planes
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
        workers = [asyncio.create_task(create_and_read(n, clients[n % 3], made, failed)) for n in range(12)]
        watching = asyncio.create_task(follow(clients[2], seen))
        for plane in (first, second) * 2:
            await asyncio.sleep(1.0)
            await asyncio.to_thread(plane.restart)
            await serving(plane, access)
        await asyncio.sleep(0.5)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        assert failed == []
        assert len(made) > 100
        await until(lambda: _all(seen >= set(made)), 30)
        watching.cancel()
        for client in clients:
            await client.close()

    asyncio.run(scenario())


@needs_etcd
def test_an_api_server_outlives_the_leases_of_its_control_plane(planes) -> None:
    """Without a majority in etcd the leases are lost. When it is back, the same process leads again and works."""
    plane, _, cluster = planes
    plane.start()
    access = kubeconfig.load([plane.data.admin_kubeconfig]).access()

    async def scenario() -> None:
        client = RestClient(access)
        await until(lambda: ready(client), 60)

        async def runs(name: str) -> bool:
            return (await client.get(POD, name, "default")).status.phase == "Running"

        for turn in range(2):
            for member in (0, 1):
                cluster.freeze(member)
            await asyncio.to_thread(_logged, plane, "no longer leads", 2 * (turn + 1))
            for member in (0, 1):
                cluster.thaw(member)
            pod = new(POD, f"p-{turn}", "default", spec=PodSpec(containers=[Container(name="c", image="i")]))
            await until(lambda pod=pod: _made(client, pod), 60)
            await until(lambda pod=pod: runs(pod.metadata.name), 60)
        assert plane.process.poll() is None
        await client.close()

    asyncio.run(scenario())


@needs_etcd
def test_a_control_plane_ends_in_order_without_etcd(planes) -> None:
    """Nothing that it would like to tell etcd on the way out is waited for long."""
    plane, _, cluster = planes
    plane.start()
    access = kubeconfig.load([plane.data.admin_kubeconfig]).access()

    asyncio.run(serving(plane, access))
    for member in (0, 1):
        cluster.freeze(member)
    began_s = time.monotonic()
    plane.process.terminate()
    assert plane.process.wait(60) == 0
    print(f"ended after {time.monotonic() - began_s:.1f} s")
    log = (plane.data.logs / "log").read_text()
    assert "stopped" in log and "Traceback" not in log
    assert time.monotonic() - began_s < 30, "the supervisor would have killed it"


def _logged(plane: ControlPlane, words: str, times: int) -> None:
    """Wait until its log says so."""
    deadline = time.monotonic() + 60
    while (plane.data.logs / "log").read_text().count(words) < times:
        assert time.monotonic() < deadline and plane.process.poll() is None
        time.sleep(0.05)


async def _made(client: RestClient, pod: Pod) -> bool:
    with contextlib.suppress(AlreadyExists):
        await client.create(POD, pod)
    return True


async def _all(holds: bool) -> bool:
    return holds
