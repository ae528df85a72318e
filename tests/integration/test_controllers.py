"""Real API server, real controllers, in one process: over the in-process client and over HTTPS.

Nobody runs the pods: the tests mark them ready, and end those that are being deleted, as a kubelet would.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tiphys.api.errors import Conflict, NotFound
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import (
    CONFIGMAP,
    DEPLOYMENT,
    ENDPOINTS,
    ENDPOINTSLICE,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    REPLICASET,
    SERVICE,
    SERVICEACCOUNT,
)
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.service import ServicePort
from tiphys.api.meta.types import LabelSelector, OwnerReference
from tiphys.apiserver.request import User
from tiphys.apiserver.server import ApiServer
from tiphys.apiserver.settings import ApiServerSettings, Bind
from tiphys.base.clock import SystemClock
from tiphys.client.events import EventRecorder
from tiphys.client.interface import Client
from tiphys.client.kubeconfig import Access
from tiphys.client.rest import RestClient
from tiphys.controllers._runtime import ControllerManager
from tiphys.controllers.settings import ControllerSettings
from tiphys.store.embedded.store import EmbeddedStore

TOKEN = "controllers-under-test"


@dataclass
class Cluster:
    client: Client
    """What the test uses; the controllers have their own."""
    manager: ControllerManager

    async def get(self, kind: Kind[Any], name: str, namespace: str = "default") -> Any:
        try:
            return await self.client.get(kind, name, namespace if kind.namespaced else "")
        except NotFound:
            return None

    async def all(self, kind: Kind[Any], namespace: str = "default") -> list[Any]:
        return (await self.client.list(kind, namespace)).items

    async def until(self, what: Callable[[], Any], seconds: float = 15.0) -> Any:
        """Waits until the coroutine that `what` makes gives something true; returns it."""
        async with asyncio.timeout(seconds):
            while True:
                found = await what()
                if found:
                    return found
                await asyncio.sleep(0.02)


async def kubelet(client: Client) -> None:
    """Makes pods ready and ends those that are being deleted."""
    informer = client.informer(POD)
    number = 10
    while True:
        await asyncio.sleep(0.02)
        for pod in list(informer.list()):
            metadata = pod.metadata
            try:
                if metadata.deletion_timestamp is not None:
                    await client.delete(POD, metadata.name, metadata.namespace, grace_period_s=0)
                elif pod.status.phase in ("", "Pending") and "broken" not in pod.spec.containers[0].image:
                    number += 1
                    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                    ip = f"10.244.{number // 250}.{number % 250 + 2}"
                    status = {"phase": "Running", "conditions": [ready], "podIP": ip, "podIPs": [{"ip": ip}]}
                    await client.patch(
                        POD,
                        metadata.name,
                        {"status": status},
                        metadata.namespace,
                        patch_type="strategic",
                        subresource="status",
                    )
            except (NotFound, Conflict):
                continue


@asynccontextmanager
async def running(directory: Path, transport: str) -> AsyncIterator[Cluster]:
    clock = SystemClock()
    store = await EmbeddedStore.open(directory / "db", clock=clock)
    settings = ApiServerSettings(pki_dir=directory / "pki", binds=(Bind("127.0.0.1", 0),), admin_token=TOKEN)
    server = ApiServer(settings, store, clock)
    await server.start()
    clients: list[Client] = []

    def connect(name: str) -> Client:
        if transport == "local":
            client: Client = server.local_client(User(name, groups=("system:masters",)))
        else:
            client = RestClient(Access(server.url, ca=settings.pki.ca_cert.read_bytes(), token=TOKEN), clock)
        clients.append(client)
        return client

    controllers = connect("system:kube-controller-manager")
    recorder = EventRecorder(controllers, clock, "controllers")
    manager = ControllerManager(controllers, clock, recorder, ControllerSettings(root_ca="PEM"))
    work = [manager.run(), recorder.run(), kubelet(connect("kubelet"))]
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield Cluster(connect("test"), manager)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            await client.close()
        await server.stop()
        await store.close()


@pytest.fixture(params=["local", "https"])
async def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with running(tmp_path, request.param) as made:
        await made.until(lambda: made.get(SERVICEACCOUNT, "default"))
        yield made


def deployment(name: str = "web", replicas: int = 3, image: str = "web:1") -> Any:
    obj = new(DEPLOYMENT, name, "default")
    obj.spec.replicas = replicas
    obj.spec.selector = LabelSelector(match_labels={"app": name})
    obj.spec.template.metadata.labels = {"app": name}
    obj.spec.template.spec.containers = [Container(name="c", image=image)]
    # Bound to a node, so that deletion is graceful and ends with the kubelet's word.
    obj.spec.template.spec.node_name = "n1"
    return obj


async def complete(cluster: Cluster, name: str, replicas: int) -> Any:
    async def check() -> Any:
        found = await cluster.get(DEPLOYMENT, name)
        status = found.status
        fresh = status.observed_generation >= found.metadata.generation
        counts = (status.replicas, status.updated_replicas, status.available_replicas)
        return found if fresh and counts == (replicas, replicas, replicas) else None

    return await cluster.until(check)


async def set_image(cluster: Cluster, image: str) -> None:
    containers = {"containers": [{"name": "c", "image": image}]}
    patch = {"spec": {"template": {"spec": containers}}}
    await cluster.client.patch(DEPLOYMENT, "web", patch, "default", patch_type="strategic")


async def test_a_deployment_rolls_out_rolls_on_rolls_back_and_goes(cluster: Cluster) -> None:
    await cluster.client.create(DEPLOYMENT, deployment())
    await complete(cluster, "web", 3)
    (first,) = await cluster.all(REPLICASET)
    assert all(pod.metadata.name.startswith(f"{first.metadata.name}-") for pod in await cluster.all(POD))

    await set_image(cluster, "web:2")
    done = await complete(cluster, "web", 3)
    assert done.metadata.annotations["deployment.kubernetes.io/revision"] == "2"
    assert {pod.spec.containers[0].image for pod in await cluster.all(POD) if not pod.metadata.deletion_timestamp} == {
        "web:2"
    }
    await set_image(cluster, "web:1")
    done = await complete(cluster, "web", 3)
    assert done.metadata.annotations["deployment.kubernetes.io/revision"] == "3"
    assert len(await cluster.all(REPLICASET)) == 2

    async def told() -> Any:
        events = await cluster.all(EVENT)
        messages = {event.message for event in events if event.involved_object.kind == "Deployment"}
        return f"Scaled up replica set {first.metadata.name} from 0 to 3" in messages

    await cluster.until(told)
    await cluster.client.delete(DEPLOYMENT, "web", "default", propagation="Foreground")

    async def gone() -> bool:
        return await cluster.get(DEPLOYMENT, "web") is None and not await cluster.all(POD)

    await cluster.until(gone)
    assert await cluster.all(REPLICASET) == []


async def test_a_deleted_pod_comes_back_and_an_orphaned_set_keeps_its_pods(cluster: Cluster) -> None:
    await cluster.client.create(DEPLOYMENT, deployment(replicas=2))
    await complete(cluster, "web", 2)
    victim = (await cluster.all(POD))[0]
    await cluster.client.delete(POD, victim.metadata.name, "default")

    async def replaced() -> bool:
        names = {pod.metadata.name for pod in await cluster.all(POD)}
        return len(names) == 2 and victim.metadata.name not in names

    await cluster.until(replaced)
    await cluster.client.delete(DEPLOYMENT, "web", "default", propagation="Orphan")

    async def orphaned() -> bool:
        sets = await cluster.all(REPLICASET)
        return await cluster.get(DEPLOYMENT, "web") is None and not sets[0].metadata.owner_references

    await cluster.until(orphaned)
    assert len(await cluster.all(POD)) == 2


async def test_a_service_finds_its_pods(cluster: Cluster) -> None:
    service = new(SERVICE, "web", "default")
    service.spec.selector = {"app": "web"}
    service.spec.ports = [ServicePort(port=80, target_port=8080)]
    await cluster.client.create(SERVICE, service)
    await cluster.client.create(DEPLOYMENT, deployment(replicas=3))
    await complete(cluster, "web", 3)

    async def found() -> bool:
        slices = [each for each in await cluster.all(ENDPOINTSLICE) if each.metadata.generate_name == "web-"]
        endpoints = await cluster.get(ENDPOINTS, "web")
        if not slices or endpoints is None or not endpoints.subsets:
            return False
        ready = [each for made in slices for each in made.endpoints if each.conditions.ready]
        return len(ready) == len(endpoints.subsets[0].addresses) == 3

    await cluster.until(found)
    await cluster.client.delete(SERVICE, "web", "default")

    async def gone() -> bool:
        slices = [each for each in await cluster.all(ENDPOINTSLICE) if each.metadata.generate_name == "web-"]
        return not slices and await cluster.get(ENDPOINTS, "web") is None

    await cluster.until(gone)


async def test_a_namespace_is_furnished_and_emptied(cluster: Cluster) -> None:
    await cluster.client.create(NAMESPACE, new(NAMESPACE, "doomed"))
    await cluster.until(lambda: cluster.get(SERVICEACCOUNT, "default", "doomed"))
    await cluster.until(lambda: cluster.get(CONFIGMAP, "kube-root-ca.crt", "doomed"))
    web = deployment()
    web.metadata.namespace = "doomed"
    await cluster.client.create(DEPLOYMENT, web)

    async def three() -> bool:
        return len(await cluster.all(POD, "doomed")) == 3

    await cluster.until(three)
    await cluster.client.delete(NAMESPACE, "doomed")

    async def gone() -> bool:
        return await cluster.get(NAMESPACE, "doomed") is None

    await cluster.until(gone)
    for kind in (POD, REPLICASET, DEPLOYMENT, CONFIGMAP, SERVICEACCOUNT):
        assert await cluster.all(kind, "doomed") == []


async def test_what_lost_its_owner_goes(cluster: Cluster) -> None:
    parent = await cluster.client.create(CONFIGMAP, new(CONFIGMAP, "parent", "default"))
    child = new(CONFIGMAP, "child", "default")
    child.metadata.owner_references = [
        OwnerReference(api_version="v1", kind="ConfigMap", name="parent", uid=parent.metadata.uid)
    ]
    await cluster.client.create(CONFIGMAP, child)
    await asyncio.sleep(0.2)
    assert await cluster.get(CONFIGMAP, "child") is not None
    await cluster.client.delete(CONFIGMAP, "parent", "default")

    async def gone() -> bool:
        return await cluster.get(CONFIGMAP, "child") is None

    await cluster.until(gone)


async def test_nodes_get_ranges_and_taints(cluster: Cluster) -> None:
    for name in ("n1", "n2"):
        await cluster.client.create(NODE, new(NODE, name))

    async def ranged() -> bool:
        ranges = {(await cluster.get(NODE, name)).spec.pod_cidr for name in ("n1", "n2")}
        return len(ranges - {""}) == 2

    await cluster.until(ranged)
    patch = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    await cluster.client.patch(NODE, "n1", patch, patch_type="strategic", subresource="status")

    async def tainted() -> bool:
        taints = (await cluster.get(NODE, "n1")).spec.taints
        return any(taint.key == "node.kubernetes.io/not-ready" for taint in taints)

    await cluster.until(tainted)


async def test_nothing_that_went_well_was_an_error(cluster: Cluster) -> None:
    await cluster.client.create(DEPLOYMENT, deployment(replicas=200))
    started = time.perf_counter()

    async def all_made() -> bool:
        return len(await cluster.all(POD)) >= 200

    await cluster.until(all_made)
    print(f"200 pods in {time.perf_counter() - started:.2f} s")
    await complete(cluster, "web", 200)
    assert len(await cluster.all(POD)) == 200
    errors = {name: each.errors_total for name, each in cluster.manager.statistics().items() if each.errors_total}
    assert errors == {}
