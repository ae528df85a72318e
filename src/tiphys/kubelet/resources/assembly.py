"""Puts the node's resources together, as its settings say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from tiphys.api.kinds.core.pod.facts import is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import Clock
from tiphys.client.interface import Client
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.cri.client import CriClient
from tiphys.kubelet.plugins import PluginHandler
from tiphys.kubelet.reservations import check_memory
from tiphys.kubelet.resources.allocator import NodeResources
from tiphys.kubelet.resources.cdi import CdiDevices
from tiphys.kubelet.resources.claims.drivers import DraDrivers
from tiphys.kubelet.resources.claims.prepared import ClaimedDevices
from tiphys.kubelet.resources.cpus.choosing import take
from tiphys.kubelet.resources.cpus.options import cpu_options
from tiphys.kubelet.resources.cpus.pinning import Pinning
from tiphys.kubelet.resources.cpus.static import ExclusiveCpus
from tiphys.kubelet.resources.cpus.topology import Cpus, Processor, parse, read_distances, read_processors
from tiphys.kubelet.resources.devices.plugins import DevicePlugins
from tiphys.kubelet.resources.hints import Topology, topology_options
from tiphys.kubelet.resources.memory.banks import read_banks
from tiphys.kubelet.resources.memory.static import PinnedMemory
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
    capacity: Capacity,
    pods: Callable[[], Iterable[tuple[Pod, PodRuntime]]],
    changed: Callable[[Iterable[str]], None],
    runtime_knows_cdi: Callable[[], bool],
) -> Assembled:
    """`changed(uids)`: the node's amounts, and how the devices of these pods fare.

    Raises RuntimeError, ValueError, OSError.
    """
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
        reserved = parse(settings.reserved_cpus) or _first(machine, capacity)
        options = cpu_options(settings.cpu_manager_options)
        cpus = pool = ExclusiveCpus(machine, reserved, state, pinning.changed, options)
        jobs.append(("processors", lambda: pinning.run(pool)))
    else:
        state.unlink(missing_ok=True)
    nodes = frozenset(cpu.node for cpu in machine)
    memory = _memory(settings, capacity)
    resources = NodeResources(devices, claims, cdi, cpus, memory, _topology(settings, nodes))
    api = PodResourcesApi(settings.root_dir, resources, lambda: (pod for pod, _ in pods() if not is_terminal(pod)))
    jobs.append(("pod resources API", api.run))
    return Assembled(resources, drivers, {"DRAPlugin": drivers, "DevicePlugin": devices}, jobs)


def _first(machine: Sequence[Processor], capacity: Capacity) -> Cpus:
    """As many whole processors as are reserved."""
    count = -(-capacity.reserved.cpu_milli // 1000)
    return take(machine, frozenset(cpu.id for cpu in machine), min(count, len(machine)))


def _memory(settings: KubeletSettings, capacity: Capacity) -> PinnedMemory | None:
    """Raises RuntimeError, ValueError, OSError."""
    state = settings.root_dir / "memory_manager_state"
    if settings.memory_manager_policy != "Static":
        state.unlink(missing_ok=True)
        return None
    check_memory(settings.reserved_memory, capacity.reserved)
    return PinnedMemory(read_banks(settings.reserved_memory), state)


def _topology(settings: KubeletSettings, nodes: frozenset[int]) -> Topology:
    """Raises RuntimeError: more NUMA nodes than can be compared."""
    policy = settings.topology_manager_policy
    closest, most = topology_options(settings.topology_manager_options)
    if policy != "none" and len(nodes) > most:
        raise RuntimeError(f"unsupported on machines with more than {most} NUMA Nodes")
    distances = read_distances() if closest else {}
    return Topology(policy, nodes, distances, policy != "none" and settings.topology_manager_scope == "pod")
