"""What becomes of a pod on a simulated node: stages as data, and pure functions that apply them.

A stage says which pods it is for, how long it takes and what the pod is then. The first stage that matches is the one:

    start      Pending, not being deleted                       after 0.1 s   Running and ready
    complete   Running, annotated `.../complete-after: 30s`     after 30 s    Succeeded, or Failed by `.../exit-code`
    finish     already ended, being deleted                     at once       gone
    terminate  being deleted                                    after its hooks and 0.2 s, at most the grace   gone

Other lives are other tuples of stages (`stages_file` reads them). Chance and jitter come from the seed, the pod's UID
and the stage's name: the same again for the same, and independent of the order in which things happen.
Nothing here waits or reads a clock.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStatus,
    HostIP,
    PodCondition,
    PodIP,
    PodStatus,
)
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import parse_rfc3339, rfc3339

COMPLETE_AFTER = "simulate.tiphys.dev/complete-after"
"""Annotation: the pod ends so long after it started (`30s`, `1m30s`, `500ms`)."""
EXIT_CODE = "simulate.tiphys.dev/exit-code"
"""Annotation: with what its containers end; 0 if absent."""

GONE = "Gone"
"""What becomes of a pod that is to be removed from the API."""

BECOMES = ("Running", "Started", "Ready", "NotReady", "Restarted", "Ended", "Succeeded", "Failed", GONE)
"""Running: started and ready. Started: not ready yet. Restarted: its containers end and start again at once. Ended:
Succeeded or Failed, by the pod's annotation."""

_SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?\Z")


@dataclass(frozen=True, slots=True)
class Stage:
    """One step in a pod's life. Every condition that is given must hold."""

    name: str
    phases: frozenset[str]
    deleting: bool
    """Whether it is for pods with a deletion timestamp, or for those without."""
    becomes: str
    """What the pod is afterwards, one of `BECOMES`."""
    delay_s: float = 0.0
    delay_annotation: str = ""
    """For pods with this annotation only, whose value replaces `delay_s`, counted from the pod's start."""
    within_grace: bool = False
    """Never takes longer than the deletion grace period."""
    after_hooks: bool = False
    """The delay begins when the hooks before the containers' stop (`preStop`) have slept."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """For pods with these labels only."""
    ready: bool | None = None
    """For pods that are ready, or that are not."""
    chance: float = 1.0
    """The share of pods that it is for."""
    jitter_s: float = 0.0
    """The delay is longer by up to so much."""
    exit_code: int = 1
    """Of the containers, where it becomes `Failed` or `Restarted`."""
    reason: str = ""
    """Of the containers' end, or of not being ready."""


DEFAULT_STAGES: tuple[Stage, ...] = (
    Stage("start", frozenset({"", "Pending"}), deleting=False, becomes="Running", delay_s=0.1),
    Stage("complete", frozenset({"Running"}), deleting=False, becomes="Ended", delay_annotation=COMPLETE_AFTER),
    Stage("finish", frozenset({"Succeeded", "Failed"}), deleting=True, becomes=GONE),
    Stage(
        "terminate",
        frozenset({"", "Pending", "Running", "Unknown"}),
        deleting=True,
        becomes=GONE,
        delay_s=0.2,
        within_grace=True,
        after_hooks=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A stage that will happen."""

    stage: Stage
    delay_s: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pod runs."""

    pod_address: str
    host_address: str


def seconds(text: str) -> float | None:
    """A Go-like time span: `1h2m3.5s`, `250ms`. None where it is none."""
    match = _SPAN.match(text)
    if match is None or not text:
        return None
    hours, minutes, whole, millis = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + whole + millis / 1000


def next_step(stages: Sequence[Stage], pod: Pod, now: datetime, seed: int = 0) -> Step | None:
    """The first stage that is for this pod, and how long until then."""
    deleting = pod.metadata.deletion_timestamp is not None
    for stage in stages:
        if stage.deleting != deleting or pod.status.phase not in stage.phases or not _is_for(stage, pod, seed):
            continue
        delay_s = _delay_s(stage, pod, now, seed)
        if delay_s is not None:
            return Step(stage, delay_s)
    return None


def _is_for(stage: Stage, pod: Pod, seed: int) -> bool:
    labels = pod.metadata.labels
    return (
        all(labels.get(key) == value for key, value in stage.labels.items())
        and (stage.ready is None or stage.ready == _is_ready(pod))
        and (stage.chance >= 1 or _share(seed, pod, stage, "chance") < stage.chance)
    )


def _is_ready(pod: Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def _share(seed: int, pod: Pod, stage: Stage, what: str) -> float:
    """From 0 to below 1, evenly over pods."""
    return zlib.crc32(f"{seed}/{what}/{stage.name}/{pod.metadata.uid}".encode()) / 2**32


def _delay_s(stage: Stage, pod: Pod, now: datetime, seed: int) -> float | None:
    delay_s = stage.delay_s
    if stage.delay_annotation:
        stated = seconds(pod.metadata.annotations.get(stage.delay_annotation, ""))
        if stated is None:
            return None
        since = pod.status.start_time or pod.metadata.creation_timestamp
        passed_s = (now - parse_rfc3339(since)).total_seconds() if since else 0.0
        delay_s = max(stated - passed_s, 0.0)
    if stage.jitter_s:
        delay_s += stage.jitter_s * _share(seed, pod, stage, "jitter")
    if stage.after_hooks:
        delay_s += _hooks_left_s(pod, now)
    if stage.within_grace:
        delay_s = min(delay_s, float(pod.metadata.deletion_grace_period_seconds or 0))
    return delay_s


def _hooks_left_s(pod: Pod, now: datetime) -> float:
    """How long the hooks of containers that run still sleep; they all began when the pod was deleted.

    Source: pkg/kubelet/kuberuntime/kuberuntime_container.go (killContainer).
    """
    running = {
        each.name
        for each in (*pod.status.init_container_statuses, *pod.status.container_statuses)
        if each.state.running is not None
    }
    longest_s = 0
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        hook = container.lifecycle.pre_stop if container.lifecycle is not None else None
        if hook is not None and hook.sleep is not None and container.name in running:
            longest_s = max(longest_s, hook.sleep.seconds)
    ends = pod.metadata.deletion_timestamp
    if not longest_s or ends is None:
        return 0.0
    passed_s = (now - parse_rfc3339(ends)).total_seconds() + (pod.metadata.deletion_grace_period_seconds or 0)
    return max(longest_s - max(passed_s, 0.0), 0.0)


def after(stage: Stage, pod: Pod, place: Place, now: datetime) -> PodStatus:
    """The pod's status once `stage` has happened. The pod is not changed. Not for stages that end in `GONE`."""
    status = copy_of(pod.status)
    text = rfc3339(now)
    if stage.becomes in ("Running", "Started"):
        _run(pod, status, place, text, ready=stage.becomes == "Running")
    elif stage.becomes in ("Ready", "NotReady"):
        _turn(pod, status, stage, text)
    elif stage.becomes == "Restarted":
        _restart(pod, status, stage, text)
    else:
        _end(pod, status, text, *_ending(stage, pod))
    return status


def _ending(stage: Stage, pod: Pod) -> tuple[int, str]:
    """With which exit code, and why, if not the usual reason."""
    if stage.becomes == "Ended":
        text = pod.metadata.annotations.get(EXIT_CODE, "0")
        return (int(text) if text.isdigit() else 1), stage.reason
    return (0 if stage.becomes == "Succeeded" else stage.exit_code), stage.reason


def _run(pod: Pod, status: PodStatus, place: Place, now: str, *, ready: bool) -> None:
    status.phase = "Running"
    status.observed_generation = pod.metadata.generation
    status.start_time = status.start_time or now
    status.host_ip, status.host_ips = place.host_address, [HostIP(ip=place.host_address)]
    status.pod_ip, status.pod_ips = place.pod_address, [PodIP(ip=place.pod_address)]
    status.init_container_statuses = [
        _running(pod, c, now) if c.restart_policy == "Always" else _ended(pod, c, 0, now, now)
        for c in pod.spec.init_containers
    ]
    status.container_statuses = [_running(pod, c, now, ready=ready) for c in pod.spec.containers]
    for type_ in ("PodReadyToStartContainers", "Initialized"):
        _set(status, type_, True, now, pod.metadata.generation)
    _judge(pod, status, now, ready, "ContainersNotReady")


def _turn(pod: Pod, status: PodStatus, stage: Stage, now: str) -> None:
    """The containers of a running pod become ready, or cease to be."""
    ready = stage.becomes == "Ready"
    status.container_statuses = [copy_of(each) for each in status.container_statuses]
    for each in status.container_statuses:
        each.ready = ready
    _judge(pod, status, now, ready, stage.reason or "ContainersNotReady")


def _restart(pod: Pod, status: PodStatus, stage: Stage, now: str) -> None:
    """Each container that runs ends, and the next run of it starts."""
    status.container_statuses = [copy_of(each) for each in status.container_statuses]
    for each in status.container_statuses:
        if each.state.running is None:
            continue
        ended = _terminated(each.container_id, stage.exit_code, each.state.running.started_at or now, now, stage.reason)
        each.last_state = ContainerState(terminated=ended)
        each.state = ContainerState(running=ContainerStateRunning(started_at=now))
        each.restart_count += 1
        each.container_id = f"simulated://{pod.metadata.uid}-{each.name}-{each.restart_count}"


def _judge(pod: Pod, status: PodStatus, now: str, ready: bool, reason: str) -> None:
    """The two conditions that say whether a pod is ready; its gates count too."""
    gates = {c.type: c.status for c in status.conditions}
    open_ = all(gates.get(gate.condition_type) == "True" for gate in pod.spec.readiness_gates)
    _set(status, "ContainersReady", ready, now, pod.metadata.generation, "" if ready else reason)
    why = reason if not ready else "" if open_ else "ReadinessGatesNotReady"
    _set(status, "Ready", ready and open_, now, pod.metadata.generation, why)


def _end(pod: Pod, status: PodStatus, now: str, code: int, reason: str) -> None:
    status.phase = "Failed" if code else "Succeeded"
    started = status.start_time = status.start_time or now
    status.container_statuses = [_ended(pod, c, code, started, now, reason) for c in pod.spec.containers]
    for type_ in ("ContainersReady", "Ready"):
        _set(status, type_, False, now, pod.metadata.generation, "PodFailed" if code else "PodCompleted")
    _set(status, "PodReadyToStartContainers", False, now, pod.metadata.generation)


def _set(status: PodStatus, type_: str, value: bool, now: str, generation: int, reason: str = "") -> None:
    text = "True" if value else "False"
    old = next((c for c in status.conditions if c.type == type_), None)
    since = old.last_transition_time if old is not None and old.status == text else now
    condition = PodCondition(
        type=type_, status=text, reason=reason, last_transition_time=since, observed_generation=generation
    )
    status.conditions = [*(c for c in status.conditions if c.type != type_), condition]


def _container_id(pod: Pod, container: Container) -> str:
    return f"simulated://{pod.metadata.uid}-{container.name}"


def _running(pod: Pod, container: Container, now: str, *, ready: bool = True) -> ContainerStatus:
    return ContainerStatus(
        name=container.name,
        state=ContainerState(running=ContainerStateRunning(started_at=now)),
        ready=ready,
        started=True,
        image=container.image,
        image_id=f"simulated://{container.image}",
        container_id=_container_id(pod, container),
    )


def _ended(pod: Pod, container: Container, code: int, started: str, now: str, reason: str = "") -> ContainerStatus:
    container_id = _container_id(pod, container)
    ended = _terminated(container_id, code, started, now, reason)
    return ContainerStatus(
        name=container.name,
        state=ContainerState(terminated=ended),
        ready=code == 0 and container in pod.spec.init_containers,
        started=False,
        image=container.image,
        image_id=f"simulated://{container.image}",
        container_id=container_id,
    )


def _terminated(container_id: str, code: int, started: str, now: str, reason: str) -> ContainerStateTerminated:
    return ContainerStateTerminated(
        exit_code=code,
        reason=reason or ("Error" if code else "Completed"),
        started_at=started,
        finished_at=now,
        container_id=container_id,
    )
