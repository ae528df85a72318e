"""`tiphys up`: from nothing, or from whatever was left, to a running cluster. Idempotent."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from tiphys.base.family import ipv6_obstacle
from tiphys.cluster import certificates, etcd_members, namespaces, preflight, probe, simulation
from tiphys.cluster.down import stop_processes
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.node_control import off_mark
from tiphys.cluster.process import launch, running, tail
from tiphys.cluster.progress import Progress
from tiphys.cluster.settings import LOOPBACK, POD_CIDR, ClusterSettings, DataDirectory
from tiphys.cluster.supervisor import stopping_mark, supervisor_program
from tiphys.store.etcd.address import EtcdAddress

API_TIMEOUT_S = 30.0
NODES_MAX = 200
"""Real ones: each gets its own addresses on one bridge."""
NODES_TIMEOUT_S = 120.0


def up(
    data: DataDirectory, wanted: ClusterSettings, progress: Progress, *, install: bool = False, dual_stack: bool = False
) -> ClusterSettings:
    """Make `wanted` run and wait until its nodes are ready; returns what really runs. Raises ClusterError.

    `dual_stack` adds the usual IPv6 ranges to those of `wanted`, where there are none yet.
    """
    kept = data.load_settings()
    already = running(supervisor_program(data).pid_file(data.run))
    if kept is not None and kept.joined is not None:
        return _rejoin(data, kept, wanted, progress)
    settings = wanted if wanted.runtime == "simulated" else _real_or_simulated(wanted, progress, install=install)
    simulation.check(settings)
    if settings.runtime == "containerd" and settings.nodes > NODES_MAX:
        raise ClusterError(
            f"{settings.nodes} nodes are too many for one machine: {NODES_MAX} at most",
            "`--runtime simulated` pretends thousands",
        )
    if settings.namespaced and not settings.number:
        networks = namespaces.NodeNetworks(namespaces.free_number(data.root))
        settings = msgspec.structs.replace(settings, number=networks.number)
        if settings.pod_cidr == POD_CIDR:
            settings = msgspec.structs.replace(settings, pod_cidr=networks.pod_cidr)
    settings = _with_families(settings, kept, dual_stack=dual_stack)
    if settings.runtime == "containerd":
        preflight.check_proxy_mode(settings.proxy_mode)
    if settings.etcd_ports is not None:
        etcd_members.check_installed()
        if not already and settings.etcd_host == LOOPBACK:  # new, restored, or of a time when none could join
            settings = msgspec.structs.replace(settings, etcd_host=certificates.outside_address(settings))
    _keep_objects(data, kept, settings)
    if already and kept and kept != settings:
        raise ClusterError(
            f"a cluster with other settings runs here ({_described(kept)})",
            "`tiphys down` first, or use another --data-dir",
        )
    data.create()
    if not already:
        preflight.check_port(settings.api_port)
    data.save_settings(settings)
    from tiphys.base.clock import SystemClock

    with progress.step("Certificates"):
        certificates.create(data, settings, SystemClock().now())
        if settings.etcd_ports is not None:
            etcd_members.managed_certificates(data.pki).create((settings.etcd_host,), SystemClock().now())
    if settings.namespaced:
        with progress.step("Networks of the nodes"):
            settings.networks.create(settings.node_names)
    start(data, settings, progress)
    return settings


def _with_families(settings: ClusterSettings, kept: ClusterSettings | None, *, dual_stack: bool) -> ClusterSettings:
    """Ranges of both families where that is asked for and possible. Raises ClusterError."""
    if dual_stack and not settings.ipv6:
        pods, services = f"{settings.pod_cidr},{settings.networks.pod_cidr6}", settings.service_cidr
        if "," not in services:
            services += f",{settings.networks.service_cidr6}"
        settings = msgspec.structs.replace(settings, pod_cidr=pods, service_cidr=services)
    preflight.check_ranges(settings.pod_cidr, settings.service_cidr)
    if not settings.ipv4 and settings.pod_network == "vxlan":
        raise ClusterError(
            "vxlan carries pods' packets between IPv4 addresses of nodes, and these have none",
            "leave out --pod-network",
        )
    if settings.ipv6 and settings.runtime == "containerd" and (why := ipv6_obstacle()):
        raise ClusterError(f"pods cannot have IPv6 addresses here: {why}", "go on with IPv4 alone")
    if kept is not None and (kept.ipv4, kept.ipv6) != (settings.ipv4, settings.ipv6):
        raise ClusterError(
            "the families of addresses cannot change: nodes and Services keep what they were given",
            "`tiphys reset` first, or use another --data-dir",
        )
    return settings


def _rejoin(data: DataDirectory, kept: ClusterSettings, wanted: ClusterSettings, progress: Progress) -> ClusterSettings:
    """Start what a machine that joined runs. Raises ClusterError."""
    if wanted != kept:
        raise ClusterError("this machine joined a cluster, whose settings it has", "`tiphys up` alone starts it again")
    data.create()
    if kept.control_plane:
        from tiphys.base.clock import SystemClock

        certificates.create(data, kept, SystemClock().now())
        if kept.etcd_ports is not None:
            etcd_members.managed_certificates(data.pki).create((kept.etcd_host,), SystemClock().now())
    start(data, kept, progress)
    return kept


def _keep_objects(data: DataDirectory, kept: ClusterSettings | None, settings: ClusterSettings) -> None:
    """Refuse to begin with an empty store while the cluster's objects are in another. Raises ClusterError."""
    if kept is None or kept.etcd == settings.etcd:
        return
    wanted = store_name(data, settings.etcd)
    if data.moved_mark.exists() and data.moved_mark.read_text() == wanted:
        return
    raise ClusterError(
        f"the objects of this cluster are in {store_name(data, kept.etcd)}, not in {wanted}",
        "`tiphys store migrate` moves them (stop the cluster first)",
    )


def store_name(data: DataDirectory, etcd: EtcdAddress | None) -> str:
    """Which store keeps the objects, in words."""
    return f"the embedded store {data.db}" if etcd is None else f"etcd at {', '.join(etcd.servers)}"


def _real_or_simulated(wanted: ClusterSettings, progress: Progress, *, install: bool) -> ClusterSettings:
    obstacle = preflight.obstacle()
    needs = [] if obstacle else preflight.missing()
    if needs and install:
        preflight.install(needs, progress)
        needs = preflight.missing()
    if needs:
        obstacle = f"{', '.join(need.package for need in needs)} missing; `tiphys up --install` installs it"
    if not obstacle:
        return wanted
    progress.say(f"Nodes are simulated, no container will run: {obstacle}.")
    return msgspec.structs.replace(wanted, runtime="simulated")


def start(data: DataDirectory, settings: ClusterSettings, progress: Progress) -> None:
    """Start the supervisor and wait until all is ready. What cannot become ready is stopped again."""
    program = supervisor_program(data)
    found = running(program.pid_file(data.run))
    for name in ("control-plane", *settings.node_names):
        data.told(name).unlink(missing_ok=True)
    for name in settings.node_names:
        off_mark(data, name).unlink(missing_ok=True)
    stopping_mark(data).unlink(missing_ok=True)
    if not found:
        launch(program, data.logs)
    try:
        _await_ready(data, settings, progress)
    except ClusterError:
        if not found:
            stop_processes(data, settings)
        raise


def _await_ready(data: DataDirectory, settings: ClusterSettings, progress: Progress) -> None:
    if settings.control_plane:
        with progress.step("API server") as detail:
            _wait(
                data, "control-plane", API_TIMEOUT_S, "the API server does not become ready",
                lambda: probe.get(data, settings, "/readyz", 2.0)[0] == 200,
            )  # fmt: skip
            detail.append(f"https://127.0.0.1:{settings.api_port}")
    simulated = settings.runtime == "simulated"
    kind = "simulated node" if simulated else "node"
    with progress.step(f"{settings.nodes} {kind}s" if settings.nodes > 1 else kind) as detail:

        def all_ready() -> bool:
            ready = probe.ready_nodes(data, settings)
            detail.append(f"{len(ready)} of {settings.nodes} ready")
            return len(ready) >= settings.nodes

        program = "control-plane" if simulated else settings.node_names[0]
        _wait(data, program, NODES_TIMEOUT_S, "the nodes do not become ready", all_ready)


def _wait(data: DataDirectory, program: str, timeout_s: float, problem: str, done: Callable[[], bool]) -> None:
    """Ask until `done`; the first asks come quickly, as a start takes about a second. Raises ClusterError."""
    deadline, pause = time.monotonic() + timeout_s, 0.02
    told, log = data.told(program), data.logs / f"{program}.log"
    while not done():
        if told.exists():
            raise ClusterError(told.read_text())
        if time.monotonic() > deadline:
            raise ClusterError(f"{problem}. The end of {log}:\n{tail(log)}", "`tiphys status` tells what runs")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)


def _described(settings: ClusterSettings) -> str:
    return f"{settings.nodes} node(s), {settings.runtime}, port {settings.api_port}"
