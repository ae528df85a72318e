"""Bringing a pod up: volumes, sandbox and images side by side, then the containers; and why those that do not run wait.

Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go (SyncPod).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import PodStatus
from tiphys.kubelet.containerstatus import Waiting
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.cri.images import Image
from tiphys.kubelet.executor import PodExecutor, StartFailed
from tiphys.kubelet.lifecycle import Plan, Start
from tiphys.kubelet.observe import PodObserver
from tiphys.kubelet.resources.grants import NotAllocated
from tiphys.kubelet.state import PodRuntime
from tiphys.kubelet.volumes.pod import PodVolumes, VolumesFailed

T = TypeVar("T")

_log = logging.getLogger(__name__)

_NETWORK_RETRY_S = 2.0
_VOLUME_HEAD_START_S = 0.03

Report = Callable[[PodRuntime], PodStatus]
"""Tells the API how the pod is by now; what was told."""


@dataclass(slots=True)
class _Timings:
    """How long the steps of a start took, in seconds."""

    volumes: float = 0.0
    sandbox: float = 0.0
    images: float = 0.0
    containers: float = 0.0


class PodStarting:
    """One pod's way up, gone again whenever something of it has ended."""

    def __init__(self, node: NodeContext, executor: PodExecutor, volumes: PodVolumes, observer: PodObserver) -> None:
        self._node, self._executor, self._volumes, self._observer = node, executor, volumes, observer
        self._waiting: dict[str, Waiting] = {}
        self._waits_s: dict[str, float] = {}

    @property
    def waiting(self) -> Mapping[str, Waiting]:
        """By container name: the last failure to start it."""
        return self._waiting

    def next_try_s(self, starts: Iterable[Start], latest_s: float) -> float:
        """When one of these containers may be tried again."""
        return min([latest_s, *(self._waits_s.get(start.container.name, latest_s) for start in starts)])

    def may_start(self, pod: Pod, start: Start) -> bool:
        """Whether its back-off is over."""
        try:
            self._executor.check_backoff(pod, start)
        except StartFailed as failed:
            self._note(start, failed)
            return False
        return True

    async def bring_up(
        self,
        pod: Pod,
        wanted: Plan,
        starts: Sequence[Start],
        runtime: PodRuntime,
        status: PodStatus,
        report: Report,
    ) -> tuple[float, list[str]]:
        """Start these containers, in a new sandbox where the plan says so.

        `status`: what was reported last. Seconds until it is worth trying again, and the names of the containers that
        run now. Raises OSError, RuntimeFailure, ApiError.
        """
        node = self._node
        begun = node.clock.monotonic()
        if wanted.create_sandbox:
            report(runtime)
            if not pod.spec.host_network and (problem := node.network_problem()):
                node.recorder.event(pod, "Warning", "NetworkNotReady", f"network is not ready: {problem}")
                return _NETWORK_RETRY_S, []
            await self._claim_devices(pod)
        await node.cgroups.ensure_pod(pod)
        timings = _Timings()
        images = await self._surroundings(pod, wanted, starts, timings)
        runtime = await self._observer.look()
        if wanted.create_sandbox:
            status = report(runtime)
        before_containers = node.clock.monotonic()
        waits_s = await asyncio.gather(
            *(self._start(pod, s, image, runtime, status) for s, image in zip(starts, images, strict=True))
        )
        timings.containers = node.clock.monotonic() - before_containers
        _log.debug("pod %s/%s: %s", pod.metadata.namespace, pod.metadata.name, timings)
        if wanted.create_sandbox:
            node.metrics.pod_start_seconds.observe(node.clock.monotonic() - begun)
        started = [start.container.name for start, wait_s in zip(starts, waits_s, strict=True) if wait_s is None]
        return min((s for s in waits_s if s is not None), default=node.settings.relist_s), started

    async def set_up_volumes(self, pod: Pod) -> None:
        """Raises OSError when any cannot be made."""
        try:
            await self._volumes.set_up(pod)
        except VolumesFailed as failed:
            self._tell(pod, failed)
            raise OSError(str(failed)) from None

    async def refresh_volumes(self, pod: Pod) -> None:
        """Write what is new in their sources; failures are told, and old content stays."""
        try:
            await self._volumes.refresh(pod)
        except VolumesFailed as failed:
            self._tell(pod, failed)

    async def _claim_devices(self, pod: Pod) -> None:
        try:
            await self._node.resources.prepare(pod)
        except NotAllocated as error:
            text = f"Failed to prepare dynamic resources: {error}"
            self._node.recorder.event(pod, "Warning", "FailedPrepareDynamicResources", text)
            raise OSError(text) from None

    async def _surroundings(
        self, pod: Pod, wanted: Plan, starts: Sequence[Start], timings: _Timings
    ) -> list[Image | BaseException]:
        """What containers need before they start; each one's image, or why there is none."""

        async def timed(step: str, work: Awaitable[T]) -> T:
            begun = self._node.clock.monotonic()
            try:
                return await work
            finally:
                setattr(timings, step, self._node.clock.monotonic() - begun)

        async def images() -> list[Image | BaseException]:
            return await asyncio.gather(*(self._executor.image(pod, s) for s in starts), return_exceptions=True)

        setting_up = asyncio.ensure_future(timed("volumes", self.set_up_volumes(pod)))
        pulling = asyncio.ensure_future(timed("images", images()))
        jobs: list[asyncio.Future[Any]] = [setting_up, pulling]
        try:
            # Volumes that cannot be made are seen at once as a rule; a sandbox would be made in vain.
            await asyncio.wait((setting_up,), timeout=_VOLUME_HEAD_START_S)
            if wanted.create_sandbox and not (setting_up.done() and setting_up.exception()):
                jobs.append(asyncio.ensure_future(timed("sandbox", self._executor.run_sandbox(pod, wanted.attempt))))
            results = await asyncio.gather(*jobs, return_exceptions=True)
        finally:
            for job in jobs:
                job.cancel()
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return pulling.result()

    async def _start(
        self, pod: Pod, start: Start, image: Image | BaseException, runtime: PodRuntime, status: PodStatus
    ) -> float | None:
        """Start one container; None when it runs, else seconds until the next try."""
        try:
            if isinstance(image, BaseException):
                raise image
            await self._executor.start(pod, start, image, runtime, status)
        except StartFailed as failed:
            self._note(start, failed)
            return failed.retry_s
        self._waiting.pop(start.container.name, None)
        self._waits_s.pop(start.container.name, None)
        return None

    def _note(self, start: Start, failed: StartFailed) -> None:
        self._waiting[start.container.name] = Waiting(failed.reason, failed.message)
        self._waits_s[start.container.name] = failed.retry_s

    def _tell(self, pod: Pod, failed: VolumesFailed) -> None:
        for message in failed.failures.values():
            self._node.recorder.event(pod, "Warning", "FailedMount", message)
