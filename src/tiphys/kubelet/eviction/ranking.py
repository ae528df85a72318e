"""Which pod goes first when the node is low, and what it is told. Pure.

Source: pkg/kubelet/eviction/helpers.go (rank*, evictionMessage), eviction_manager.go (localStorageEviction).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tiphys.api.kinds.core.pod.facts import limits, requests
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.quantity import value
from tiphys.kubelet.eviction.thresholds import RESOURCES, Observation, Threshold
from tiphys.kubelet.stats.disk import DiskUse

_CRITICAL = 2_000_000_000
_SOURCES = {"file", "http"}


@dataclass(frozen=True, slots=True)
class PodUse:
    """What one pod uses now."""

    pod: Pod
    memory_bytes: int = 0
    processes: int = 0
    disk: DiskUse = field(default_factory=DiskUse)
    containers_memory: Mapping[str, int] = field(default_factory=dict)
    containers_disk: Mapping[str, int] = field(default_factory=dict)
    """Bytes of logs and writable layer."""
    volumes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Eviction:
    pod: Pod
    message: str
    signal: str


def is_critical(pod: Pod) -> bool:
    """Never evicted, always admitted: static pods and those of the system's priority."""
    return (
        pod.metadata.annotations.get("kubernetes.io/config.source") in _SOURCES
        or "kubernetes.io/config.mirror" in pod.metadata.annotations
        or (pod.spec.priority or 0) >= _CRITICAL
    )


def used(use: PodUse, resource: str) -> int:
    match resource:
        case "memory":
            return use.memory_bytes
        case "pids":
            return use.processes
        case "inodes":
            return use.disk.inodes
    return use.disk.bytes


def rank(uses: Iterable[PodUse], resource: str) -> list[PodUse]:
    """First to go first: those above their request, then the least important, then the most above the request."""

    def key(use: PodUse) -> tuple[int, int, int]:
        amount, wanted = used(use, resource), requests(use.pod).get(resource, 0)
        exceeds = resource != "pids" and amount > wanted
        return -exceeds, use.pod.spec.priority or 0, wanted - amount

    return sorted(uses, key=key)


def eviction_of(use: PodUse, threshold: Threshold, seen: Observation) -> Eviction:
    """The words for the event and the status."""
    resource = RESOURCES[threshold.signal]
    limit = shown(threshold.amount.of(seen.capacity))
    text = (
        f"The node was low on resource: {resource}. Threshold quantity: {limit}, available: {shown(seen.available)}. "
    )
    by_container = {"memory": use.containers_memory, "ephemeral-storage": use.containers_disk}.get(resource, {})
    for container in (*use.pod.spec.containers, *use.pod.spec.init_containers):
        amount = by_container.get(container.name)
        wanted = container.resources.requests.get(resource, "0")
        if amount is not None and amount > value(wanted):
            text += (
                f"Container {container.name} was using {shown(amount)}, request is {wanted}, "
                f"has larger consumption of {resource}. "
            )
    return Eviction(use.pod, text, threshold.signal)


def shown(amount: int) -> str:
    """In the largest binary unit that says it exactly, as a quantity is written."""
    for power, suffix in ((30, "Gi"), (20, "Mi"), (10, "Ki")):
        if amount and amount % (1 << power) == 0:
            return f"{amount >> power}{suffix}"
    return str(amount)


def has_storage_limits(pod: Pod) -> bool:
    """Whether `over_limit` can say anything of the pod."""
    if any(v.empty_dir is not None and value(v.empty_dir.size_limit or "0") > 0 for v in pod.spec.volumes):
        return True
    return any("ephemeral-storage" in container.resources.limits for container in pod.spec.containers)


def over_limit(use: PodUse) -> Eviction | None:
    """A pod that has more on the disk than its own limits allow."""
    pod = use.pod
    for volume in pod.spec.volumes:
        size = volume.empty_dir.size_limit if volume.empty_dir is not None else None
        if size and value(size) > 0 and use.volumes.get(volume.name, 0) > value(size):
            text = f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{size}". '
            return Eviction(pod, text, "emptydirfs.limit")
    every = all("ephemeral-storage" in container.resources.limits for container in pod.spec.containers)
    most = limits(pod).get("ephemeral-storage", 0)
    if every and most and use.disk.bytes > most:
        text = f"Pod ephemeral local storage usage exceeds the total limit of containers {shown(most)}. "
        return Eviction(pod, text, "ephemeralpodfs.limit")
    for container in pod.spec.containers:
        limit = container.resources.limits.get("ephemeral-storage", "0")
        if value(limit) and use.containers_disk.get(container.name, 0) > value(limit):
            text = f'Container {container.name} exceeded its local ephemeral storage limit "{limit}". '
            return Eviction(pod, text, "ephemeralcontainerfs.limit")
    return None
