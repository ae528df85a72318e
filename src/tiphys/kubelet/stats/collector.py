"""Reads what every pod of the node uses. Files are read in a thread; nothing runs while nobody asks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import Clock
from tiphys.kubelet.cgroups import Hierarchies, container_cgroup, pod_cgroup
from tiphys.kubelet.cri.client import CriClient, RuntimeFailure
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.state import ContainerRun, PodRuntime
from tiphys.kubelet.stats.cgroup_usage import CgroupReader, Usage
from tiphys.kubelet.stats.disk import DiskUse, DiskUses
from tiphys.kubelet.stats.machine import (
    FileSystem,
    Interface,
    MachineUsage,
    default_interface,
    read_file_system,
    read_interfaces,
    read_machine,
)

_RATE_MIN_S = 0.5
_LOCAL_VOLUMES = {"kubernetes.io~empty-dir", "kubernetes.io~configmap", "kubernetes.io~git-repo"}


@dataclass(frozen=True, slots=True)
class ContainerReading:
    run: ContainerRun
    usage: Usage
    nano_cores: int | None


@dataclass(frozen=True, slots=True)
class PodReading:
    """One running pod. `time_s` is when it was read, in seconds since 1970."""

    pod: Pod
    time_s: float
    path: str
    usage: Usage
    nano_cores: int | None
    containers: tuple[ContainerReading, ...]
    interfaces: tuple[Interface, ...]
    default_interface: str


@dataclass(frozen=True, slots=True)
class NodeReading:
    time_s: float
    usage: MachineUsage
    nano_cores: int | None
    interfaces: tuple[Interface, ...]
    default_interface: str


@dataclass(frozen=True, slots=True)
class PodDisk:
    """What a pod has on the node's disk."""

    logs: Mapping[str, DiskUse] = field(default_factory=dict)
    """By container."""
    layers: Mapping[str, DiskUse] = field(default_factory=dict)
    """Writable layers, by container."""
    volumes: Mapping[str, DiskUse] = field(default_factory=dict)
    """By volume name; those in memory too."""
    local: DiskUse = field(default_factory=DiskUse)
    """All that counts as ephemeral storage: logs, layers, volumes on disk, the hosts file and the like."""


class _Rates:
    """Processor use between two readings of the same cgroup."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int, int | None]] = {}

    def rate(self, key: str, time_s: float, cpu_ns: int, since_s: float = 0.0) -> int | None:
        """Nano-cores since the last reading that is old enough; since `since_s` where there was none."""
        before = self._last.get(key)
        if before is None:
            known = int(cpu_ns / (time_s - since_s)) if 0 < since_s < time_s - _RATE_MIN_S else None
        elif time_s - before[0] < _RATE_MIN_S:
            return before[2]
        else:
            known = int(max(cpu_ns - before[1], 0) / (time_s - before[0]))
        self._last[key] = time_s, cpu_ns, known
        return known

    def keep(self, keys: Iterable[str]) -> None:
        kept = set(keys)
        self._last = {key: value for key, value in self._last.items() if key in kept}


class Collector:
    """`pods` names the node's pods with what the runtime knows of them."""

    def __init__(self, settings: KubeletSettings, clock: Clock, cri: CriClient, hierarchies: Hierarchies) -> None:
        self.settings = settings
        self._clock, self._cri = clock, cri
        self._reader = CgroupReader(hierarchies)
        self._rates = _Rates()
        self.disks = DiskUses(clock)
        self._image_fs: Path | None = None

    async def read_pods(self, pods: Iterable[tuple[Pod, PodRuntime]]) -> list[PodReading]:
        """Those that run; the order is theirs."""
        wanted = list(pods)
        found = await asyncio.to_thread(lambda: [self._read_pod(pod, runtime) for pod, runtime in wanted])
        readings = [reading for reading in found if reading is not None]
        keys = [key for r in readings for key in (r.path, *(container_cgroup(r.path, c.run.id) for c in r.containers))]
        self._rates.keep([*keys, "/"])
        return readings

    def _read_pod(self, pod: Pod, runtime: PodRuntime) -> PodReading | None:
        path = pod_cgroup(self.settings.cgroup_root, pod, self.settings.cgroup_driver)
        usage = self._reader.read(path)
        if usage is None:
            return None
        time_s = self._clock.now().timestamp()
        containers, pid = [], 0
        for run in runtime.running:
            below = container_cgroup(path, run.id)
            used = self._reader.read(below)
            if used is None:
                continue
            rate = self._rates.rate(below, time_s, used.cpu_ns, run.started_ns / 1e9)
            containers.append(ContainerReading(run, used, rate))
            pid = pid or self._reader.a_process(below)
        shared = pod.spec.host_network
        return PodReading(
            pod=pod,
            time_s=time_s,
            path=path,
            usage=usage,
            nano_cores=self._rates.rate(
                path, time_s, usage.cpu_ns, min((c.run.started_ns for c in containers), default=0) / 1e9
            ),
            containers=tuple(containers),
            interfaces=tuple(read_interfaces(pid)) if pid and not shared else (),
            default_interface=default_interface(pid) if pid and not shared else "",
        )

    async def read_node(self) -> NodeReading:
        return await asyncio.to_thread(self._read_node)

    def _read_node(self) -> NodeReading:
        usage = read_machine()
        time_s = self._clock.now().timestamp()
        me = os.getpid()
        rate = self._rates.rate("/", time_s, usage.cpu_ns, usage.boot_s)
        return NodeReading(time_s, usage, rate, tuple(read_interfaces(me)), default_interface(me))

    # --- disks -------------------------------------------------------------------------------------------------

    def node_fs(self) -> FileSystem:
        """Of volumes and bookkeeping. Raises OSError."""
        return read_file_system(self.settings.root_dir)

    async def image_dir(self) -> Path:
        """Where the runtime keeps images and layers; the kubelet's own directory while it does not say."""
        if self._image_fs is None:
            try:
                info = await self._cri.image_fs_info()
            except RuntimeFailure:
                return self.settings.root_dir
            found = [fs.fs_id.mountpoint for fs in info.image_filesystems if fs.fs_id is not None]
            if not found:
                return self.settings.root_dir
            self._image_fs = Path(found[0])
        return self._image_fs if self._image_fs.is_dir() else self.settings.root_dir

    async def image_fs(self) -> FileSystem:
        """Raises OSError."""
        return read_file_system(await self.image_dir())

    async def layers(self) -> dict[str, DiskUse]:
        """Writable layers by container id, as the runtime last measured them (every 10 s)."""
        try:
            listed = await self._cri.stats()
        except RuntimeFailure:
            return {}
        return {
            entry.attributes.id: DiskUse(
                entry.writable_layer.used_bytes.value if entry.writable_layer.used_bytes is not None else 0,
                entry.writable_layer.inodes_used.value if entry.writable_layer.inodes_used is not None else 0,
            )
            for entry in listed
            if entry.attributes is not None and entry.writable_layer is not None
        }

    def pod_disk(
        self, pod: Pod, runtime: PodRuntime, layers: Mapping[str, DiskUse], max_age_s: float = 60.0
    ) -> PodDisk:
        """Walks directories: call it in a thread."""
        meta = pod.metadata
        logs_dir = self.settings.pod_logs_dir(meta.namespace, meta.name, meta.uid)
        names = {run.name for run in runtime.containers}
        logs = {name: self.disks.of(logs_dir / name, max_age_s) for name in names}
        by_container: dict[str, DiskUse] = {}
        for run in runtime.containers:
            if run.id in layers and run.name not in by_container:
                by_container[run.name] = layers[run.id]
        volumes: dict[str, DiskUse] = {}
        local = sum((*logs.values(), *by_container.values()), DiskUse())
        in_memory = {
            v.name
            for v in pod.spec.volumes
            if v.empty_dir is not None and v.empty_dir.medium.startswith(("Memory", "Huge"))
        }
        directory = self.settings.pod_dir(meta.uid)
        for kind in _subdirectories(directory / "volumes"):
            for volume in _subdirectories(kind):
                use = volumes[volume.name] = self.disks.of(volume, max_age_s)
                if kind.name in _LOCAL_VOLUMES and volume.name not in in_memory:
                    local += use
        for name in ("etc-hosts", "containers"):
            local += self.disks.of(directory / name, max_age_s)
        return PodDisk(logs, by_container, volumes, local)


def _subdirectories(directory: Path) -> list[Path]:
    try:
        return [entry for entry in directory.iterdir() if entry.is_dir()]
    except OSError:
        return []
