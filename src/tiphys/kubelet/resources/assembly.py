"""Puts the node's resources together, as its settings say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from tiphys.api.kinds.core.pod.facts import is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import Clock
from tiphys.client.interface import Client
from tiphys.kubelet.cri.client import CriClient
from tiphys.kubelet.plugins import PluginHandler
from tiphys.kubelet.resources.allocator import NodeResources
from tiphys.kubelet.resources.cdi import CdiDevices
from tiphys.kubelet.resources.claims.drivers import DraDrivers
from tiphys.kubelet.resources.claims.prepared import ClaimedDevices
from tiphys.kubelet.resources.cpus.pinning import Pinning
from tiphys.kubelet.resources.cpus.static import ExclusiveCpus
from tiphys.kubelet.resources.cpus.topology import parse, read_processors
from tiphys.kubelet.resources.devices.plugins import DevicePlugins
from tiphys.kubelet.resources.podresources import PodResourcesApi
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.state import PodRuntime

Job = tuple[str, Callable[[], Awaitable[None]]]


@dataclass(frozen=True, slots=True)
class Assembled:
    """`jobs` run as long as the kubelet; `handlers` take plugins in, by their type."""

    resources: NodeResources
    drivers: DraDrivers
    handlers: dict[str, PluginHandler]
    jobs: Sequence[Job]


def assemble(
    client: Client,
    clock: Clock,
    cri: CriClient,
    settings: KubeletSettings,
    pods: Callable[[], Iterable[tuple[Pod, PodRuntime]]],
    changed: Callable[[Iterable[str]], None],
    runtime_knows_cdi: Callable[[], bool],
) -> Assembled:
    """`changed(uids)`: the node's amounts, and how the devices of these pods fare. Raises RuntimeError, OSError."""
    devices = DevicePlugins(settings.root_dir, clock, changed)
    drivers = DraDrivers(client, clock, settings.node_name)
    claims = ClaimedDevices(client, clock, drivers, settings.root_dir)
    cdi = CdiDevices(settings.cdi_spec_dirs, runtime_knows_cdi)
    jobs: list[Job] = [("device plugins", devices.run)]
    cpus = None
    machine = read_processors()
    state = settings.root_dir / "cpu_manager_state"
    if settings.cpu_manager_policy == "static":
        pinning = Pinning(cri, pods)
        cpus = pool = ExclusiveCpus(machine, parse(settings.reserved_cpus), state, pinning.changed)
        jobs.append(("processors", lambda: pinning.run(pool)))
    else:
        state.unlink(missing_ok=True)
    nodes = {cpu.node for cpu in machine}
    resources = NodeResources(devices, claims, cdi, cpus, (settings.topology_manager_policy, nodes))
    api = PodResourcesApi(settings.root_dir, resources, lambda: (pod for pod, _ in pods() if not is_terminal(pod)))
    jobs.append(("pod resources API", api.run))
    return Assembled(resources, drivers, {"DRAPlugin": drivers, "DevicePlugin": devices}, jobs)
