"""The columns of `kubectl get pods`. Source: pkg/printers/internalversion/printers.go, printPod."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tiphys.api.duration import since
from tiphys.api.kind import Column
from tiphys.api.kinds.core.pod.facts import is_ready, is_sidecar, is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import ContainerStateTerminated, ContainerStatus

NODE_LOST = "NodeLost"
_NONE = "<none>"


class _Summary(msgspec.Struct):
    """What a walk over the container statuses finds."""

    reason: str
    ready: int = 0
    total: int = 0
    restarts: int = 0
    last_restart: str = ""
    """RFC 3339 text; times in UTC with the same precision sort as text."""

    def count_restarts(self, status: ContainerStatus) -> None:
        self.restarts += status.restart_count
        ended = status.last_state.terminated
        if ended is not None and ended.finished_at and ended.finished_at > self.last_restart:
            self.last_restart = ended.finished_at


def _exit_text(state: ContainerStateTerminated) -> str:
    if state.reason:
        return state.reason
    return f"Signal:{state.signal}" if state.signal else f"ExitCode:{state.exit_code}"


def _initial(pod: Pod) -> _Summary:
    summary = _Summary(reason=pod.status.reason or pod.status.phase)
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
            summary.reason = "SchedulingGated"
    sidecars = sum(1 for container in pod.spec.init_containers if is_sidecar(container))
    summary.total = len(pod.spec.containers) + sidecars
    return summary


def _walk_init(pod: Pod, summary: _Summary) -> tuple[bool, _Summary]:
    """Whether the pod is still initialising, and the restarts of sidecars alone."""
    sidecars = {container.name for container in pod.spec.init_containers if is_sidecar(container)}
    of_sidecars = _Summary(reason="")
    for index, status in enumerate(pod.status.init_container_statuses):
        summary.count_restarts(status)
        sidecar = status.name in sidecars
        if sidecar:
            of_sidecars.count_restarts(status)
        ended, waiting = status.state.terminated, status.state.waiting
        if ended is not None and ended.exit_code == 0:
            continue
        if sidecar and status.started:
            summary.ready += 1 if status.ready else 0
            continue
        if ended is not None:
            summary.reason = "Init:" + _exit_text(ended)
        elif waiting is not None and waiting.reason and waiting.reason != "PodInitializing":
            summary.reason = "Init:" + waiting.reason
        else:
            summary.reason = f"Init:{index}/{len(pod.spec.init_containers)}"
        return True, of_sidecars
    return False, of_sidecars


def _walk_containers(pod: Pod, summary: _Summary) -> None:
    running, error = False, ""
    for status in reversed(pod.status.container_statuses):
        summary.count_restarts(status)
        waiting, ended = status.state.waiting, status.state.terminated
        if waiting is not None and waiting.reason:
            summary.reason = waiting.reason
        elif ended is not None:
            summary.reason = _exit_text(ended)
            if ended.exit_code != 0:
                error = summary.reason
        elif status.ready and status.state.running is not None:
            running = True
            summary.ready += 1
    if summary.reason == "Completed":
        if running and is_ready(pod):
            summary.reason = "Running"
        elif error:
            summary.reason = error
        elif running:
            summary.reason = "NotReady"


def _summary(pod: Pod) -> _Summary:
    summary = _initial(pod)
    initializing, of_sidecars = _walk_init(pod, summary)
    initialized = next((c.status == "True" for c in pod.status.conditions if c.type == "Initialized"), False)
    if not initializing or initialized:
        summary.restarts, summary.last_restart = of_sidecars.restarts, of_sidecars.last_restart
        _walk_containers(pod, summary)
    if pod.metadata.deletion_timestamp:
        if pod.status.reason == NODE_LOST:
            summary.reason = "Unknown"
        elif not is_terminal(pod):
            summary.reason = "Terminating"
    return summary


def status_text(pod: Pod) -> str:
    """The STATUS column: `Running`, `CrashLoopBackOff`, `Init:0/2`, `Terminating`..."""
    return _summary(pod).reason


def _ready_text(pod: Pod) -> str:
    summary = _summary(pod)
    return f"{summary.ready}/{summary.total}"


def _restarts(pod: Pod) -> str:
    return str(_summary(pod).restarts)


def _restarts_at(pod: Pod, now: datetime) -> str:
    summary = _summary(pod)
    if summary.restarts and summary.last_restart:
        return f"{summary.restarts} ({since(summary.last_restart, now)} ago)"
    return str(summary.restarts)


def _ip(pod: Pod) -> str:
    return (pod.status.pod_ips[0].ip if pod.status.pod_ips else "") or _NONE


def _readiness_gates(pod: Pod) -> str:
    gates = pod.spec.readiness_gates
    if not gates:
        return _NONE
    status_of: dict[str, str] = {}
    for condition in pod.status.conditions:
        status_of.setdefault(condition.type, condition.status)
    passed = sum(1 for gate in gates if status_of.get(gate.condition_type) == "True")
    return f"{passed}/{len(gates)}"


COLUMNS: tuple[Column[Pod], ...] = (
    Column("Name", "string", lambda pod: pod.metadata.name, "The pod's name.", format="name"),
    Column("Ready", "string", _ready_text, "Containers that are ready, of all that should be."),
    Column("Status", "string", status_text, "One word for the state of all containers."),
    Column("Restarts", "string", _restarts, "Container restarts, and when the last was.", cell_at=_restarts_at),
    Column("Age", "date", lambda pod: pod.metadata.creation_timestamp or "", "Time since the pod was created."),
    Column("IP", "string", _ip, "The pod's address.", wide=True),
    Column("Node", "string", lambda pod: pod.spec.node_name or _NONE, "The node that runs the pod.", wide=True),
    Column(
        "Nominated Node",
        "string",
        lambda pod: pod.status.nominated_node_name or _NONE,
        "The node where room is being made for the pod.",
        wide=True,
    ),
    Column("Readiness Gates", "string", _readiness_gates, "Extra conditions that are met, of all.", wide=True),
)
