"""The status of a pod, from its spec, what the runtime says, what probes found and what went wrong. Pure.

Source: pkg/kubelet/kubelet_pods.go (generateAPIPodStatus, convertToAPIContainerStatuses, getPhase),
pkg/kubelet/status/generate.go, status_manager.go; pkg/kubelet/prober/prober_manager.go (UpdatePodStatus).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.facts import is_sidecar, qos_class
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import (
    ContainerStateTerminated,
    ContainerStatus,
    HostIP,
    PodCondition,
    PodIP,
    PodStatus,
)
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import rfc3339
from tiphys.kubelet.containerstatus import RESTARTING_ALL, Outlook, container_statuses, expected, set_readiness
from tiphys.kubelet.lifecycle import Health, may_restart_all, restarts_after, sandbox_needed
from tiphys.kubelet.resource_status import pod_resources
from tiphys.kubelet.state import PodRuntime

KUBELET_CONDITIONS = (
    "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
    "PodResizePending", "PodResizeInProgress", "AllContainersRestarting",
)  # fmt: skip


def pod_status(pod: Pod, old: PodStatus, runtime: PodRuntime, health: Health, outlook: Outlook) -> PodStatus:
    """The whole status. `old` is what was reported before; times in it stay where nothing changed."""
    now = rfc3339(outlook.now)
    lost = expected(pod, old, runtime) if outlook.terminal else frozenset()
    main = container_statuses(pod.spec.containers, old.container_statuses, runtime, outlook, pod, lost)
    init = container_statuses(pod.spec.init_containers, old.init_container_statuses, runtime, outlook, pod, lost)
    ephemeral = container_statuses(
        pod.spec.ephemeral_containers, old.ephemeral_container_statuses, runtime, outlook, pod, lost
    )
    main.sort(key=lambda status: status.name)
    phase = _sticky(_phase(pod, [*main, *init], outlook.terminal), old.phase, outlook)
    set_readiness(pod, main, init, runtime, health, phase)
    status = PodStatus(
        observed_generation=pod.metadata.generation,
        phase=phase,
        container_statuses=main,
        init_container_statuses=init,
        ephemeral_container_statuses=ephemeral,
        qos_class=old.qos_class or qos_class(pod),
        start_time=old.start_time or now,
        nominated_node_name=old.nominated_node_name,
        resize=old.resize,
        resource_claim_statuses=old.resource_claim_statuses,
        extended_resource_claim_status=old.extended_resource_claim_status,
    )
    status.allocated_resources, status.resources = pod_resources(pod, outlook.actuated, running=phase == "Running")
    if outlook.failure is not None:
        status.reason, status.message = outlook.failure.reason, outlook.failure.message
    elif phase == old.phase:
        status.reason, status.message = old.reason, old.message
    _set_addresses(pod, status, old, runtime, outlook.host_ips)
    _set_conditions(pod, status, old, runtime, now, outlook.conditions, outlook.restarting_all)
    return status


def rejected_status(pod: Pod, reason: str, message: str, now: datetime, host_ips: tuple[str, ...]) -> PodStatus:
    """The status of a pod that this node cannot take."""
    status = copy_of(pod.status)
    status.phase, status.reason, status.message = "Failed", reason, message
    status.observed_generation = pod.metadata.generation
    status.qos_class = status.qos_class or qos_class(pod)
    status.start_time = status.start_time or rfc3339(now)
    status.host_ip = host_ips[0]
    status.host_ips = [HostIP(ip=ip) for ip in host_ips]
    return status


# --- phase -----------------------------------------------------------------------------------------------------------


def _sticky(phase: str, before: str, outlook: Outlook) -> str:
    """Failed and Succeeded are for ever."""
    if before in ("Failed", "Succeeded"):
        return before
    return "Failed" if outlook.failure is not None else phase


def _phase(pod: Pod, statuses: Sequence[ContainerStatus], terminal: bool) -> str:
    by_name = {status.name: status for status in statuses}
    pending_init = pending_sidecars = 0
    for container in pod.spec.init_containers:
        status = by_name[container.name]
        if is_sidecar(container):
            waiting = status.state.waiting is not None and status.last_state.terminated is None
            if waiting or (status.state.running is not None and not status.started):
                pending_sidecars += 1
            continue
        ended = status.state.terminated or (status.last_state.terminated if status.state.waiting else None)
        if ended is None:
            pending_init += 1
        elif ended.exit_code and not _again(pod, container, ended):
            return "Failed"
    waiting_count = running = stopped = final = succeeded = 0
    for container in pod.spec.containers:
        state, last = by_name[container.name].state, by_name[container.name].last_state
        ended = state.terminated or (last.terminated if state.waiting else None)
        if state.running is not None:
            running += 1
        elif ended is None:
            waiting_count += 1
        else:
            stopped += 1
            final += not _again(pod, container, ended)
            succeeded += state.terminated is not None and ended.exit_code == 0
    sidecar_runs = any(is_sidecar(c) and by_name[c.name].state.running for c in pod.spec.init_containers)
    active = running or stopped
    if pending_init or waiting_count or (pending_sidecars and not active):
        return "Pending"
    if running or sidecar_runs:
        return "Running"
    if not terminal and stopped != final:
        return "Running"
    return "Succeeded" if stopped == succeeded else "Failed"


def _again(pod: Pod, container: Container, ended: ContainerStateTerminated) -> bool:
    return ended.reason == RESTARTING_ALL or restarts_after(pod, container, ended.exit_code)


# --- addresses and conditions ----------------------------------------------------------------------------------------


def _set_addresses(pod: Pod, status: PodStatus, old: PodStatus, runtime: PodRuntime, host_ips: tuple[str, ...]) -> None:
    status.host_ip = host_ips[0]
    status.host_ips = [HostIP(ip=ip) for ip in host_ips]
    if pod.spec.host_network:
        ips: Sequence[str] = host_ips
    else:
        ips = runtime.ips or tuple(entry.ip for entry in old.pod_ips)
        if not runtime.ips and not runtime.containers and status.phase == "Pending":
            ips = ()
    if ips:
        status.pod_ip = ips[0]
        status.pod_ips = [PodIP(ip=ip) for ip in ips]


def _set_conditions(
    pod: Pod,
    status: PodStatus,
    old: PodStatus,
    runtime: PodRuntime,
    now: str,
    own: Sequence[PodCondition],
    restarting_all: bool,
) -> None:
    generation = pod.metadata.generation
    ours = {*KUBELET_CONDITIONS, *(condition.type for condition in own)}
    foreign = [condition for condition in pod.status.conditions if condition.type not in ours]
    containers_ready = _containers_ready(pod, status)
    made = [
        PodCondition(type="PodReadyToStartContainers", status="False" if sandbox_needed(pod, runtime)[0] else "True"),
        _initialized(pod, status),
        _ready(pod, foreign, containers_ready),
        containers_ready,
        PodCondition(type="PodScheduled", status="True"),
        *own,
    ]
    if may_restart_all(pod):
        made.append(_all_restarting(status.phase, under_way=restarting_all))
    before = {condition.type: condition for condition in (*pod.status.conditions, *old.conditions)}
    for condition in made:
        condition.observed_generation = condition.observed_generation or generation
        earlier = before.get(condition.type)
        same = earlier is not None and earlier.status == condition.status
        condition.last_transition_time = earlier.last_transition_time if same and earlier else now
    status.conditions = [*foreign, *made]


def _listed(names: Sequence[str]) -> str:
    return "[" + " ".join(names) + "]"


def _containers_ready(pod: Pod, status: PodStatus) -> PodCondition:
    condition = PodCondition(type="ContainersReady", status="False")
    if status.phase == "Succeeded":
        condition.reason = "PodCompleted"
    elif status.phase == "Failed":
        condition.reason = "PodFailed"
    else:
        by_name = {s.name: s for s in (*status.container_statuses, *status.init_container_statuses)}
        members = [*(c for c in pod.spec.init_containers if is_sidecar(c)), *pod.spec.containers]
        unready = [container.name for container in members if not by_name[container.name].ready]
        if unready:
            condition.reason = "ContainersNotReady"
            condition.message = f"containers with unready status: {_listed(unready)}"
        else:
            condition.status = "True"
    return condition


def _ready(pod: Pod, foreign: Sequence[PodCondition], containers_ready: PodCondition) -> PodCondition:
    condition = PodCondition(
        type="Ready",
        status=containers_ready.status,
        reason=containers_ready.reason,
        message=containers_ready.message,
    )
    if condition.status != "True":
        return condition
    found = {entry.type: entry.status for entry in foreign}
    problems = []
    for gate in pod.spec.readiness_gates:
        wanted = gate.condition_type
        if wanted not in found:
            problems.append(f'corresponding condition of pod readiness gate "{wanted}" does not exist.')
        elif found[wanted] != "True":
            problems.append(f'the status of pod readiness gate "{wanted}" is not "True", but {found[wanted]}')
    if problems:
        condition.status, condition.reason, condition.message = "False", "ReadinessGatesNotReady", ", ".join(problems)
    return condition


def _all_restarting(phase: str, *, under_way: bool) -> PodCondition:
    kind = "AllContainersRestarting"
    if phase in ("Succeeded", "Failed"):
        return PodCondition(type=kind, status="False", reason="PodCompleted" if phase == "Succeeded" else "PodFailed")
    if not under_way:
        return PodCondition(type=kind, status="False")
    message = "container exited with restart policy rule"
    return PodCondition(type=kind, status="True", reason="RestartAllContainersStarted", message=message)


def _initialized(pod: Pod, status: PodStatus) -> PodCondition:
    condition = PodCondition(type="Initialized", status="True")
    if status.phase == "Succeeded":
        condition.reason = "PodCompleted"
        return condition
    if any(s.state.running or s.state.terminated or s.last_state.terminated for s in status.container_statuses):
        return condition
    by_name = {entry.name: entry for entry in status.init_container_statuses}
    unfinished = []
    for container in pod.spec.init_containers:
        entry = by_name[container.name]
        if not (entry.started if is_sidecar(container) else entry.ready):
            unfinished.append(container.name)
    if unfinished:
        condition.status, condition.reason = "False", "ContainersNotInitialized"
        condition.message = f"containers with incomplete status: {_listed(unfinished)}"
    return condition
