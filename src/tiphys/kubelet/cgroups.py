"""Cgroups of pods, `kubepods/{burstable,besteffort}/pod<uid>`, on cgroup v1, v2 and the hybrid.

The numbers are pure functions; `CgroupTree` writes them, and with the driver systemd tells them to systemd before
(`systemd/slices.py`). Containers' own cgroups are made by the runtime, below.

Source: pkg/kubelet/cm/helpers_linux.go, pod_container_manager_linux.go, qos_container_manager_linux.go,
pkg/kubelet/qos/policy.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tiphys.api.kinds.core.pod.containers import Container, ResourceRequirements
from tiphys.api.kinds.core.pod.facts import amounts, limits, qos_class, requests
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.quantity import from_value, milli, value
from tiphys.kubelet.allocation import within
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.cri.common import HugepageLimit, LinuxContainerResources
from tiphys.kubelet.swap import swap_bytes
from tiphys.kubelet.systemd.slices import Slices, Weights, scope_of, slice_of, uid_of

_log = logging.getLogger(__name__)

PERIOD_US = 100_000
_MIN_SHARES, _MAX_SHARES = 2, 262_144
_MIN_QUOTA_US = 1000
_REMOVE_ATTEMPTS = 50
_QUALITIES = ("Guaranteed", "Burstable", "BestEffort")
CGROUPFS, SYSTEMD = DRIVERS = ("cgroupfs", "systemd")


def cpu_shares(milli_cpu: int) -> int:
    """cgroup v1 weight of so many thousandths of a core: 1024 per core, between 2 and 262144."""
    return min(max(milli_cpu * 1024 // 1000, _MIN_SHARES), _MAX_SHARES)


def cpu_weight(shares: int) -> int:
    """The same on v2 (1 to 10000)."""
    return 1 + (shares - 2) * 9999 // 262142


def cpu_quota_us(milli_cpu: int) -> int:
    """Time per 100 ms period; 0 is no limit; never below 1 ms, the least that the kernel takes."""
    return 0 if milli_cpu <= 0 else max(milli_cpu * PERIOD_US // 1000, _MIN_QUOTA_US)


def oom_score_adj(pod: Pod, container: Container, memory_capacity_bytes: int) -> int:
    """How soon the kernel kills it: guaranteed last (-997), best effort first (1000), the rest by their request."""
    if pod.spec.priority is not None and pod.spec.priority >= 2_000_001_000:  # system-node-critical
        return -997
    quality = qos_class(pod)
    if quality == "Guaranteed":
        return -997
    if quality == "BestEffort" or not memory_capacity_bytes:
        return 1000
    requested = value(container.resources.requests.get("memory", "0"))
    adjust = 1000 - 1000 * requested // memory_capacity_bytes
    return min(max(adjust, 3), 999)


def huge_page_limits(amounts: Mapping[str, int], sizes: Iterable[int]) -> dict[str, int]:
    """Bytes by page size, as cgroups name it (`2MB`): what is asked of each size that the node has, else nothing."""
    return {_page_name(size): amounts.get(f"hugepages-{from_value(size, binary=True)}", 0) for size in sorted(sizes)}


def _page_name(size: int) -> str:
    for shift, unit in ((30, "GB"), (20, "MB"), (10, "KB")):
        if size >= 1 << shift:
            return f"{size >> shift}{unit}"
    return f"{size}B"


def container_resources(
    pod: Pod, container: Container, capacity: Capacity, *, unified: bool, swap: str = ""
) -> LinuxContainerResources:
    """What the runtime writes into the container's own cgroup. `swap`: the node's behaviour (`swap.BEHAVIOURS`), where
    the kernel can limit it; else empty."""
    asked = container.resources
    most = within(asked, pod.spec.resources or ResourceRequirements())
    cpu = asked.requests.get("cpu") or asked.limits.get("cpu") or "0"
    resources = LinuxContainerResources(
        cpu_shares=cpu_shares(milli(cpu)),
        cpu_period=PERIOD_US,
        cpu_quota=cpu_quota_us(milli(most.limits.get("cpu", "0"))),
        memory_limit_in_bytes=value(most.limits.get("memory", "0")),
        oom_score_adj=oom_score_adj(pod, container, capacity.memory_bytes),
        hugepage_limits=[
            HugepageLimit(page_size=size, limit=amount)
            for size, amount in huge_page_limits(amounts(asked.limits), _page_sizes(capacity)).items()
        ],
    )
    if unified:
        resources.unified = {"memory.oom.group": "1"}
        if swap:
            resources.unified["memory.swap.max"] = str(swap_bytes(pod, container, capacity, swap))
    return resources


def _page_sizes(capacity: Capacity) -> list[int]:
    return [size for size, count in capacity.huge_pages.items() if count]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a cgroup is given; 0 is no limit."""

    cpu_shares: int
    cpu_quota_us: int = 0
    memory_bytes: int = 0
    pids: int = 0


def pod_limits(pod: Pod) -> Limits:
    """The pod's own cgroup: a limit only where every container has one, because the others may take what they like."""
    asked, most = requests(pod), limits(pod)
    containers = [*pod.spec.containers, *pod.spec.init_containers]
    level = pod.spec.resources or ResourceRequirements()
    cpu_limited = "cpu" in level.limits or all("cpu" in c.resources.limits for c in containers)
    memory_limited = "memory" in level.limits or all("memory" in c.resources.limits for c in containers)
    quality = qos_class(pod)
    if quality == "BestEffort":
        return Limits(cpu_shares=_MIN_SHARES)
    return Limits(
        cpu_shares=cpu_shares(asked.get("cpu", 0)),
        cpu_quota_us=cpu_quota_us(most.get("cpu", 0)) if cpu_limited else 0,
        memory_bytes=most.get("memory", 0) if memory_limited else 0,
    )


def pod_cgroup(root: str, pod: Pod, driver: str = CGROUPFS) -> str:
    """The cgroup path, from the root of every hierarchy: `/kubepods/burstable/pod<uid>`, or its slice's."""
    path = f"{_qos_cgroup(root, qos_class(pod))}/pod{pod.metadata.uid}"
    return slice_of(path) if driver == SYSTEMD else path


def container_cgroup(pod_path: str, container_id: str) -> str:
    """Where the runtime puts a container of the pod with this cgroup."""
    return scope_of(pod_path, container_id) if pod_path.endswith(".slice") else f"{pod_path}/{container_id}"


def _qos_cgroup(root: str, quality: str) -> str:
    top = f"{root.rstrip('/')}/kubepods"
    return top if quality == "Guaranteed" else f"{top}/{quality.lower()}"


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where cgroups are mounted."""

    unified: Path | None
    """The v2 mount when it is in charge (no v1 controllers beside it)."""
    controllers: Mapping[str, Path]
    """v1: controller to mount. Empty on v2."""
    others: tuple[Path, ...]
    """Hierarchies without controllers that the runtime makes directories in all the same (systemd, hybrid's v2)."""

    def all(self) -> Iterable[Path]:
        if self.unified is not None:
            yield self.unified
        yield from dict.fromkeys(self.controllers.values())
        yield from self.others


def detect(mounts: str | None = None) -> Hierarchies:
    """Read the layout from the text of /proc/self/mounts. Hybrid counts as v1: its v2 mount has no controllers."""
    text = mounts if mounts is not None else Path("/proc/self/mounts").read_text()
    unified: list[Path] = []
    controllers: dict[str, Path] = {}
    named: list[Path] = []
    for line in text.splitlines():
        _, point, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            unified.append(Path(point))
        elif kind == "cgroup":
            names = [o for o in options.split(",") if o not in ("rw", "ro", "relatime", "nosuid", "nodev", "noexec")]
            if any("=" in name for name in names):
                named.append(Path(point))
            for name in names:
                if "=" not in name:
                    controllers[name] = Path(point)
    if controllers:
        return Hierarchies(None, controllers, tuple(named + unified))
    if not unified:
        raise RuntimeError("no cgroup file system is mounted: mount cgroup2 on /sys/fs/cgroup")
    return Hierarchies(unified[0], {}, ())


class CgroupTree:
    """The node's cgroups under `<root>/kubepods`."""

    def __init__(self, root: str, hierarchies: Hierarchies, pod_pids: int = 0, *, slices: Slices | None = None) -> None:
        """`pod_pids`: how many processes and threads a pod may have; 0: as many as the machine.

        `slices`: what makes them (the driver systemd); None: we do (cgroupfs).
        """
        self.root = root
        self._pod_pids = pod_pids
        self._on = hierarchies
        self._slices = slices
        self._pods: dict[str, tuple[str, int]] = {}
        self._turn = asyncio.Lock()
        """Of threads that ask systemd."""

    @property
    def unified(self) -> bool:
        return self._on.unified is not None

    @property
    def swap_limited(self) -> bool:
        """Whether the kernel can say how much a cgroup may swap; known once `create_top` was called."""
        top = self._placed(_qos_cgroup(self.root, "Guaranteed")).lstrip("/")
        return self._on.unified is not None and (self._on.unified / top / "memory.swap.max").exists()

    def path(self, pod: Pod) -> str:
        """The pod's cgroup, from the root of every hierarchy."""
        return self._placed(pod_cgroup(self.root, pod))

    def _placed(self, cgroup: str) -> str:
        return cgroup if self._slices is None else slice_of(cgroup)

    def create(self, cgroup: str, limits: Limits) -> None:
        """Make the cgroup (and those above it) and set its limits. Raises OSError."""
        path = self._placed(cgroup)
        if self._slices is not None:
            self._slices.ensure(path, _told(limits))
        if self._on.unified is not None:
            self._create_v2(self._on.unified, path, limits)
            return
        settings = {
            "cpu": {"cpu.shares": limits.cpu_shares, "cpu.cfs_quota_us": limits.cpu_quota_us or -1},
            "memory": {"memory.limit_in_bytes": limits.memory_bytes or -1},
        }
        if limits.pids:
            settings["pids"] = {"pids.max": limits.pids}
        for controller, files in settings.items():
            if (mount := self._on.controllers.get(controller)) is None:
                continue
            directory = mount / path.lstrip("/")
            directory.mkdir(parents=True, exist_ok=True)
            for name, number in files.items():
                (directory / name).write_text(str(number))

    def _create_v2(self, mount: Path, path: str, limits: Limits) -> None:
        directory = mount
        for part in path.strip("/").split("/"):
            have = (directory / "cgroup.controllers").read_text().split()
            wanted = " ".join(f"+{name}" for name in ("cpu", "memory", "pids", "cpuset", "io") if name in have)
            (directory / "cgroup.subtree_control").write_text(wanted)
            directory /= part
            directory.mkdir(exist_ok=True)
        quota = limits.cpu_quota_us or "max"
        (directory / "cpu.weight").write_text(str(cpu_weight(limits.cpu_shares)))
        (directory / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        (directory / "memory.max").write_text(str(limits.memory_bytes or "max"))
        if limits.pids:
            (directory / "pids.max").write_text(str(limits.pids))

    def create_top(self, allocatable_milli_cpu: int) -> None:
        """`kubepods` and its two classes, at start."""
        self.create(_qos_cgroup(self.root, "Guaranteed"), Limits(cpu_shares(allocatable_milli_cpu)))
        for quality in _QUALITIES[1:]:
            self.create(_qos_cgroup(self.root, quality), Limits(_MIN_SHARES))

    async def ensure_pod(self, pod: Pod, limits: Limits | None = None) -> None:
        """`add_pod`, or the pod's cgroup with these limits. systemd is asked in a thread: it takes milliseconds."""

        def work() -> None:
            if limits is None:
                self.add_pod(pod)
            else:
                self.create(pod_cgroup(self.root, pod), limits)

        if self._slices is None:
            work()
        else:
            async with self._turn:
                await asyncio.to_thread(work)

    def add_pod(self, pod: Pod) -> str:
        """The pod's cgroup, made; returns its path for the sandbox. Idempotent."""
        self.create(pod_cgroup(self.root, pod), replace(pod_limits(pod), pids=self._pod_pids))
        quality = qos_class(pod)
        weight = (quality, requests(pod).get("cpu", 0))
        if self._pods.get(pod.metadata.uid) != weight:
            self._pods[pod.metadata.uid] = weight
            self._weigh_burstable()
        return self.path(pod)

    async def remove_pod(self, pod: Pod) -> bool:
        """Remove the pod's cgroup everywhere, once its processes are gone; whether nothing is left."""
        if self._pods.pop(pod.metadata.uid, None) is not None:
            if self._slices is None:
                self._weigh_burstable()
            else:
                async with self._turn:
                    await asyncio.to_thread(self._weigh_burstable)
        return await self.remove(pod_cgroup(self.root, pod))

    async def remove(self, cgroup: str) -> bool:
        """Remove a cgroup with all below it. A dying process keeps it busy for a moment: try for a second."""
        path = self._placed(cgroup)
        if self._slices is not None:
            try:
                await asyncio.to_thread(self._slices.end, path)
            except OSError as error:
                _log.warning("%s", error)
        directories = [mount / path.lstrip("/") for mount in self._on.all()]
        for attempt in range(_REMOVE_ATTEMPTS):
            directories = [directory for directory in directories if not _remove_tree(directory)]
            if not directories:
                return True
            await asyncio.sleep(0.001 * min(attempt + 1, 40))
        _log.warning("cgroup %s is still busy", path)
        return False

    def memory_usage(self, pod: Pod) -> int:
        """Bytes that the pod uses now. Raises OSError."""
        path = self._placed(pod_cgroup(self.root, pod)).lstrip("/")
        if self._on.unified is not None:
            return int((self._on.unified / path / "memory.current").read_text())
        return int((self._on.controllers["memory"] / path / "memory.usage_in_bytes").read_text())

    def pods(self) -> Iterable[str]:
        """UIDs of all pods that have a cgroup here."""
        mount = self._on.unified or self._on.controllers.get("memory") or next(iter(self._on.controllers.values()))
        for quality in _QUALITIES:
            directory = mount / self._placed(_qos_cgroup(self.root, quality)).lstrip("/")
            if directory.is_dir():
                for entry in directory.iterdir():
                    if entry.is_dir() and (uid := self._uid(entry.name)):
                        yield uid

    def _uid(self, name: str) -> str:
        if self._slices is not None:
            return uid_of(name)
        return name[3:] if name.startswith("pod") else ""

    async def remove_uid(self, uid: str) -> None:
        """Remove the cgroup of a pod that is no longer known, whichever class it was in."""
        for quality in _QUALITIES:
            await self.remove(f"{_qos_cgroup(self.root, quality)}/pod{uid}")

    def _weigh_burstable(self) -> None:
        total = sum(cpu for quality, cpu in self._pods.values() if quality == "Burstable")
        self.create(_qos_cgroup(self.root, "Burstable"), Limits(cpu_shares(total)))


def _told(limits: Limits) -> Weights:
    per_second = limits.cpu_quota_us * (1_000_000 // PERIOD_US)
    return Weights(limits.cpu_shares, cpu_weight(limits.cpu_shares), per_second, limits.memory_bytes, limits.pids)


def _remove_tree(directory: Path) -> bool:
    """rmdir from below; whether the directory is gone."""
    try:
        for child in directory.iterdir():
            if child.is_dir():
                _remove_tree(child)
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
