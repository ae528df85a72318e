"""What to do with a pod, given its spec and what the runtime says: pure, so that a table of cases can test all of it.

`plan` answers with what is missing or too much right now. The worker does that, looks again and asks again; a pod in
the state that its spec wants gives an empty plan.

| sandbox | containers | plan |
| --- | --- | --- |
| any | one ended, and its rule says that all begin again | take all out of the runtime, that one last |
| none or dead | none yet, or restartable | kill what is left, new sandbox, begin with the first init container |
| none or dead | all done and not restartable | kill what is left |
| ready | an init container is due | start it; nothing after it |
| ready | init done | start each container that is missing or due for a restart |
| ready | a probe says it is sick, or its spec changed | kill it; the next look restarts it |
| ready | none runs and none will | kill the pod: sidecars and sandbox |

Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodActions), kuberuntime_container.go
(computeInitContainerActions), pkg/kubelet/container/helpers.go (ShouldContainerBeRestarted), pkg/api/v1/pod/util.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer
from tiphys.api.kinds.core.pod.facts import is_sidecar
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.state import ContainerRun, PodRuntime, RunState, SandboxState

RESTART_ALL = "RestartAllContainers"

Role = Literal["init", "sidecar", "main", "ephemeral"]


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes found, by container id. A container without a finding counts as well."""

    not_live: Mapping[str, bool] = field(default_factory=dict)
    startup: Mapping[str, bool | None] = field(default_factory=dict)
    """True: the startup probe has passed; False: it gave up; None or absent: undecided."""
    ready: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Start:
    container: Container | EphemeralContainer
    role: Role
    previous: ContainerRun | None
    """The attempt that it replaces; back-off counts from its end."""


@dataclass(frozen=True, slots=True)
class Kill:
    run: ContainerRun
    message: str
    """The text of the Killing event."""
    reason: Literal["", "StartupProbe", "LivenessProbe", "Unknown"] = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """In this order: kill the pod or single containers, make a sandbox, start containers."""

    kill_pod: bool = False
    """Stop every container and every sandbox."""
    create_sandbox: bool = False
    attempt: int = 0
    """Of the new sandbox."""
    reset: Sequence[ContainerRun] = ()
    """Runs to end without grace and take out of the runtime; nothing else is planned then."""
    kill: Sequence[Kill] = ()
    start: Sequence[Start] = ()

    @property
    def empty(self) -> bool:
        return self == Plan()


def spec_hash(container: Container | EphemeralContainer) -> str:
    """Changes when the container must be replaced: its name or image is another (all that a running pod may change)."""
    return hashlib.sha256(f"{container.name}\0{container.image}".encode()).hexdigest()[:16]


def rule_action(container: Container, exit_code: int) -> str:
    """What the first rule that matches says, `Restart` or `RestartAllContainers`; empty: none does."""
    for rule in container.restart_policy_rules:
        codes = rule.exit_codes
        if codes is None or codes.operator not in ("In", "NotIn"):
            continue
        if (exit_code in codes.values) == (codes.operator == "In"):
            return rule.action
    return ""


def may_restart_all(pod: Pod) -> bool:
    """Whether any container's end can begin all of them again."""
    rules = (rule for c in (*pod.spec.init_containers, *pod.spec.containers) for rule in c.restart_policy_rules)
    return any(rule.action == RESTART_ALL for rule in rules)


def _to_reset(pod: Pod, runtime: PodRuntime) -> list[ContainerRun]:
    """All runs to take away, in order; empty: no end asks for it. The cause stays to the last, should we be cut off."""
    if not may_restart_all(pod):
        return []
    causes, others = list[ContainerRun](), list[ContainerRun]()
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        for run in runtime.containers:
            if run.name == container.name:
                ended = run.state is RunState.EXITED
                (causes if ended and rule_action(container, run.exit_code) == RESTART_ALL else others).append(run)
    return [*others, *causes] if causes else []


def restarts_after(pod: Pod, container: Container, exit_code: int) -> bool:
    """Whether a container that ended so is started again."""
    policy = container.restart_policy or pod.spec.restart_policy
    if rule_action(container, exit_code):
        return True
    if container.restart_policy is None and any(c.name == container.name for c in pod.spec.init_containers):
        # A finished init container is done; a failed one is tried again unless the pod never restarts.
        return exit_code != 0 and policy != "Never"
    return policy in ("Always", "") or (policy == "OnFailure" and exit_code != 0)


def plan(pod: Pod, runtime: PodRuntime, health: Health) -> Plan:
    """The next step towards what the spec wants. See the table above."""
    if reset := _to_reset(pod, runtime):
        return Plan(reset=tuple(reset))
    needed, attempt = sandbox_needed(pod, runtime)
    if needed:
        return _plan_sandbox(pod, runtime, attempt)
    kills: list[Kill] = []
    starts: list[Start] = [
        Start(c, "ephemeral", None) for c in pod.spec.ephemeral_containers if runtime.latest(c.name) is None
    ]
    initialized, failed = _plan_init(pod, runtime, health, kills, starts)
    if failed:
        return Plan(kill_pod=True)
    if not initialized:
        return Plan(kill=tuple(kills), start=tuple(starts))
    kept, due = 0, False
    for container in pod.spec.containers:
        run = runtime.latest(container.name)
        if run is None or not run.running:
            if _due(pod, container, run):
                due = True
                if run is not None and run.state is RunState.UNKNOWN:
                    message = 'Container is in "unknown" state, try killing it before restart'
                    kills.append(Kill(run, message, "Unknown"))
                starts.append(Start(container, "main", run))
            continue
        sick = _sick(container, run, health)
        if sick is None:
            kept += 1
            continue
        message, reason = sick
        if restarts_after(pod, container, 137) or reason == "":
            due = True
            message += ", will be restarted"
        kills.append(Kill(run, message, reason))
    if kept == 0 and not due:
        return Plan(kill_pod=True)
    return Plan(kill=tuple(kills), start=tuple(starts))


def sandbox_needed(pod: Pod, runtime: PodRuntime) -> tuple[bool, int]:
    """Whether the pod has no sandbox that it can use, and the attempt number for the next one."""
    if not runtime.sandboxes:
        return True, 0
    newest = runtime.sandboxes[0]
    ready: list[SandboxState] = [sandbox for sandbox in runtime.sandboxes if sandbox.ready]
    if len(ready) > 1 or not newest.ready or newest.host_network != pod.spec.host_network:
        return True, newest.attempt + 1
    if not pod.spec.host_network and not newest.ips:
        return True, newest.attempt + 1
    return False, newest.attempt


def _plan_sandbox(pod: Pod, runtime: PodRuntime, attempt: int) -> Plan:
    if pod.spec.restart_policy == "Never" and attempt and runtime.containers:
        return Plan(kill_pod=True)
    waiting = [c for c in pod.spec.containers if _due(pod, c, runtime.latest(c.name), sandbox_lost=True)]
    if not waiting and any(runtime.latest(c.name) for c in pod.spec.containers):
        return Plan(kill_pod=True)
    kill_pod = bool(runtime.sandboxes)
    if pod.spec.init_containers:
        first = pod.spec.init_containers[0]
        starts = [Start(first, "sidecar" if is_sidecar(first) else "init", runtime.latest(first.name))]
    else:
        starts = [Start(c, "main", runtime.latest(c.name)) for c in waiting]
    return Plan(kill_pod=kill_pod, create_sandbox=True, attempt=attempt, start=tuple(starts))


def _due(pod: Pod, container: Container, run: ContainerRun | None, *, sandbox_lost: bool = False) -> bool:
    """Whether a container that does not run should."""
    if run is None or run.state is RunState.CREATED or run.state is RunState.UNKNOWN:
        return True
    if run.running:
        return sandbox_lost and (container.restart_policy or pod.spec.restart_policy) != "Never"
    return restarts_after(pod, container, run.exit_code)


def _sick(
    container: Container, run: ContainerRun, health: Health
) -> tuple[str, Literal["", "StartupProbe", "LivenessProbe"]] | None:
    if run.hash and run.hash != spec_hash(container):
        return f"Container {container.name} definition changed", ""
    if health.not_live.get(run.id):
        return f"Container {container.name} failed liveness probe", "LivenessProbe"
    if health.startup.get(run.id) is False:
        return f"Container {container.name} failed startup probe", "StartupProbe"
    return None


def started(container: Container, run: ContainerRun | None, health: Health) -> bool:
    """Running, and past its startup probe if it has one."""
    if run is None or not run.running:
        return False
    return container.startup_probe is None or health.startup.get(run.id) is True


def _plan_init(
    pod: Pod, runtime: PodRuntime, health: Health, kills: list[Kill], starts: list[Start]
) -> tuple[bool, bool]:
    """Adds what the init containers need; (all done, failed for good)."""
    sandbox = runtime.sandbox
    begun = any(
        (run := runtime.latest(c.name)) is not None and sandbox is not None and run.sandbox_id == sandbox.id
        for c in pod.spec.containers
    )
    for container in pod.spec.init_containers:
        run = runtime.latest(container.name)
        if run is not None and sandbox is not None and run.sandbox_id != sandbox.id:
            run_here = None  # it belongs to an earlier sandbox: initialization begins again
        else:
            run_here = run
        if is_sidecar(container):
            if not _plan_sidecar(container, run, run_here, health, kills, starts) and not begun:
                return False, False
            continue
        if begun:
            continue
        if run_here is None or run_here.state is RunState.CREATED:
            starts.append(Start(container, "init", run))
            return False, False
        if run_here.state is RunState.UNKNOWN:
            kills.append(
                Kill(run_here, 'Init container is in "unknown" state, try killing it before restart', "Unknown")
            )
            starts.append(Start(container, "init", run_here))
            return False, False
        if run_here.running:
            return False, False
        if run_here.exit_code == 0:
            continue
        if not restarts_after(pod, container, run_here.exit_code):
            return False, True
        starts.append(Start(container, "init", run_here))
        return False, False
    return True, False


def _plan_sidecar(
    container: Container,
    run: ContainerRun | None,
    run_here: ContainerRun | None,
    health: Health,
    kills: list[Kill],
    starts: list[Start],
) -> bool:
    """Whether the next init container may begin."""
    if run_here is None or not run_here.running:
        if run_here is not None and run_here.state is RunState.UNKNOWN:
            kills.append(
                Kill(run_here, 'Init container is in "unknown" state, try killing it before restart', "Unknown")
            )
        starts.append(Start(container, "sidecar", run))
        return False
    sick = _sick(container, run_here, health)
    if sick is not None:
        kills.append(
            Kill(run_here, "Init container" + sick[0].removeprefix("Container") + ", will be restarted", sick[1])
        )
        return False
    return started(container, run_here, health)


def kill_order(pod: Pod, running: Sequence[ContainerRun]) -> list[list[ContainerRun]]:
    """Groups to stop one after another: main containers together, then sidecars from the last to the first."""
    sidecars = [c.name for c in pod.spec.init_containers if is_sidecar(c)]
    groups = [[run for run in running if run.name not in sidecars]]
    groups += [[run for run in running if run.name == name] for name in reversed(sidecars)]
    return [group for group in groups if group]
