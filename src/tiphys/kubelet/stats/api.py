"""Summary of a node from its readings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import rfc3339
from tiphys.kubelet.state import PodRuntime
from tiphys.kubelet.stats import summary as s
from tiphys.kubelet.stats.collector import Collector, ContainerReading, NodeReading, PodDisk, PodReading
from tiphys.kubelet.stats.disk import DiskUse
from tiphys.kubelet.stats.machine import FileSystem

PodsNow = Sequence[tuple[Pod, PodRuntime]]


def time_text(seconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC))


async def make_summary(collector: Collector, pods: PodsNow, *, only_cpu_and_memory: bool = False) -> s.Summary:
    """What /stats/summary answers. Raises OSError where the machine's own files cannot be read."""
    node, readings = await asyncio.gather(collector.read_node(), collector.read_pods(pods))
    time = time_text(node.time_s)
    shown = s.NodeStats(
        node_name=collector.settings.node_name,
        start_time=time_text(node.usage.boot_s),
        cpu=s.machine_cpu(time, node.usage, node.nano_cores),
        memory=s.machine_memory(time, node.usage),
    )
    if only_cpu_and_memory:
        return s.Summary(shown, [_pod(reading, None, None, None) for reading in readings])
    node_fs, image_fs, layers = collector.node_fs(), await collector.image_fs(), await collector.layers()
    runtimes = {pod.metadata.uid: runtime for pod, runtime in pods}

    def walk() -> list[PodDisk]:
        return [collector.pod_disk(r.pod, runtimes[r.pod.metadata.uid], layers) for r in readings]

    disks = await asyncio.to_thread(walk)
    _complete(shown, node, node_fs, image_fs)
    return s.Summary(
        shown, [_pod(reading, disk, node_fs, image_fs) for reading, disk in zip(readings, disks, strict=True)]
    )


def _complete(shown: s.NodeStats, node: NodeReading, node_fs: FileSystem, image_fs: FileSystem) -> None:
    time = time_text(node.time_s)
    shown.network = s.network_stats(time, list(node.interfaces), node.default_interface)
    shown.fs = s.fs_stats(time, node_fs)
    images = s.fs_stats(time, image_fs)
    shown.runtime = s.RuntimeStats(image_fs=images, container_fs=images)
    shown.rlimit = s.RlimitStats(time=time, maxpid=node.usage.max_processes, curproc=node.usage.processes)
    free = node.usage.swap_total_bytes - node.usage.swap_bytes
    shown.swap = s.SwapStats(time=time, swap_available_bytes=free, swap_usage_bytes=node.usage.swap_bytes)


def _pod(
    reading: PodReading, disk: PodDisk | None, node_fs: FileSystem | None, image_fs: FileSystem | None
) -> s.PodStats:
    meta, time = reading.pod.metadata, time_text(reading.time_s)
    shown = s.PodStats(
        pod_ref=s.PodReference(meta.name, meta.namespace, meta.uid),
        start_time=reading.pod.status.start_time or meta.creation_timestamp or time,
        containers=[_container(c, time, disk, node_fs, image_fs) for c in reading.containers],
        cpu=s.cpu_stats(time, reading.usage, reading.nano_cores),
        memory=s.memory_stats(time, reading.usage),
    )
    if disk is None or node_fs is None:
        return shown
    shown.io = s.io_stats(time, reading.usage)
    shown.swap = s.swap_stats(time, reading.usage)
    if reading.interfaces:
        shown.network = s.network_stats(time, list(reading.interfaces), reading.default_interface)
    shown.volume = [_volume(reading.pod, name, use, time, node_fs) for name, use in disk.volumes.items()]
    shown.ephemeral_storage = s.fs_stats(time, node_fs, disk.local)
    shown.process_stats = s.ProcessStats(reading.usage.processes)
    return shown


def _volume(pod: Pod, name: str, use: DiskUse, time: str, fs: FileSystem) -> s.VolumeStats:
    claim = next((v.persistent_volume_claim for v in pod.spec.volumes if v.name == name), None)
    return s.VolumeStats(
        time=time,
        name=name,
        available_bytes=fs.available_bytes,
        capacity_bytes=fs.capacity_bytes,
        used_bytes=use.bytes,
        inodes_free=fs.inodes_free,
        inodes=fs.inodes,
        inodes_used=use.inodes,
        pvc_ref=s.PVCReference(claim.claim_name, pod.metadata.namespace) if claim is not None else None,
    )


def _container(
    reading: ContainerReading, time: str, disk: PodDisk | None, node_fs: FileSystem | None, image_fs: FileSystem | None
) -> s.ContainerStats:
    run = reading.run
    shown = s.ContainerStats(
        name=run.name,
        start_time=time_text(run.started_ns / 1e9),
        cpu=s.cpu_stats(time, reading.usage, reading.nano_cores),
        memory=s.memory_stats(time, reading.usage),
    )
    if disk is None or node_fs is None or image_fs is None:
        return shown
    shown.io = s.io_stats(time, reading.usage)
    shown.swap = s.swap_stats(time, reading.usage)
    shown.logs = s.fs_stats(time, node_fs, disk.logs.get(run.name, DiskUse()))
    shown.rootfs = s.fs_stats(time, image_fs, disk.layers.get(run.name, DiskUse()))
    return shown
