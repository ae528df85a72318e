"""The statuses of a pod's containers, from what the runtime says of them and what went wrong. Pure.

Source: pkg/kubelet/kubelet_pods.go (convertToAPIContainerStatuses), pkg/kubelet/status/status_manager.go,
pkg/kubelet/prober/prober_manager.go (UpdatePodStatus).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer, ResourceRequirements
from tiphys.api.kinds.core.pod.facts import is_sidecar
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    PodCondition,
    PodStatus,
    ResourceStatus,
    VolumeMountStatus,
)
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import rfc3339
from tiphys.kubelet.lifecycle import Health, restarts_after, started
from tiphys.kubelet.state import ContainerRun, PodRuntime, RunState

RESTARTING_ALL = "RestartingAllContainers"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run: the waiting state's reason and message."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the status needs beyond spec and runtime."""

    now: datetime
    host_ips: tuple[str, ...]
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """By container name: the last failure to start it."""
    terminal: bool = False
    """No container will be started again: the pod is deleted, evicted or past its deadline."""
    failure: Waiting | None = None
    """The pod failed as a whole: DeadlineExceeded, a refused admission."""
    actuated: Mapping[str, ResourceRequirements] = field(default_factory=dict)
    """By container name: what its cgroup was given, where that is known."""
    restarting_all: bool = False
    """The containers are taken away to begin again, all of them."""
    device_health: Mapping[str, Sequence[ResourceStatus]] = field(default_factory=dict)
    """By container name: how the devices that it was given fare."""
    conditions: Sequence[PodCondition] = ()
    """Of the worker's own: how a resize in place stands, why the pod is disrupted."""


def _time(nanoseconds: int) -> str | None:
    return rfc3339(datetime.fromtimestamp(nanoseconds / 1e9, UTC)) if nanoseconds > 0 else "1970-01-01T00:00:00Z"


def container_statuses(
    containers: Iterable[Container | EphemeralContainer],
    before: Iterable[ContainerStatus],
    runtime: PodRuntime,
    outlook: Outlook,
    pod: Pod,
    lost: frozenset[str],
) -> list[ContainerStatus]:
    """`lost`: the containers that failed if the runtime does not know them."""
    known = {status.name: status for status in before}
    default = ContainerStateWaiting(reason="PodInitializing" if pod.spec.init_containers else "ContainerCreating")
    result = []
    for container in containers:
        old = known.get(container.name)
        run = runtime.latest(container.name)
        if run is None:
            status = _unseen(container, old, default, container.name in lost, outlook.restarting_all)
        else:
            status = _seen(container, run, runtime.previous(container.name), old, outlook.actuated)
        status.volume_mounts = _mounts(container)
        status.allocated_resources_status = list(outlook.device_health.get(container.name, ()))
        _apply_waiting(pod, container, status, outlook, run)
        result.append(status)
    return result


def expected(pod: Pod, old: PodStatus, runtime: PodRuntime) -> frozenset[str]:
    """The containers of an ended pod that must have run once, and so failed where no trace of them is left.

    Those behind an init container that did not succeed never had their turn. Source: TerminatePod and
    hasPodInitialized in pkg/kubelet/status/status_manager.go.
    """
    before = {each.name: each for each in (*old.container_statuses, *old.init_container_statuses)}

    def tried(container: Container) -> bool:
        status = before.get(container.name)
        seen = status is not None and (status.state.waiting is None or status.last_state.terminated is not None)
        return seen or runtime.latest(container.name) is not None

    inits, main = pod.spec.init_containers, pod.spec.containers
    last = max((index for index, each in enumerate(inits) if tried(each)), default=0)
    names = {each.name for each in inits[: last + 1]}
    if not inits or any(map(tried, main)) or _has_passed(inits[-1], before.get(inits[-1].name), runtime):
        names |= {each.name for each in main}
    return frozenset(names)


def _has_passed(container: Container, old: ContainerStatus | None, runtime: PodRuntime) -> bool:
    run = runtime.latest(container.name)
    if is_sidecar(container):
        return old is not None and bool(old.started)
    if run is not None:
        return run.state is RunState.EXITED and run.exit_code == 0
    return old is not None and old.state.terminated is not None and old.state.terminated.exit_code == 0


def _seen(
    container: Container | EphemeralContainer,
    run: ContainerRun,
    earlier: ContainerRun | None,
    old: ContainerStatus | None,
    actuated: Mapping[str, ResourceRequirements],
) -> ContainerStatus:
    has = actuated.get(container.name, container.resources) if run.running else container.resources
    own = {name: amount for name, amount in has.limits.items() if name in container.resources.limits}
    has = ResourceRequirements(requests=has.requests, limits=own, claims=has.claims)
    status = ContainerStatus(
        name=container.name,
        restart_count=run.attempt,
        image=run.image or container.image,
        image_id=run.image_id,
        container_id=run.container_id,
        state=_state_of(run),
        resources=None if isinstance(container, EphemeralContainer) else has,
    )
    if container.resources.requests:
        status.allocated_resources = container.resources.requests
    if earlier is not None and earlier.state is RunState.EXITED:
        status.last_state = _state_of(earlier)
    elif old is not None and old.container_id not in ("", status.container_id) and old.state.terminated is not None:
        status.last_state = old.state
    elif old is not None:
        status.last_state = old.last_state
    return status


def _state_of(run: ContainerRun) -> ContainerState:
    if run.state is RunState.RUNNING:
        return ContainerState(running=ContainerStateRunning(started_at=_time(run.started_ns)))
    if run.state is RunState.EXITED:
        return ContainerState(
            terminated=ContainerStateTerminated(
                exit_code=run.exit_code,
                reason=run.reason or ("Completed" if run.exit_code == 0 else "Error"),
                message=run.message,
                started_at=_time(run.started_ns),
                finished_at=_time(run.finished_ns),
                container_id=run.container_id,
            )
        )
    return ContainerState(
        waiting=ContainerStateWaiting(reason="ContainerCreating" if run.state is RunState.CREATED else "")
    )


def _unseen(
    container: Container | EphemeralContainer,
    old: ContainerStatus | None,
    default: ContainerStateWaiting,
    terminal: bool,
    restarting_all: bool,
) -> ContainerStatus:
    """The runtime knows nothing of it: not made yet, or lost since the last report."""
    if restarting_all and old is not None and old.state.waiting is None:
        return _taken_away(container, old)
    if old is not None and old.state.terminated is not None:
        return copy_of(old)
    status = ContainerStatus(name=container.name, image=container.image, state=ContainerState(waiting=default))
    if old is None:
        old = status
    status.restart_count, status.last_state = old.restart_count, old.last_state
    was_running = old.state.running is not None
    lost = ContainerState(
        terminated=ContainerStateTerminated(
            reason="ContainerStatusUnknown",
            message="The container could not be located when the pod was terminated"
            if terminal
            else "The container could not be located when the pod was deleted.  The container used to be Running",
            exit_code=137,
        )
    )
    if terminal:
        status.state = lost
    elif was_running:
        status.last_state = lost
        status.restart_count += 1
    return status


def _taken_away(container: Container | EphemeralContainer, old: ContainerStatus) -> ContainerStatus:
    text = "The container is removed because RestartAllContainers in place"
    ended = ContainerStateTerminated(reason=RESTARTING_ALL, message=text, exit_code=137)
    return ContainerStatus(
        name=container.name,
        image=container.image,
        state=ContainerState(waiting=ContainerStateWaiting(reason=RESTARTING_ALL, message=text)),
        last_state=ContainerState(terminated=ended),
        restart_count=old.restart_count + 1,
    )


def _apply_waiting(
    pod: Pod,
    container: Container | EphemeralContainer,
    status: ContainerStatus,
    outlook: Outlook,
    run: ContainerRun | None,
) -> None:
    """A container that should run and cannot shows why; what it ended with moves to `lastState`."""
    reason = outlook.waiting.get(container.name)
    if reason is None or outlook.terminal or (run is not None and run.running):
        return
    if run is not None and run.state is RunState.EXITED:
        if isinstance(container, EphemeralContainer) or not restarts_after(pod, container, run.exit_code):
            return
        status.last_state = status.state
    status.state = ContainerState(waiting=ContainerStateWaiting(reason=reason.reason, message=reason.message))


def _mounts(container: Container | EphemeralContainer) -> list[VolumeMountStatus]:
    return [
        VolumeMountStatus(
            name=mount.name,
            mount_path=mount.mount_path,
            read_only=mount.read_only,
            recursive_read_only="Disabled" if mount.read_only else None,
        )
        for mount in container.volume_mounts
    ]


def set_readiness(
    pod: Pod,
    main: list[ContainerStatus],
    init: list[ContainerStatus],
    runtime: PodRuntime,
    health: Health,
    phase: str,
) -> None:
    by_name = {status.name: status for status in (*main, *init)}
    for container in (*pod.spec.containers, *(c for c in pod.spec.init_containers if is_sidecar(c))):
        status, run = by_name[container.name], runtime.latest(container.name)
        status.started = started(container, run, health)
        if status.state.running is None or run is None or not status.started:
            continue
        status.ready = container.readiness_probe is None or health.ready.get(run.id, False)
    for container in pod.spec.init_containers:
        status = by_name[container.name]
        if not is_sidecar(container):
            ended = status.state.terminated
            status.ready = ended is not None and ended.exit_code == 0
            status.started = status.state.running is not None
