"""The control plane of `tiphys up` in one process: API server first, then everything that lives on it.

The API answers before controllers and scheduler are even imported: people and nodes can connect while numpy loads.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from tiphys.cluster.certificates import ADMIN_GROUP
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.metrics_api import SERVICE as METRICS_SERVICE
from tiphys.cluster.metrics_api import ClusterMetrics
from tiphys.cluster.metrics_api import register as register_metrics
from tiphys.cluster.service import serve
from tiphys.cluster.settings import ClusterSettings, DataDirectory
from tiphys.cluster.supervisor import guard

if TYPE_CHECKING:
    from tiphys.apiserver.server import ApiServer
    from tiphys.apiserver.settings import ApiServerSettings
    from tiphys.base.clock import Clock
    from tiphys.client.events import EventRecorder
    from tiphys.client.interface import Client
    from tiphys.store.etcd.store import EtcdStore

log = logging.getLogger(__name__)

_SWITCH_INTERVAL_S = 0.0005
"""The store's writer thread asks for the interpreter's lock many times in a commit; at the default of 5 ms a busy loop
would make each commit wait for tens of milliseconds."""

_SIMULATED_POD_CIDR = "10.128.0.0/9"
"""Leads nowhere, and has a range for each of 32768 nodes."""


def main(data_dir: Path) -> None:
    """Run until told to stop."""
    data = DataDirectory(data_dir)
    settings = data.load_settings()
    if settings is None:
        raise ClusterError(f"no cluster in {data_dir}", "`tiphys up` makes one")
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    serve("control-plane", run(data, settings), told=data.told("control-plane"))


async def run(data: DataDirectory, settings: ClusterSettings) -> None:
    """Open the store, serve the API, then run controllers and scheduler until cancelled."""
    from tiphys.apiserver.server import ApiServer
    from tiphys.base.clock import SystemClock
    from tiphys.cluster import etcd_view
    from tiphys.cluster.joining import etcd
    from tiphys.store.interface import StoreError
    from tiphys.store.opening import open_store

    clock = SystemClock()
    try:
        store = await open_store(settings.etcd or data.db, clock)
    except StoreError as error:
        raise ClusterError(str(error)) from error
    metrics = ClusterMetrics(clock)
    api_settings = msgspec.structs.replace(_api_settings(data, settings), inside={METRICS_SERVICE: metrics.serve})
    server = metrics.server = ApiServer(api_settings, store, clock)
    try:
        try:
            await server.start()
        except OSError as error:
            raise ClusterError(f"the API server cannot listen: {error.strerror or error}") from error
        guard(data)
        log.info("API server ready at %s", server.url)
        async with etcd_view.shown(data, settings, store, clock), asyncio.TaskGroup() as tasks:
            if settings.etcd_ports is not None:
                tasks.create_task(etcd.follow(data, settings, cast("EtcdStore", store), clock))
            tasks.create_task(_components(data, settings, server, clock))
    finally:
        await server.stop()
        await store.close()


def _load_components() -> None:
    """Import what lives on the API, beside the loop that answers meanwhile."""
    for module in ("tiphys.controllers._runtime", "tiphys.scheduler.scheduler"):
        import_module(module)


def _api_settings(data: DataDirectory, settings: ClusterSettings) -> ApiServerSettings:
    from tiphys.apiserver.settings import ApiServerSettings, Bind
    from tiphys.cluster.certificates import outside_address

    binds = [Bind("127.0.0.1", settings.api_port)]
    outside = outside_address(settings)
    if (settings.runtime == "containerd" or settings.advertise_address) and outside not in ("127.0.0.1", "::1"):
        # Pods reach the API through the `kubernetes` Service, which cannot lead to loopback; other machines here.
        binds.append(Bind(outside, settings.api_port))
    return ApiServerSettings(
        pki_dir=data.pki,
        binds=tuple(binds),
        advertise_address=outside,
        service_cidr=settings.service_cidr,
        cluster_domain=settings.cluster_domain,
    )


async def _components(data: DataDirectory, settings: ClusterSettings, server: ApiServer, clock: Clock) -> None:
    await asyncio.to_thread(_load_components)
    from tiphys.apiserver.request import User
    from tiphys.client.events import EventRecorder
    from tiphys.cluster import snapshots
    from tiphys.cluster.host_routes import HostRoutes
    from tiphys.cluster.leading import leading
    from tiphys.controllers._runtime import ControllerManager
    from tiphys.controllers.settings import ControllerSettings
    from tiphys.scheduler.scheduler import Scheduler

    # The controllers live in the process that holds the store: a role for each would separate nothing here.
    manager_client = server.local_client(User("system:kube-controller-manager", groups=(ADMIN_GROUP,)))
    scheduler_client = server.local_client(User("system:kube-scheduler", groups=("system:authenticated",)))
    recorder = EventRecorder(manager_client, clock, "controllermanager")
    scheduler_recorder = EventRecorder(scheduler_client, clock, "default-scheduler")
    root_ca = (data.pki / "ca.crt").read_text()
    pod_cidr = _SIMULATED_POD_CIDR if settings.runtime == "simulated" else settings.pod_cidr
    controllers = ControllerManager(
        manager_client,
        clock,
        recorder,
        ControllerSettings(
            controllers=("*", "bootstrapsigner", "tokencleaner", "nodecertificatesapproving"),
            root_ca=root_ca,
            cluster_cidr=pod_cidr,
            signing_cert=root_ca,
            signing_key=(data.pki / "ca.key").read_text(),
            service_account_key=(data.pki / "sa.key").read_text(),
            local_path_dir=str(data.local_volumes(settings)),
        ),
        metrics=server.metrics,
    )
    scheduler = Scheduler(scheduler_client, clock, scheduler_recorder, metrics=server.metrics)

    async def controllers_and_more() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(controllers.run())
            tasks.create_task(_cluster_dns(server, settings))
            tasks.create_task(register_metrics(manager_client))
            tasks.create_task(_joining(data, settings, manager_client, root_ca))
            tasks.create_task(_local_storage(server))
            tasks.create_task(_load_balancers(manager_client, clock, recorder, settings))
            if settings.runtime == "simulated":
                tasks.create_task(_simulated_nodes(data, settings, server, clock))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.run())
        tasks.create_task(scheduler_recorder.run())
        tasks.create_task(leading(settings, manager_client, clock, "kube-controller-manager", controllers_and_more))
        tasks.create_task(leading(settings, manager_client, clock, "kube-scheduler", scheduler.run))
        if settings.namespaced:
            tasks.create_task(HostRoutes(manager_client, settings.networks, settings.load_balancer_pool).run())
        if settings.snapshot_interval_s:
            tasks.create_task(snapshots.take_regularly(data, settings, clock))
        tasks.create_task(_settle())


async def _cluster_dns(server: ApiServer, settings: ClusterSettings) -> None:
    """Make the Service that pods' resolv.conf leads to; the nodes add their endpoints."""
    from tiphys.api.errors import AlreadyExists, Invalid
    from tiphys.api.kinds import SERVICE
    from tiphys.apiserver.request import User
    from tiphys.dns.manifests import dns_service

    if server.registry.cache_of(SERVICE).get("kube-system", "kube-dns") is not None:
        return

    client = server.local_client(User("system:apiserver", groups=(ADMIN_GROUP,)))
    try:
        await client.create(SERVICE, dns_service(settings.dns_ip))
    except AlreadyExists:
        return
    except Invalid as error:
        log.error("the cluster's DNS Service cannot be made: %s", error)


async def _joining(data: DataDirectory, settings: ClusterSettings, client: Client, root_ca: str) -> None:
    """Publish what machines need that are to join."""
    from tiphys.api.errors import ApiError
    from tiphys.cluster.certificates import outside_address, server_url
    from tiphys.cluster.joining.published import publish

    server = server_url(outside_address(settings), settings.api_port)
    try:
        await publish(client, settings, server, root_ca.encode(), str(data.local_volumes(settings)))
    except ApiError as error:
        log.error("what machines need to join cannot be published: %s", error.message)


async def _load_balancers(client: Client, clock: Clock, recorder: EventRecorder, settings: ClusterSettings) -> None:
    """Services of type LoadBalancer get addresses of the cluster's pool."""
    from tiphys.cloud.loops import loops
    from tiphys.cloud.provider import provider
    from tiphys.controllers._runtime import ControllerManager

    local = provider("local", client, settings.load_balancer_pool)
    await ControllerManager(client, clock, recorder, controllers=loops(local)).run()


async def _local_storage(server: ApiServer) -> None:
    """Make the class of claims that name none: directories of the node where their pod runs."""
    from tiphys.api.errors import AlreadyExists
    from tiphys.api.kind import new
    from tiphys.api.kinds import STORAGECLASS
    from tiphys.api.kinds.storage.storageclass import DEFAULT_ANNOTATION
    from tiphys.apiserver.request import User
    from tiphys.controllers.local_path import PROVISIONER_NAME

    client = server.local_client(User("system:apiserver", groups=(ADMIN_GROUP,)))
    local = new(STORAGECLASS, "local-path", provisioner=PROVISIONER_NAME, volume_binding_mode="WaitForFirstConsumer")
    local.metadata.annotations = {DEFAULT_ANNOTATION: "true"}
    with contextlib.suppress(AlreadyExists):
        await client.create(STORAGECLASS, local)


async def _simulated_nodes(data: DataDirectory, settings: ClusterSettings, server: ApiServer, clock: Clock) -> None:
    from tiphys.apiserver.request import User
    from tiphys.base import pki
    from tiphys.cluster import simulation
    from tiphys.cluster.local_path import LocalPaths
    from tiphys.simulate.kubelet_api.server import KubeletApi
    from tiphys.simulate.nodes import SimulatedNodes
    from tiphys.simulate.objects import names

    client = server.local_client(User("system:apiserver", groups=(ADMIN_GROUP,)))
    async with asyncio.TaskGroup() as tasks:
        simulated, behaviour = simulation.of_cluster(settings)
        authority = pki.load(pki.PairPaths(data.pki / "ca.crt", data.pki / "ca.key"))
        kubelets = KubeletApi(client, clock, names(simulated), behaviour.answers, authority=authority)
        tasks.create_task(SimulatedNodes(client, clock, simulated, kubelets).run())
        tasks.create_task(LocalPaths(client, clock, None).run())


async def _settle() -> None:
    """Once all is loaded, tell the collector that what lives now lives long."""
    await asyncio.sleep(5.0)
    gc.unfreeze()
    gc.collect()
    gc.freeze()
