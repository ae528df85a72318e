"""Keeps every container on its processors when the shared ones change. Source: reconcileState in cpu_manager.go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.cri.client import CriClient, RuntimeFailure
from tiphys.kubelet.cri.common import LinuxContainerResources
from tiphys.kubelet.resources.cpus.static import ExclusiveCpus
from tiphys.kubelet.resources.cpus.topology import written
from tiphys.kubelet.state import PodRuntime

_log = logging.getLogger(__name__)

_ROUND_S = 10.0


class Pinning:
    """Looks after each change, and every 10 s for containers that began meanwhile."""

    def __init__(self, cri: CriClient, pods: Callable[[], Iterable[tuple[Pod, PodRuntime]]]) -> None:
        self._cri, self._pods = cri, pods
        self._told: dict[str, str] = {}
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def run(self, cpus: ExclusiveCpus) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            await self._compare(cpus)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ROUND_S):
                    await self._changed.wait()

    async def _compare(self, cpus: ExclusiveCpus) -> None:
        seen: dict[str, str] = {}
        for pod, runtime in list(self._pods()):
            for run in runtime.running:
                wanted = written(cpus.of(pod.metadata.uid, run.name))
                if self._told.get(run.id) != wanted and not await self._pin(run.id, wanted):
                    continue
                seen[run.id] = wanted
        self._told = seen

    async def _pin(self, container_id: str, cpuset: str) -> bool:
        try:
            await self._cri.update_resources(container_id, LinuxContainerResources(cpuset_cpus=cpuset))
        except RuntimeFailure as error:
            _log.warning("container %s: not moved to processors %s: %s", container_id, cpuset, error)
            return False
        return True
