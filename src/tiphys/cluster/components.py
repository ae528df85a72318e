"""Each component alone, against any API server: `tiphys scheduler --kubeconfig FILE` and the like.

The code is the same as in `tiphys up`; only the transport differs. Flags have upstream's names where upstream has them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiphys.cluster import apiserver_flags, controller_flags, etcd_flags, simulation
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.service import serve, shut_down_on_power_failure
from tiphys.cluster.settings import IPVS_SCHEDULERS, PROXY_MODES

if TYPE_CHECKING:
    from tiphys.apiserver.security import SecuritySettings
    from tiphys.base.clock import Clock
    from tiphys.base.metrics import Metrics
    from tiphys.client.events import EventRecorder
    from tiphys.client.rest import RestClient

Work = Callable[["RestClient", "Clock", "EventRecorder"], Coroutine[Any, Any, None]]
_NODE_NAME = socket.gethostname().lower()


def add_commands(
    command: Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser],
) -> None:
    """Register the components with the command line. `command(name, run, help)` makes a sub-parser."""
    _api_server_flags(command("apiserver", _api_server, "The API server alone, with its embedded store or on etcd."))
    manager = _with_kubeconfig(command("controller-manager", _controller_manager, "The controllers alone."))
    controller_flags.add(manager)
    cloud = _with_kubeconfig(
        command(
            "cloud-controller-manager", _cloud_controller_manager, "Load balancers, machines and routes of a cloud."
        )
    )
    controller_flags.add_cloud(cloud)
    scheduler = _with_kubeconfig(command("scheduler", _scheduler, "The scheduler alone."))
    scheduler.add_argument("--config", type=Path, metavar="FILE", help="a KubeSchedulerConfiguration")
    scheduler.add_argument("--scheduler-name", default="", help="whose pods to place, without --config")
    scheduler.add_argument(
        "--leader-elect",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="work only while holding the leader's lease (as --config says, else yes)",
    )
    _kubelet_flags(
        _with_kubeconfig(command("kubelet", _kubelet, "The node agent alone, on a CRI runtime that is there."))
    )
    proxy = _with_kubeconfig(command("proxy", _proxy, "kube-proxy alone: Services as nftables rules of this machine."))
    proxy.add_argument("--hostname-override", default=_NODE_NAME, help="the node's name (%(default)s)")
    proxy.add_argument("--cluster-cidr", default="10.244.0.0/16", help="the pods' addresses (%(default)s)")
    proxy.add_argument(
        "--service-cluster-ip-range", default="10.96.0.0/16", help="the Services' addresses (%(default)s)"
    )
    proxy.add_argument("--proxy-mode", default="nftables", choices=PROXY_MODES, help="%(choices)s (%(default)s)")
    proxy.add_argument("--ipvs-scheduler", default="rr", choices=IPVS_SCHEDULERS, help="how ipvs picks (%(default)s)")
    proxy.add_argument(
        "--nodeport-addresses", default="", help="networks of the addresses that node ports answer on, by commas (all)"
    )
    proxy.add_argument("--masquerade-all", action="store_true", help="masquerade every client of a cluster address")
    proxy.add_argument("--cleanup", action="store_true", help="take the rules away and stop")
    dns = _with_kubeconfig(command("dns", _dns, "Cluster DNS alone."))
    dns.add_argument("--hostname-override", default=_NODE_NAME, help="the node's name (%(default)s)")
    dns.add_argument("--address", default="", help="where to listen (the first address of the node's pod range)")
    dns.add_argument("--port", type=int, default=53, help="the port (%(default)s)")
    dns.add_argument("--cluster-domain", default="cluster.local", help="the domain (%(default)s)")
    simulate = _with_kubeconfig(command("simulate", _simulate, "Nodes that only pretend, against any API server."))
    simulation.add_flags(simulate)


def _with_kubeconfig(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--kubeconfig", type=Path, help="how to reach the API server ($KUBECONFIG, else the data directory's)"
    )
    return parser


def _api_server_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bind-address", default="127.0.0.1", help="where to listen (%(default)s)")
    parser.add_argument("--secure-port", type=int, default=6443, help="the port (%(default)s)")
    parser.add_argument("--advertise-address", default="", help="what the kubernetes Service leads to")
    parser.add_argument("--cert-dir", type=Path, help="keys and certificates (DATA-DIR/pki, with an admin.kubeconfig)")
    parser.add_argument(
        "--service-cluster-ip-range", default="10.96.0.0/16", help="the Services' addresses (%(default)s)"
    )
    parser.add_argument("--token-auth-file", type=Path, help="CSV of token,user,uid,groups")
    etcd_flags.add_flags(parser)
    apiserver_flags.add_flags(parser)


def _kubelet_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hostname-override", default=_NODE_NAME, help="the node's name (%(default)s)")
    parser.add_argument(
        "--node-ip", help="the node's address, or one of each family by a comma (that of the default route)"
    )
    parser.add_argument("--root-dir", type=Path, default=Path("/var/lib/kubelet"), help="volumes of pods (%(default)s)")
    parser.add_argument(
        "--container-runtime-endpoint",
        default="unix:///run/containerd/containerd.sock",
        help="the runtime (%(default)s)",
    )
    parser.add_argument(
        "--cluster-dns", default="10.96.0.10", help="DNS servers of pods, separated by commas (%(default)s)"
    )
    parser.add_argument("--cluster-domain", default="cluster.local", help="the domain (%(default)s)")
    parser.add_argument("--tls-cert-file", type=Path, help="the serving certificate")
    parser.add_argument("--tls-private-key-file", type=Path, help="its key")
    parser.add_argument("--client-ca-file", type=Path, help="whose client certificates to accept")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a KubeletConfiguration; it wins over flags")
    parser.add_argument("--port", type=int, default=10250, help="the kubelet's port (%(default)s)")
    parser.add_argument("--max-pods", type=int, default=110, help="how many pods (%(default)s)")


def _run(options: argparse.Namespace, component: str, work: Work, *, host: str = "") -> None:
    """Connect as the kubeconfig says, then work until told to stop."""
    serve(component, _connected(_kubeconfig(options), component, work, host))


def _identity() -> str:
    """Who holds a lease: this process on this machine."""
    return f"{_NODE_NAME}_{uuid.uuid4()}"


def _kubeconfig(options: argparse.Namespace) -> list[Path]:
    if options.kubeconfig:
        return [options.kubeconfig]
    if os.environ.get("KUBECONFIG"):
        return [Path(path) for path in os.environ["KUBECONFIG"].split(os.pathsep) if path]
    return [options.data_dir / "admin.kubeconfig"]


async def _connected(paths: list[Path], component: str, work: Work, host: str) -> None:
    from tiphys.base.clock import SystemClock
    from tiphys.client import kubeconfig
    from tiphys.client.events import EventRecorder
    from tiphys.client.kubeconfig import KubeconfigError
    from tiphys.client.rest import RestClient

    clock = SystemClock()
    try:
        client = RestClient(kubeconfig.load(paths).access(), clock, user_agent=f"tiphys-{component}")
    except KubeconfigError as error:
        raise ClusterError(str(error), "name a kubeconfig with --kubeconfig") from error
    recorder = EventRecorder(client, clock, component, host)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(recorder.run())
            tasks.create_task(work(client, clock, recorder))
    finally:
        await client.close()


def _api_server(options: argparse.Namespace) -> None:
    from tiphys.apiserver.run import serve as serve_api
    from tiphys.apiserver.settings import ApiServerSettings, Bind
    from tiphys.base.clock import SystemClock
    from tiphys.cluster import certificates
    from tiphys.cluster.settings import DataDirectory
    from tiphys.store.interface import StoreError

    data = DataDirectory(options.data_dir)
    data.create()
    if options.cert_dir is None:
        certificates.create_admin(data, f"https://127.0.0.1:{options.secure_port}", SystemClock().now())
    settings = ApiServerSettings(
        pki_dir=options.cert_dir or data.pki,
        binds=(Bind(options.bind_address, options.secure_port),),
        advertise_address=options.advertise_address,
        service_cidr=options.service_cluster_ip_range,
        token_file=options.token_auth_file,
        security=_security(options),
        **apiserver_flags.others(options),
    )

    where = etcd_flags.address(options.etcd_servers, options) or data.db

    async def work() -> None:
        try:
            await serve_api(settings, where)
        except StoreError as error:
            raise ClusterError(str(error)) from error
        except OSError as error:
            raise ClusterError(f"cannot serve on {options.bind_address}:{options.secure_port}: {error}") from error
        except ValueError as error:
            raise ClusterError(str(error)) from error

    serve("apiserver", work())


def _security(options: argparse.Namespace) -> SecuritySettings:
    try:
        return apiserver_flags.security(options)
    except ValueError as error:
        raise ClusterError(str(error)) from error


def _controller_manager(options: argparse.Namespace) -> None:
    from tiphys.base.metrics import Metrics
    from tiphys.controllers._runtime import ControllerManager

    settings = controller_flags.settings(options, f"{_NODE_NAME}_{os.getpid()}")

    async def work(client: RestClient, clock: Clock, recorder: EventRecorder) -> None:
        metrics = Metrics()
        try:
            manager = ControllerManager(client, clock, recorder, settings, metrics=metrics)
        except ValueError as error:
            raise ClusterError(str(error)) from error
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_figures(options, client, clock, metrics))
            tasks.create_task(manager.run())

    _run(options, "controller-manager", work)


async def _figures(options: argparse.Namespace, client: RestClient, clock: Clock, metrics: Metrics) -> None:
    """Health and metrics, where a port is given. Raises ClusterError when it is taken."""
    if not options.secure_port:
        return
    from tiphys.cluster.component_server import serve as serve_figures

    try:
        await serve_figures(client, clock, metrics, options.bind_address, options.secure_port)
    except OSError as error:
        where = f"{options.bind_address}:{options.secure_port}"
        raise ClusterError(f"cannot serve on {where}: {error.strerror or error}") from error


def _cloud_controller_manager(options: argparse.Namespace) -> None:
    from tiphys.cloud.loops import loops
    from tiphys.cloud.provider import provider
    from tiphys.controllers._runtime import ControllerManager

    settings, config = controller_flags.cloud_settings(options, _identity()), controller_flags.cloud_config(options)

    async def work(client: RestClient, clock: Clock, recorder: EventRecorder) -> None:
        try:
            found = provider(options.cloud_provider, client, config)
            manager = ControllerManager(client, clock, recorder, settings, controllers=loops(found))
        except ValueError as error:
            raise ClusterError(str(error)) from error
        await manager.run()

    _run(options, "cloud-controller-manager", work)


def _scheduler(options: argparse.Namespace) -> None:
    from tiphys.client.leases import LeaderElector, LeadershipLost
    from tiphys.scheduler.config.command import election_of, loaded
    from tiphys.scheduler.config.problem import ConfigurationError
    from tiphys.scheduler.scheduler import Scheduler

    try:
        found = loaded(options.config, options.scheduler_name)
        election = election_of(found, options.leader_elect)
    except ConfigurationError as error:
        raise ClusterError(str(error)) from error
    if found.kubeconfig and not options.kubeconfig:
        options.kubeconfig = Path(found.kubeconfig)

    async def work(client: RestClient, clock: Clock, recorder: EventRecorder) -> None:
        scheduler = Scheduler(client, clock, recorder, found.settings)
        if election is None:
            await scheduler.run()
            return
        elector = LeaderElector(
            client, clock, election.name, _identity(), namespace=election.namespace, settings=election.settings
        )
        try:
            await elector.run(scheduler.run)
        except LeadershipLost as error:
            raise ClusterError(str(error)) from error

    _run(options, found.settings.profiles[0].name, work)


def _kubelet(options: argparse.Namespace) -> None:
    from tiphys.cluster.certificates import host_address
    from tiphys.kubelet.configuration import BadConfiguration, load
    from tiphys.kubelet.kubelet import Kubelet
    from tiphys.kubelet.settings import KubeletSettings

    settings = KubeletSettings(
        node_name=options.hostname_override,
        node_ip=options.node_ip or host_address(),
        root_dir=options.root_dir,
        cri_socket=Path(options.container_runtime_endpoint.removeprefix("unix://")),
        cluster_dns=tuple(options.cluster_dns.split(",")),
        cluster_domain=options.cluster_domain,
        serving_cert=options.tls_cert_file,
        serving_key=options.tls_private_key_file,
        client_ca=options.client_ca_file,
        port=options.port,
        max_pods=options.max_pods,
    )
    if options.config is not None:
        try:
            settings = load(settings, options.config)
        except BadConfiguration as error:
            raise ClusterError(str(error)) from None

    async def work(client: RestClient, clock: Clock, recorder: EventRecorder) -> None:
        kubelet = Kubelet(client, clock, recorder, settings)
        try:
            with shut_down_on_power_failure(kubelet.shut_down):
                await kubelet.run()
        except (OSError, RuntimeError) as error:
            raise ClusterError(str(error)) from error

    _run(options, "kubelet", work, host=options.hostname_override)


def _proxy(options: argparse.Namespace) -> None:
    from tiphys.cluster import preflight
    from tiphys.proxy.proxy import Proxy, ProxySettings, cleanup

    if options.cleanup:
        cleanup()
        return
    preflight.check_proxy_mode(options.proxy_mode)
    settings = ProxySettings(
        node_name=options.hostname_override,
        ipvs_scheduler=options.ipvs_scheduler,
        cluster_cidr=options.cluster_cidr,
        service_cidr=options.service_cluster_ip_range,
        mode=options.proxy_mode,
        node_port_addresses=tuple(text for text in options.nodeport_addresses.split(",") if text),
        masquerade_all=options.masquerade_all,
    )

    async def work(client: RestClient, clock: Clock, recorder: EventRecorder) -> None:
        await Proxy(client, clock, recorder, settings).run()

    _run(options, "kube-proxy", work, host=options.hostname_override)


def _dns(options: argparse.Namespace) -> None:
    from tiphys.dns.cluster_dns import ClusterDns, DnsSettings

    settings = DnsSettings(
        options.hostname_override, domain=options.cluster_domain, address=options.address, port=options.port
    )

    async def work(client: RestClient, clock: Clock, _recorder: EventRecorder) -> None:
        await ClusterDns(client, clock, settings).run()

    _run(options, "dns", work)


def _simulate(options: argparse.Namespace) -> None:
    from tiphys.cluster.settings import DataDirectory
    from tiphys.simulate.kubelet_api.server import KubeletApi
    from tiphys.simulate.nodes import SimulatedNodes
    from tiphys.simulate.objects import names

    settings, behaviour = simulation.of_flags(options)
    data = DataDirectory(options.data_dir)
    authority = simulation.signing_pair(data, options.cluster_signing_cert_file, options.cluster_signing_key_file)

    async def work(client: RestClient, clock: Clock, _recorder: EventRecorder) -> None:
        kubelets = KubeletApi(
            client,
            clock,
            names(settings),
            behaviour.answers,
            address=options.address,
            port=options.port,
            authority=authority,
            ask=simulation.by_request(client, clock),
        )
        await SimulatedNodes(client, clock, settings, kubelets).run()

    _run(options, "simulate", work)
