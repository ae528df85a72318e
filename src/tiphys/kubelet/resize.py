"""Resizing a running pod in place: whether the node can promise what is asked, and the way there.

| pod asks | then |
| --- | --- |
| what it was promised | nothing |
| what the node has | promised and written down, condition PodResizeInProgress until the cgroups say so |
| more than is free | condition PodResizePending (Deferred); asked again when a pod leaves |
| other processors or memory, where pods may have them alone | condition PodResizePending (Infeasible) |

Of the containers, those that shrink go first. The pod's own cgroup grows before them and shrinks after them. One whose
resize policy says RestartContainer is stopped instead; the life cycle starts it with its new resources.

Source: pkg/kubelet/allocation/allocation_manager.go (handlePodResourcesResize), kuberuntime_manager.go
(computePodResizeAction, doPodResizeAction), pkg/kubelet/events/resize.go; KEP-1287.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tiphys.api.kinds.core.pod.containers import Container, ResourceRequirements
from tiphys.api.kinds.core.pod.facts import WHOLE_POD, qos_class
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.meta.schema import encode_hook
from tiphys.base.quantity import milli, value
from tiphys.client.events import EventKind
from tiphys.kubelet.admission import refusal
from tiphys.kubelet.allocation import (
    Allocation,
    AllocationFile,
    asks_more,
    differing,
    effective,
    granted,
    needs_restart,
    of_spec,
    resizable,
)
from tiphys.kubelet.cgroups import Limits, pod_limits
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.cri.client import RuntimeFailure
from tiphys.kubelet.state import ContainerRun, PodRuntime

PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"


@dataclass(frozen=True, slots=True)
class Change:
    """A running container whose cgroup does not say yet what it was promised."""

    container: Container
    run: ContainerRun
    restart: bool


def changes(pod: Pod, runtime: PodRuntime, actuated: Mapping[str, ResourceRequirements]) -> list[Change]:
    """What is to be done for `pod` (as granted), in order: smaller limits first."""
    found = []
    wanted = effective(pod)
    for container in resizable(pod):
        run, known = runtime.latest(container.name), actuated.get(container.name)
        if run is None or not run.running or known is None:
            continue
        if changed := differing(wanted[container.name], known):
            found.append(Change(container, run, needs_restart(container, changed)))
    found.sort(key=lambda change: _growth(wanted[change.container.name], actuated[change.container.name]))
    return found


def _growth(wanted: ResourceRequirements, known: ResourceRequirements) -> tuple[int, int]:
    memory = value(wanted.limits.get("memory", "0")) - value(known.limits.get("memory", "0"))
    return memory, milli(wanted.limits.get("cpu", "0")) - milli(known.limits.get("cpu", "0"))


def widest(one: Limits, other: Limits) -> Limits:
    """Room for both; 0 is no limit."""

    def most(left: int, right: int) -> int:
        return 0 if 0 in (left, right) else max(left, right)

    return Limits(
        max(one.cpu_shares, other.cpu_shares),
        most(one.cpu_quota_us, other.cpu_quota_us),
        most(one.memory_bytes, other.memory_bytes),
    )


def event_text(prefix: str, pod: Pod, generation: int, error: str = "") -> str:
    """`Pod resize started: {"containers":[...],"generation":2}`."""

    def listed(containers: Sequence[Container]) -> list[dict[str, Any]]:
        return [{"name": c.name, "resources": c.resources} for c in containers]

    summary: dict[str, Any] = {}
    if pod.spec.init_containers:
        summary["initContainers"] = listed(pod.spec.init_containers)
    summary |= {"containers": listed(pod.spec.containers), "generation": generation}
    if error:
        summary["error"] = error
    return f"{prefix}: {msgspec.json.encode(summary, enc_hook=encode_hook).decode()}"


class Resizer:
    """The resizes of one pod."""

    def __init__(self, node: NodeContext, pod: Pod) -> None:
        self._node = node
        self._file = AllocationFile(node.settings.pod_dir(pod.metadata.uid))
        self._state = self._file.load() or Allocation(allocated=of_spec(pod))
        self._pending: PodCondition | None = None
        self._error = ""

    @property
    def actuated(self) -> Mapping[str, ResourceRequirements]:
        return self._state.actuated

    @property
    def under_way(self) -> bool:
        """Whether something that was promised is not done yet."""
        return bool(self._state.started_generation)

    @property
    def waiting(self) -> bool:
        """Whether room is missing for what the pod asks."""
        return self._pending is not None

    @property
    def conditions(self) -> list[PodCondition]:
        found = [self._pending] if self._pending is not None else []
        if self._state.started_generation:
            found.append(
                PodCondition(
                    type=IN_PROGRESS,
                    status="True",
                    reason="Error" if self._error else "",
                    message=self._error,
                    observed_generation=self._state.started_generation,
                )
            )
        return found

    def granted(self, pod: Pod) -> Pod:
        """`pod` with the resources that it was promised."""
        return granted(pod, self._state.allocated)

    def begun(self, pod: Pod, name: str) -> None:
        """A container was started with what `pod` (as granted) says."""
        resources = effective(pod).get(name)
        if pod.spec.resources is not None:
            self._state.actuated.setdefault(WHOLE_POD, pod.spec.resources)
        if resources is not None and self._state.actuated.get(name) != resources:
            self._state.actuated[name] = resources
            if resources.requests or resources.limits:  # where nothing is asked nothing can be resized
                self._file.save(self._state)

    def consider(self, pod: Pod) -> Pod:
        """`pod` as the API has it; promises what it asks if there is room. Returns it as granted. Raises OSError."""
        state, generation = self._state, pod.metadata.generation
        if not asks_more(pod, state.allocated):
            self._pending = None
            return granted(pod, state.allocated)
        if manager := self._pinned(pod):
            message = f"Resize is infeasible for Guaranteed Pods alongside {manager}"
            self._put_off(pod, "Infeasible", message, generation)
            return granted(pod, state.allocated)
        others = [other for other in self._node.neighbours() if other.metadata.uid != pod.metadata.uid]
        refused = refusal(pod, others, self._node.capacity)
        if refused is None:
            state.allocated, state.started_generation = of_spec(pod), generation
            self._pending, self._error = None, ""
            self._file.save(state)
            self._event(pod, "Normal", "ResizeStarted", event_text("Pod resize started", pod, generation))
        else:
            self._put_off(pod, "Deferred", refused[1], generation)
        return granted(pod, state.allocated)

    def _pinned(self, pod: Pod) -> str:
        """What keeps a container that may have processors or memory of its own from having others; empty: nothing."""
        if qos_class(pod) != "Guaranteed":
            return ""
        known, settings = self._state.allocated, self._node.settings
        changed = frozenset[str]().union(
            *(differing(c.resources, known[c.name]) for c in resizable(pod) if c.name in known)
        )
        if settings.cpu_manager_policy == "static" and "cpu" in changed:
            return 'CPU Manager policy "static"'
        if settings.memory_manager_policy == "Static" and "memory" in changed:
            return 'Memory Manager policy "Static"'
        return ""

    def _put_off(self, pod: Pod, reason: str, message: str, generation: int) -> None:
        known = self._pending
        if known is None or known.observed_generation != generation:
            text = event_text(f"Pod resize {reason}", pod, generation, message)
            self._event(pod, "Warning", f"Resize{reason}", text)
        self._pending = PodCondition(
            type=PENDING, status="True", reason=reason, message=message, observed_generation=generation
        )

    async def actuate(self, pod: Pod, runtime: PodRuntime) -> list[Change]:
        """Brings the cgroups of `pod` (as granted) to what it was promised; the containers that must restart instead.

        What fails stands in the condition and is tried again with the next look. Raises OSError for the file.
        """
        due = changes(pod, runtime, self._state.actuated)
        if not due and not self._state.started_generation:
            return []
        try:
            self._check_pod_memory(pod)
            await self._check_memory(pod, due)
            await self._resize_pod(pod, growing=True)
            for change in due:
                if not change.restart:
                    await self._update(pod, change)
                    self._state.actuated[change.container.name] = effective(pod)[change.container.name]
            if not any(change.restart for change in due):
                await self._resize_pod(pod, growing=False)
        except (RuntimeFailure, OSError, ValueError) as error:
            self._failed(pod, str(error))
            return []
        self._file.save(self._state)
        restarts = [change for change in due if change.restart]
        if not restarts:
            await self._finish(pod, runtime)
        return restarts

    async def _finish(self, pod: Pod, runtime: PodRuntime) -> None:
        generation = self._state.started_generation
        # A container that is about to start gets its resources then; until it has, the resize goes on.
        if not generation or any((run := runtime.latest(c.name)) is None or not run.running for c in resizable(pod)):
            return
        await self._resize_pod(pod, growing=False)
        if pod.spec.resources is not None:
            self._state.actuated[WHOLE_POD] = pod.spec.resources
        self._state.started_generation, self._error = 0, ""
        self._file.save(self._state)
        self._event(pod, "Normal", "ResizeCompleted", event_text("Pod resize completed", pod, generation))

    def _failed(self, pod: Pod, message: str) -> None:
        if message != self._error:
            text = event_text("Pod resize error", pod, self._state.started_generation, message)
            self._event(pod, "Warning", "ResizeError", text)
        self._error = message
        self._state.started_generation = self._state.started_generation or pod.metadata.generation

    async def _resize_pod(self, pod: Pod, *, growing: bool) -> None:
        room = widest(pod_limits(pod), pod_limits(granted(pod, self._state.actuated))) if growing else None
        await self._node.cgroups.ensure_pod(pod, room)

    async def _update(self, pod: Pod, change: Change) -> None:
        node = self._node
        resources = node.container_resources(pod, change.container)
        await node.cri.update_resources(change.run.id, resources)

    async def _check_memory(self, pod: Pod, due: Sequence[Change]) -> None:
        """Raises ValueError where a container uses more than it is to have: the kernel would kill it."""
        for change in due:
            name = change.container.name
            limit = value(effective(pod)[name].limits.get("memory", "0"))
            before = value(self._state.actuated[name].limits.get("memory", "0"))
            if change.restart or not limit or (before and limit >= before):
                continue
            used = await self._node.cri.memory_usage(change.run.id)
            if used > limit:
                raise ValueError(
                    "cannot decrease memory limits: attempting to set container "
                    f'"{name}" memory limit ({limit}) below current usage ({used})'
                )

    def _check_pod_memory(self, pod: Pod) -> None:
        """The same of the pod as a whole. Raises ValueError, OSError."""
        limit, before = pod_limits(pod).memory_bytes, pod_limits(granted(pod, self._state.actuated)).memory_bytes
        if not limit or (before and limit >= before):
            return
        used = self._node.cgroups.memory_usage(pod)
        if used >= limit:
            what = f"attempting to set pod memory limit ({limit}) below current usage ({used})"
            raise ValueError(f"cannot decrease memory limits: {what}")

    def _event(self, pod: Pod, kind: EventKind, reason: str, message: str) -> None:
        self._node.recorder.event(pod, kind, reason, message)
