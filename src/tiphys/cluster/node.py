"""One node in one process: containerd, kubelet, pod network, kube-proxy and DNS, over HTTPS. The kubelet connects as
`system:node:NAME`, what connects pods as `tiphys:network:NAME`.

The process acts on whatever network namespace it is started in: the machine's, or one made for this node.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

from tiphys.cluster.certificates import internal_addresses, network_agent, pair
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.node_control import await_power
from tiphys.cluster.service import serve, shut_down_on_power_failure
from tiphys.cluster.settings import ClusterSettings, DataDirectory
from tiphys.cluster.supervisor import guard
from tiphys.kubelet.cgroups import CGROUPFS, SYSTEMD
from tiphys.kubelet.containerd import Containerd, ContainerdFailure, ContainerdSettings
from tiphys.kubelet.kubelet import Kubelet
from tiphys.kubelet.settings import KubeletSettings

log = logging.getLogger(__name__)

_IMPORT_TIMEOUT_S = 120.0


def containerd_settings(data: DataDirectory, name: str, cgroup_driver: str = CGROUPFS) -> ContainerdSettings:
    """Where this node's containerd keeps things."""
    return ContainerdSettings(
        directory=data.node(name) / "containerd",
        state=data.state / name,
        cni_conf_dir=data.node(name) / "cni",
        systemd_cgroups=cgroup_driver == SYSTEMD,
    )


def containerd_socket(data: DataDirectory, name: str) -> Path:
    return containerd_settings(data, name).socket


def main(data_dir: Path, name: str) -> None:
    """Run until told to stop; containers go on."""
    data = DataDirectory(data_dir)
    settings = data.load_settings()
    if settings is None or name not in settings.node_names:
        raise ClusterError(f"no node {name} in {data_dir}", "`tiphys up` makes the cluster")
    await_power(data, name)
    if settings.namespaced:
        socket.sethostname(name)
    serve(name, run(data, settings, name), told=data.told(name))


async def run(data: DataDirectory, settings: ClusterSettings, name: str) -> None:
    """All parts of the node until cancelled. Raises ClusterError when containerd cannot be started."""
    from tiphys.base.clock import SystemClock
    from tiphys.base.family import families_of
    from tiphys.client import kubeconfig
    from tiphys.client.events import EventRecorder
    from tiphys.client.rest import RestClient
    from tiphys.cluster.joining.requests import agent_identity, node_identity
    from tiphys.cluster.joining.rotation import Credentials, Rotation
    from tiphys.cluster.joining.servers import follow_servers
    from tiphys.cluster.local_path import LocalPaths
    from tiphys.dns.cluster_dns import ClusterDns, DnsSettings
    from tiphys.kubelet.kubelet import Kubelet
    from tiphys.network.own_cni import OwnNetwork
    from tiphys.network.pod_network import BACKENDS, NetworkSettings, PodNetwork
    from tiphys.network.policy import PolicyAgent
    from tiphys.proxy.proxy import Proxy, ProxySettings

    clock = SystemClock()

    def connected(user: str) -> RestClient:
        return RestClient(kubeconfig.load([data.kubeconfig(user)]).access(), clock, user_agent=f"tiphys-node/{name}")

    client, network_client = connected(name), connected(network_agent(name))
    recorder = EventRecorder(client, clock, "kubelet", name)
    serving = pair(data, f"{name}-serving")
    addresses = internal_addresses(settings, name)
    node_settings = _configured(
        data,
        name,
        KubeletSettings(
            node_name=name,
            node_ip=",".join(addresses),
            root_dir=data.node(name) / "kubelet",
            cri_socket=containerd_socket(data, name),
            static_pod_path=data.node(name) / "manifests",
            local_path_dir=data.local_volumes(settings),
            logs_dir=data.node(name) / "logs",
            cluster_dns=(settings.dns_ip,),
            cluster_domain=settings.cluster_domain,
            cgroup_root=f"{data.cgroup}/{name}",
            bind_address="" if settings.ipv6 else "0.0.0.0",  # noqa: S104 - the API server calls from wherever it runs
            serving_cert=serving.certificate,
            serving_key=serving.key,
            client_ca=pair(data, "ca").certificate,
        ),
    )
    runtime = Containerd(containerd_settings(data, name, node_settings.cgroup_driver), clock)
    kubelet = Kubelet(client, clock, recorder.named("kubelet"), node_settings)
    network: PodNetwork | OwnNetwork
    cni_directory = str(runtime.settings.cni_conf_dir)
    if settings.pod_network in BACKENDS:
        network = PodNetwork(
            network_client,
            clock,
            NetworkSettings(
                node_name=name,
                cni_directory=cni_directory,
                cluster_cidr=settings.pod_cidr,
                service_cidr=settings.service_cidr,
                backend=BACKENDS[settings.pod_network],
                mtu=settings.mtu,
            ),
        )
    else:
        network = OwnNetwork(network_client, name, addresses[0], cni_directory, Path(settings.pod_network))
    policies = PolicyAgent(network_client, clock, name, lambda: network.address, families_of(settings.pod_cidr))
    proxy = Proxy(
        network_client,
        clock,
        recorder.named("kube-proxy"),
        ProxySettings(
            node_name=name,
            mode=settings.proxy_mode,
            ipvs_scheduler=settings.ipvs_scheduler,
            cluster_cidr=settings.pod_cidr,
            service_cidr=settings.service_cidr,
        ),
    )
    dns = ClusterDns(
        network_client,
        clock,
        DnsSettings(name, domain=settings.cluster_domain, address=network.dns_address, dns_ip=settings.dns_ip),
    )
    local_paths = LocalPaths(client, clock, data.local_volumes(settings), name)
    agent = network_agent(name)
    rotation = Rotation(
        clock,
        node_identity(name),
        Credentials(client, node_identity(name), data.kubeconfig(name), pair(data, name)),
        Credentials(network_client, agent_identity(name), data.kubeconfig(agent), pair(data, agent)),
        serving,
        (name, *addresses),
    )
    rotation.served = lambda: kubelet.serving_tls
    if not settings.namespaced:
        guard(data)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_run_containerd(runtime))
            for work in (
                recorder.run(), network.run(), policies.run(), proxy.run(), dns.run(), local_paths.run(),
                rotation.run(), follow_servers(data, network_client, rotation.credentials),
            ):  # fmt: skip
                tasks.create_task(work)
            tasks.create_task(_run_kubelet(data, name, runtime, kubelet))
    finally:
        await client.close()
        await network_client.close()


def _configured(data: DataDirectory, name: str, settings: KubeletSettings) -> KubeletSettings:
    """With what `kubelet.yaml` says: that of all nodes, and then that of this one. Raises ClusterError."""
    for path in (data.root / "kubelet.yaml", data.node(name) / "kubelet.yaml"):
        if path.exists():
            from tiphys.kubelet.configuration import BadConfiguration, load

            try:
                settings = load(settings, path)
            except BadConfiguration as error:
                raise ClusterError(str(error)) from None
    return settings


async def _run_containerd(runtime: Containerd) -> None:
    try:
        await runtime.run()
    except ContainerdFailure as error:
        raise ClusterError(str(error), "`tiphys status` names the logs") from error


async def _run_kubelet(data: DataDirectory, name: str, runtime: Containerd, kubelet: Kubelet) -> None:
    """Images of the shelf first, so that the first pod finds them; then the kubelet."""
    await runtime.ready.wait()
    await _import_shelf(data, name, runtime)
    with shut_down_on_power_failure(kubelet.shut_down):
        await kubelet.run()


async def _import_shelf(data: DataDirectory, name: str, runtime: Containerd) -> None:
    """Import archives that came while the node was away. Those imported before are remembered by time and size."""
    from tiphys.cluster.images.command import import_archive

    seen_file = data.node(name) / "shelf.txt"
    seen = set(seen_file.read_text().splitlines()) if seen_file.exists() else set()
    now = {f"{path.name} {path.stat().st_mtime_ns} {path.stat().st_size}": path for path in data.images.glob("*.tar")}
    for mark, path in now.items():
        if mark in seen:
            continue
        try:
            await asyncio.wait_for(asyncio.to_thread(import_archive, data, name, path), _IMPORT_TIMEOUT_S)
        except (ClusterError, TimeoutError) as error:
            log.warning("image archive %s: %s", path.name, error)
    seen_file.write_text("\n".join(now))
