"""The answer of /stats/summary. Field names are upstream's, in JSON; absent means unknown.

Source: staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go.
"""

from __future__ import annotations

import msgspec

from tiphys.kubelet.stats.cgroup_usage import Pressure, Usage
from tiphys.kubelet.stats.disk import DiskUse
from tiphys.kubelet.stats.machine import FileSystem, Interface, MachineUsage


class _Part(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    pass


class PSIData(msgspec.Struct):
    total: int
    avg10: float
    avg60: float
    avg300: float


class PSIStats(msgspec.Struct):
    full: PSIData
    some: PSIData


class CPUStats(_Part):
    time: str
    usage_nano_cores: int | None = None
    usage_core_nano_seconds: int | None = None
    psi: PSIStats | None = None


class MemoryStats(_Part):
    time: str
    available_bytes: int | None = None
    usage_bytes: int | None = None
    working_set_bytes: int | None = None
    rss_bytes: int | None = None
    page_faults: int | None = None
    major_page_faults: int | None = None
    psi: PSIStats | None = None


class IOStats(_Part):
    time: str
    psi: PSIStats | None = None


class SwapStats(_Part):
    time: str
    swap_available_bytes: int | None = None
    swap_usage_bytes: int | None = None


class FsStats(_Part):
    time: str
    available_bytes: int | None = None
    capacity_bytes: int | None = None
    used_bytes: int | None = None
    inodes_free: int | None = None
    inodes: int | None = None
    inodes_used: int | None = None


class PVCReference(msgspec.Struct):
    name: str
    namespace: str


class VolumeStats(FsStats, kw_only=True):
    name: str
    pvc_ref: PVCReference | None = None


class InterfaceStats(_Part):
    name: str
    rx_bytes: int
    rx_errors: int
    tx_bytes: int
    tx_errors: int


class NetworkStats(_Part):
    time: str
    name: str = ""
    rx_bytes: int | None = None
    rx_errors: int | None = None
    tx_bytes: int | None = None
    tx_errors: int | None = None
    interfaces: list[InterfaceStats] = []


class ProcessStats(msgspec.Struct):
    process_count: int


class RlimitStats(_Part):
    time: str
    maxpid: int | None = None
    curproc: int | None = None


class RuntimeStats(_Part):
    image_fs: FsStats | None = None
    container_fs: FsStats | None = None


class ContainerStats(_Part):
    name: str
    start_time: str
    cpu: CPUStats | None = None
    memory: MemoryStats | None = None
    io: IOStats | None = None
    rootfs: FsStats | None = None
    logs: FsStats | None = None
    swap: SwapStats | None = None


class PodReference(msgspec.Struct):
    name: str
    namespace: str
    uid: str


class PodStats(_Part):
    pod_ref: PodReference
    start_time: str
    containers: list[ContainerStats]
    cpu: CPUStats | None = None
    memory: MemoryStats | None = None
    io: IOStats | None = None
    network: NetworkStats | None = None
    volume: list[VolumeStats] = []
    ephemeral_storage: FsStats | None = msgspec.field(default=None, name="ephemeral-storage")
    process_stats: ProcessStats | None = msgspec.field(default=None, name="process_stats")
    swap: SwapStats | None = None


class NodeStats(_Part):
    node_name: str
    start_time: str
    system_containers: list[ContainerStats] = []
    cpu: CPUStats | None = None
    memory: MemoryStats | None = None
    network: NetworkStats | None = None
    fs: FsStats | None = None
    runtime: RuntimeStats | None = None
    rlimit: RlimitStats | None = None
    swap: SwapStats | None = None


class Summary(msgspec.Struct):
    node: NodeStats
    pods: list[PodStats]


def _psi(usage: Usage, what: str) -> PSIStats | None:
    found = (usage.pressure or {}).get(what)
    return PSIStats(full=_psi_data(found[1]), some=_psi_data(found[0])) if found is not None else None


def _psi_data(pressure: Pressure) -> PSIData:
    return PSIData(pressure.total * 1000, pressure.avg10, pressure.avg60, pressure.avg300)


def cpu_stats(time: str, usage: Usage, nano_cores: int | None) -> CPUStats:
    return CPUStats(
        time=time, usage_nano_cores=nano_cores, usage_core_nano_seconds=usage.cpu_ns, psi=_psi(usage, "cpu")
    )


def memory_stats(time: str, usage: Usage) -> MemoryStats:
    return MemoryStats(
        time=time,
        available_bytes=usage.available_bytes,
        usage_bytes=usage.memory_bytes,
        working_set_bytes=usage.working_set_bytes,
        rss_bytes=usage.rss_bytes,
        page_faults=usage.page_faults,
        major_page_faults=usage.major_page_faults,
        psi=_psi(usage, "memory"),
    )


def io_stats(time: str, usage: Usage) -> IOStats | None:
    found = _psi(usage, "io")
    return IOStats(time=time, psi=found) if found is not None else None


def swap_stats(time: str, usage: Usage) -> SwapStats:
    return SwapStats(time=time, swap_usage_bytes=usage.swap_bytes)


def fs_stats(time: str, fs: FileSystem, use: DiskUse | None = None) -> FsStats:
    """Of a file system; with `use`, of a part of it."""
    return FsStats(
        time=time,
        available_bytes=fs.available_bytes,
        capacity_bytes=fs.capacity_bytes,
        used_bytes=fs.used_bytes if use is None else use.bytes,
        inodes_free=fs.inodes_free,
        inodes=fs.inodes,
        inodes_used=fs.inodes_used if use is None else use.inodes,
    )


def network_stats(time: str, interfaces: list[Interface], default: str) -> NetworkStats:
    shown = [
        InterfaceStats(
            name=i.name, rx_bytes=i.rx_bytes, rx_errors=i.rx_errors, tx_bytes=i.tx_bytes, tx_errors=i.tx_errors
        )
        for i in interfaces
    ]
    main = next((i for i in shown if i.name == default), None)
    if main is None:
        return NetworkStats(time=time, interfaces=shown)
    return NetworkStats(
        time=time,
        name=main.name,
        rx_bytes=main.rx_bytes,
        rx_errors=main.rx_errors,
        tx_bytes=main.tx_bytes,
        tx_errors=main.tx_errors,
        interfaces=shown,
    )


def machine_cpu(time: str, machine: MachineUsage, nano_cores: int | None) -> CPUStats:
    return CPUStats(time=time, usage_nano_cores=nano_cores, usage_core_nano_seconds=machine.cpu_ns)


def machine_memory(time: str, machine: MachineUsage) -> MemoryStats:
    return MemoryStats(
        time=time,
        available_bytes=machine.available_bytes,
        usage_bytes=machine.memory_bytes,
        working_set_bytes=machine.working_set_bytes,
        rss_bytes=machine.rss_bytes,
        page_faults=machine.page_faults,
        major_page_faults=machine.major_page_faults,
    )
