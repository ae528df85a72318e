"""The loop that keeps the node from running dry: observes every 10 s, collects what nobody needs, evicts one pod.

Reading signals costs three files and two statvfs; pods are read only where something is low or has limits of its own.
Source: pkg/kubelet/eviction/eviction_manager.go (synchronize).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from tiphys.api.kinds.core.pod.facts import is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import Clock
from tiphys.client.events import Recorder
from tiphys.kubelet.eviction.ranking import (
    Eviction,
    PodUse,
    eviction_of,
    has_storage_limits,
    is_critical,
    over_limit,
    rank,
)
from tiphys.kubelet.eviction.thresholds import RESOURCES, Observation, PressureState, Verdict, thresholds
from tiphys.kubelet.metrics import KubeletMetrics
from tiphys.kubelet.node_events import node_reference
from tiphys.kubelet.state import PodRuntime
from tiphys.kubelet.stats.collector import Collector
from tiphys.kubelet.stats.disk import DiskUse

_log = logging.getLogger(__name__)

PERIOD_S = 10.0
_IMMEDIATE_S = 1
_DISK_AGE_S = 5.0

Pods = Callable[[], Sequence[tuple[Pod, PodRuntime]]]
Evict = Callable[[Pod, str, int], Awaitable[None]]
"""(pod, message, grace in seconds): returns when its containers are gone."""


class Evictor:
    """`collect` frees what nobody needs (images, dead containers); `changed` hears of new conditions."""

    def __init__(
        self,
        collector: Collector,
        clock: Clock,
        recorder: Recorder,
        metrics: KubeletMetrics,
        pods: Pods,
        evict: Evict,
        collect: Callable[[], Awaitable[None]],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        settings = collector.settings
        self._collector, self._clock, self._recorder, self._metrics = collector, clock, recorder, metrics
        self._pods, self._evict, self._collect, self._changed = pods, evict, collect, changed
        self._state = PressureState(
            thresholds(
                settings.eviction_hard,
                settings.eviction_soft,
                settings.eviction_soft_grace,
                settings.eviction_minimum_reclaim,
            ),
            settings.eviction_transition_s,
        )
        self._max_grace_s = settings.eviction_max_grace_s
        self.conditions: tuple[str, ...] = ()
        """MemoryPressure, DiskPressure, PIDPressure: what holds now."""

    async def run(self) -> None:
        while True:
            try:
                evicted = await self.once()
            except OSError as error:
                _log.warning("eviction: %s", error)
                evicted = False
            await self._clock.sleep(1.0 if evicted else PERIOD_S)

    async def once(self) -> bool:
        """One look; whether a pod was evicted. Raises OSError."""
        candidates = [(pod, runtime) for pod, runtime in self._pods() if not is_terminal(pod) and runtime.running]
        if await self._over_limits(candidates):
            return True
        seen = await self.observe()
        verdict = await self._note(seen)
        if not verdict.due:
            return False
        threshold = verdict.due[0]
        resource = RESOURCES[threshold.signal]
        what = f"Attempting to reclaim {resource}"
        self._recorder.event(
            node_reference(self._collector.settings.node_name), "Warning", "EvictionThresholdMet", what
        )
        if resource in ("ephemeral-storage", "inodes"):
            await self._collect()
            seen = await self.observe()
            if not (await self._note(seen)).due:
                return False
        ranked = rank(await self._uses(candidates, disk=resource in ("ephemeral-storage", "inodes")), resource)
        for use in ranked:
            if is_critical(use.pod):
                continue
            grace_s = _IMMEDIATE_S
            if threshold.grace_s:
                own_s = use.pod.spec.termination_grace_period_seconds
                grace_s = min(self._max_grace_s, own_s if own_s is not None else 30)
            await self._go(eviction_of(use, threshold, seen[threshold.signal]), grace_s)
            return True
        _log.warning("low on %s, and no pod may be evicted", resource)
        return False

    async def observe(self) -> dict[str, Observation]:
        """Every signal as it is now. Raises OSError."""
        node = (await self._collector.read_node()).usage
        node_fs, image_fs = self._collector.node_fs(), await self._collector.image_fs()
        seen = {
            "memory.available": Observation(node.available_bytes, node.memory_total_bytes),
            "nodefs.available": Observation(node_fs.available_bytes, node_fs.capacity_bytes),
            "imagefs.available": Observation(image_fs.available_bytes, image_fs.capacity_bytes),
            "pid.available": Observation(node.max_processes - node.processes, node.max_processes),
        }
        if node_fs.inodes:
            seen["nodefs.inodesFree"] = Observation(node_fs.inodes_free, node_fs.inodes)
        if image_fs.inodes:
            seen["imagefs.inodesFree"] = Observation(image_fs.inodes_free, image_fs.inodes)
        return seen

    async def _note(self, seen: Mapping[str, Observation]) -> Verdict:
        verdict = self._state.look(seen, self._clock.monotonic())
        if verdict.conditions != self.conditions:
            self.conditions = verdict.conditions
            await self._changed()
        return verdict

    async def _over_limits(self, candidates: Sequence[tuple[Pod, PodRuntime]]) -> bool:
        limited = [(pod, runtime) for pod, runtime in candidates if has_storage_limits(pod)]
        if not limited:
            return False
        evictions = [over_limit(use) for use in await self._uses(limited, disk=True)]
        found = [eviction for eviction in evictions if eviction is not None and not is_critical(eviction.pod)]
        await asyncio.gather(*(self._go(eviction, _IMMEDIATE_S) for eviction in found))
        return bool(found)

    async def _uses(self, candidates: Sequence[tuple[Pod, PodRuntime]], *, disk: bool) -> list[PodUse]:
        runtimes = {pod.metadata.uid: runtime for pod, runtime in candidates}
        layers = await self._collector.layers() if disk else {}
        readings = await self._collector.read_pods(candidates)

        def measure() -> list[PodUse]:
            found = []
            for reading in readings:
                runtime = runtimes[reading.pod.metadata.uid]
                use = PodUse(
                    reading.pod,
                    reading.usage.working_set_bytes,
                    reading.usage.processes,
                    containers_memory={c.run.name: c.usage.working_set_bytes for c in reading.containers},
                )
                if disk:
                    has = self._collector.pod_disk(reading.pod, runtime, layers, _DISK_AGE_S)
                    names = {*has.logs, *has.layers}
                    use = PodUse(
                        use.pod,
                        use.memory_bytes,
                        use.processes,
                        has.local,
                        use.containers_memory,
                        {n: (has.logs.get(n, DiskUse()) + has.layers.get(n, DiskUse())).bytes for n in names},
                        {name: volume.bytes for name, volume in has.volumes.items()},
                    )
                found.append(use)
            return found

        return await asyncio.to_thread(measure)

    async def _go(self, eviction: Eviction, grace_s: int) -> None:
        pod = eviction.pod
        _log.warning("evicting %s/%s: %s", pod.metadata.namespace, pod.metadata.name, eviction.message)
        self._recorder.event(pod, "Warning", "Evicted", eviction.message)
        self._metrics.evictions.inc(eviction.signal)
        await self._evict(pod, eviction.message, grace_s)
