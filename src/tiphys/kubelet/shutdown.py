"""Graceful node shutdown: the pods end in groups, by priority, each group within its time.

From its beginning no pod is let in and the node is NotReady (`node is shutting down`). Ended pods stay in the API,
Failed, with reason Terminated.

Source: pkg/kubelet/nodeshutdown/nodeshutdown_manager.go.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.settings import KubeletSettings

_log = logging.getLogger(__name__)

NOT_READY = "node is shutting down"
REASON, MESSAGE = "Terminated", "Pod was terminated in response to imminent node shutdown."
_CRITICAL = 2_000_000_000
_NOT_ADMITTED = "NodeShutdown", "Pod was rejected as the node is shutting down."

Periods = tuple[tuple[int, int], ...]
"""(priority, seconds), the least priority first."""


def periods(settings: KubeletSettings) -> Periods:
    """What each group has; none: there is no graceful shutdown. Raises ValueError."""
    if settings.shutdown_grace_by_priority:
        return tuple(sorted(settings.shutdown_grace_by_priority))
    whole, critical = settings.shutdown_grace_s, settings.shutdown_grace_critical_s
    if critical > whole:
        raise ValueError(f"shutdownGracePeriodCriticalPods {critical} must be <= shutdownGracePeriod {whole}")
    return ((0, whole - critical), (_CRITICAL, critical)) if whole else ()


def groups(wanted: Periods, pods: Iterable[Pod]) -> list[tuple[int, list[Pod]]]:
    """(seconds, pods) in their order: a pod is in the group of the highest priority that is not above its own."""
    made: list[tuple[int, list[Pod]]] = [(seconds, []) for _, seconds in wanted]
    priorities = [priority for priority, _ in wanted]
    for pod in pods:
        index = bisect_right(priorities, pod.spec.priority or 0) - 1
        made[max(index, 0)][1].append(pod)
    return [group for group in made if group[1]]


class NodeShutdown:
    """One node's. `end(pod, grace_s)` stops a pod and returns when it is gone; `tell()` reports the node's status."""

    def __init__(
        self,
        wanted: Periods,
        pods: Callable[[], Iterable[Pod]],
        end: Callable[[Pod, int], Awaitable[None]],
        tell: Callable[[], Awaitable[None]],
    ) -> None:
        self._wanted, self._pods, self._end, self._tell = wanted, pods, end, tell
        self._under_way = False

    @property
    def seconds(self) -> int:
        """The most that it takes."""
        return sum(seconds for _, seconds in self._wanted)

    @property
    def problem(self) -> str:
        """Why the node is not ready; empty: it goes on."""
        return NOT_READY if self._under_way else ""

    def rejection(self) -> Rejection | None:
        return _NOT_ADMITTED if self._under_way else None

    async def begin(self) -> None:
        """End all pods; returns when they are gone or their time is over."""
        self._under_way = True
        _log.info("the node is shutting down: pods have %d s", self.seconds)
        await self._tell()
        for seconds, pods in groups(self._wanted, self._pods()):
            await self._end_group(seconds, pods)

    async def cancelled(self) -> None:
        """The machine stays on: pods may come again."""
        self._under_way = False
        await self._tell()

    async def _end_group(self, seconds: int, pods: Sequence[Pod]) -> None:
        ending = [asyncio.ensure_future(self._end(pod, _grace(pod, seconds))) for pod in pods]
        done, late = await asyncio.wait(ending, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            _log.warning("shutdown: %d of %d pods did not end within %d s", len(late), len(ending), seconds)
        for task in done:
            if error := task.exception():
                _log.warning("shutdown: a pod did not end: %s", error)


def _grace(pod: Pod, seconds: int) -> int:
    own = pod.spec.termination_grace_period_seconds
    return seconds if own is None else min(own, seconds)
