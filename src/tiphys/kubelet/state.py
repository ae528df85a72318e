"""What the runtime says of one pod, as the pure parts read it. Times are CRI's: nanoseconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from tiphys.kubelet.cri.containers import ContainerStatus
from tiphys.kubelet.cri.sandboxes import PodSandboxStatus

LABEL_POD_NAME = "io.kubernetes.pod.name"
LABEL_POD_NAMESPACE = "io.kubernetes.pod.namespace"
LABEL_POD_UID = "io.kubernetes.pod.uid"
LABEL_CONTAINER = "io.kubernetes.container.name"
ANNOTATION_RESTARTS = "io.kubernetes.container.restartCount"
ANNOTATION_HASH = "io.kubernetes.container.hash"
ANNOTATION_GRACE = "io.kubernetes.pod.terminationGracePeriod"
ANNOTATION_MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
ANNOTATION_MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"


class RunState(Enum):
    """CRI's container states, by their numbers."""

    CREATED = 0
    RUNNING = 1
    EXITED = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class SandboxState:
    id: str
    ready: bool
    attempt: int
    created_ns: int
    ips: tuple[str, ...] = ()
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """One container in the runtime: one attempt of a container of the spec."""

    id: str
    name: str
    state: RunState
    attempt: int
    """How often it was restarted before: `restartCount`."""
    sandbox_id: str = ""
    hash: str = ""
    created_ns: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    log_path: str = ""

    @property
    def running(self) -> bool:
        return self.state is RunState.RUNNING

    @property
    def container_id(self) -> str:
        """As the API writes it."""
        return f"containerd://{self.id}"


@dataclass(frozen=True, slots=True)
class PodRuntime:
    """Everything of one pod that the runtime knows; newest first in both lists."""

    sandboxes: Sequence[SandboxState] = ()
    containers: Sequence[ContainerRun] = ()
    _latest: dict[str, ContainerRun] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for run in reversed(self.containers):
            self._latest[run.name] = run

    def latest(self, name: str) -> ContainerRun | None:
        """The newest attempt of the container."""
        return self._latest.get(name)

    def previous(self, name: str) -> ContainerRun | None:
        """The attempt before the newest, while the runtime keeps it."""
        runs = [run for run in self.containers if run.name == name]
        return runs[1] if len(runs) > 1 else None

    @property
    def sandbox(self) -> SandboxState | None:
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def running(self) -> list[ContainerRun]:
        return [run for run in self.containers if run.running]

    @property
    def ips(self) -> tuple[str, ...]:
        return self.sandboxes[0].ips if self.sandboxes and self.sandboxes[0].ready else ()


def sandbox_state(status: PodSandboxStatus) -> SandboxState:
    network = status.network
    ips = (network.ip, *(extra.ip for extra in network.additional_ips)) if network and network.ip else ()
    options = status.linux.namespaces.options if status.linux and status.linux.namespaces else None
    return SandboxState(
        id=status.id,
        ready=status.state == 0,
        attempt=status.metadata.attempt if status.metadata else 0,
        created_ns=status.created_at,
        ips=ips,
        host_network=bool(options and options.network == 2),
    )


def container_run(status: ContainerStatus, sandbox_id: str) -> ContainerRun:
    attempt = status.metadata.attempt if status.metadata else 0
    return ContainerRun(
        id=status.id,
        name=status.labels.get(LABEL_CONTAINER, ""),
        state=RunState(status.state),
        attempt=int(status.annotations.get(ANNOTATION_RESTARTS, attempt)),
        sandbox_id=sandbox_id,
        hash=status.annotations.get(ANNOTATION_HASH, ""),
        created_ns=status.created_at,
        started_ns=status.started_at,
        finished_ns=status.finished_at,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.image if status.image else "",
        image_id=status.image_ref,
        log_path=status.log_path,
    )
