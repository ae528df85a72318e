"""CRI messages about containers. Field numbers are facts of `runtime.v1`.

Source: staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.
"""

from typing import Annotated

from tiphys.api.meta.schema import Struct, proto
from tiphys.kubelet.cri.common import (
    ImageSpec,
    KeyValue,
    LinuxContainerResources,
    LinuxContainerSecurityContext,
    Mount,
    PodSandboxConfig,
    UInt64Value,
)
from tiphys.kubelet.cri.images import FilesystemUsage

SIGNALS = (
    "RUNTIME_DEFAULT",
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGRTMIN",
    "SIGRTMINPLUS1",
    "SIGRTMINPLUS2",
    "SIGRTMINPLUS3",
    "SIGRTMINPLUS4",
    "SIGRTMINPLUS5",
    "SIGRTMINPLUS6",
    "SIGRTMINPLUS7",
    "SIGRTMINPLUS8",
    "SIGRTMINPLUS9",
    "SIGRTMINPLUS10",
    "SIGRTMINPLUS11",
    "SIGRTMINPLUS12",
    "SIGRTMINPLUS13",
    "SIGRTMINPLUS14",
    "SIGRTMINPLUS15",
    "SIGRTMAXMINUS14",
    "SIGRTMAXMINUS13",
    "SIGRTMAXMINUS12",
    "SIGRTMAXMINUS11",
    "SIGRTMAXMINUS10",
    "SIGRTMAXMINUS9",
    "SIGRTMAXMINUS8",
    "SIGRTMAXMINUS7",
    "SIGRTMAXMINUS6",
    "SIGRTMAXMINUS5",
    "SIGRTMAXMINUS4",
    "SIGRTMAXMINUS3",
    "SIGRTMAXMINUS2",
    "SIGRTMAXMINUS1",
    "SIGRTMAX",
)
"""CRI numbers signals in its own order: the index is the value on the wire."""


class ContainerMetadata(Struct):
    name: Annotated[str, proto(1)] = ""
    attempt: Annotated[int, proto(2)] = 0


class Device(Struct):
    container_path: Annotated[str, proto(1)] = ""
    host_path: Annotated[str, proto(2)] = ""
    permissions: Annotated[str, proto(3)] = ""


class LinuxContainerConfig(Struct):
    resources: Annotated[LinuxContainerResources | None, proto(1)] = None
    security_context: Annotated[LinuxContainerSecurityContext | None, proto(2)] = None


class CDIDevice(Struct):
    name: Annotated[str, proto(1)] = ""


class ContainerConfig(Struct):
    metadata: Annotated[ContainerMetadata | None, proto(1)] = None
    image: Annotated[ImageSpec | None, proto(2)] = None
    command: Annotated[list[str], proto(3)] = []
    args: Annotated[list[str], proto(4)] = []
    working_dir: Annotated[str, proto(5)] = ""
    envs: Annotated[list[KeyValue], proto(6)] = []
    mounts: Annotated[list[Mount], proto(7)] = []
    devices: Annotated[list[Device], proto(8)] = []
    labels: Annotated[dict[str, str], proto(9)] = {}
    annotations: Annotated[dict[str, str], proto(10)] = {}
    log_path: Annotated[str, proto(11)] = ""
    stdin: Annotated[bool, proto(12)] = False
    stdin_once: Annotated[bool, proto(13)] = False
    tty: Annotated[bool, proto(14)] = False
    linux: Annotated[LinuxContainerConfig | None, proto(15)] = None
    cdi_devices: Annotated[list[CDIDevice], proto(17)] = []
    stop_signal: Annotated[int, proto(18)] = 0
    """An index of `SIGNALS`."""


class CreateContainerRequest(Struct):
    pod_sandbox_id: Annotated[str, proto(1)] = ""
    config: Annotated[ContainerConfig | None, proto(2)] = None
    sandbox_config: Annotated[PodSandboxConfig | None, proto(3)] = None


class CreateContainerResponse(Struct):
    container_id: Annotated[str, proto(1)] = ""


class StartContainerRequest(Struct):
    container_id: Annotated[str, proto(1)] = ""


class StartContainerResponse(Struct):
    """Nothing."""


class StopContainerRequest(Struct):
    container_id: Annotated[str, proto(1)] = ""
    timeout: Annotated[int, proto(2)] = 0


class StopContainerResponse(Struct):
    """Nothing."""


class RemoveContainerRequest(Struct):
    container_id: Annotated[str, proto(1)] = ""


class RemoveContainerResponse(Struct):
    """Nothing."""


class ContainerStateValue(Struct):
    state: Annotated[int, proto(1)] = 0
    """0 CONTAINER_CREATED, 1 CONTAINER_RUNNING, 2 CONTAINER_EXITED, 3 CONTAINER_UNKNOWN"""


class ContainerFilter(Struct):
    id: Annotated[str, proto(1)] = ""
    state: Annotated[ContainerStateValue | None, proto(2)] = None
    pod_sandbox_id: Annotated[str, proto(3)] = ""
    label_selector: Annotated[dict[str, str], proto(4)] = {}


class ListContainersRequest(Struct):
    filter: Annotated[ContainerFilter | None, proto(1)] = None


class Container(Struct):
    id: Annotated[str, proto(1)] = ""
    pod_sandbox_id: Annotated[str, proto(2)] = ""
    metadata: Annotated[ContainerMetadata | None, proto(3)] = None
    image: Annotated[ImageSpec | None, proto(4)] = None
    image_ref: Annotated[str, proto(5)] = ""
    state: Annotated[int, proto(6)] = 0
    """0 CONTAINER_CREATED, 1 CONTAINER_RUNNING, 2 CONTAINER_EXITED, 3 CONTAINER_UNKNOWN"""
    created_at: Annotated[int, proto(7)] = 0
    labels: Annotated[dict[str, str], proto(8)] = {}
    annotations: Annotated[dict[str, str], proto(9)] = {}
    image_id: Annotated[str, proto(10)] = ""


class ListContainersResponse(Struct):
    containers: Annotated[list[Container], proto(1)] = []


class ContainerStatusRequest(Struct):
    container_id: Annotated[str, proto(1)] = ""
    verbose: Annotated[bool, proto(2)] = False


class ContainerResources(Struct):
    linux: Annotated[LinuxContainerResources | None, proto(1)] = None


class LinuxContainerUser(Struct):
    uid: Annotated[int, proto(1)] = 0
    gid: Annotated[int, proto(2)] = 0
    supplemental_groups: Annotated[list[int], proto(3)] = []


class ContainerUser(Struct):
    linux: Annotated[LinuxContainerUser | None, proto(1)] = None


class ContainerStatus(Struct):
    id: Annotated[str, proto(1)] = ""
    metadata: Annotated[ContainerMetadata | None, proto(2)] = None
    state: Annotated[int, proto(3)] = 0
    """0 CONTAINER_CREATED, 1 CONTAINER_RUNNING, 2 CONTAINER_EXITED, 3 CONTAINER_UNKNOWN"""
    created_at: Annotated[int, proto(4)] = 0
    started_at: Annotated[int, proto(5)] = 0
    finished_at: Annotated[int, proto(6)] = 0
    exit_code: Annotated[int, proto(7)] = 0
    image: Annotated[ImageSpec | None, proto(8)] = None
    image_ref: Annotated[str, proto(9)] = ""
    reason: Annotated[str, proto(10)] = ""
    message: Annotated[str, proto(11)] = ""
    labels: Annotated[dict[str, str], proto(12)] = {}
    annotations: Annotated[dict[str, str], proto(13)] = {}
    mounts: Annotated[list[Mount], proto(14)] = []
    log_path: Annotated[str, proto(15)] = ""
    resources: Annotated[ContainerResources | None, proto(16)] = None
    image_id: Annotated[str, proto(17)] = ""
    user: Annotated[ContainerUser | None, proto(18)] = None
    stop_signal: Annotated[int, proto(19)] = 0
    """An index of `SIGNALS`."""


class ContainerStatusResponse(Struct):
    status: Annotated[ContainerStatus | None, proto(1)] = None
    info: Annotated[dict[str, str], proto(2)] = {}


class UpdateContainerResourcesRequest(Struct):
    container_id: Annotated[str, proto(1)] = ""
    linux: Annotated[LinuxContainerResources | None, proto(2)] = None
    annotations: Annotated[dict[str, str], proto(4)] = {}


class UpdateContainerResourcesResponse(Struct):
    """Nothing."""


class CheckpointContainerRequest(Struct):
    container_id: Annotated[str, proto(1)] = ""
    location: Annotated[str, proto(2)] = ""
    timeout: Annotated[int, proto(3)] = 0


class CheckpointContainerResponse(Struct):
    """Nothing."""


class ReopenContainerLogRequest(Struct):
    container_id: Annotated[str, proto(1)] = ""


class ReopenContainerLogResponse(Struct):
    """Nothing."""


class ExecSyncRequest(Struct):
    container_id: Annotated[str, proto(1)] = ""
    cmd: Annotated[list[str], proto(2)] = []
    timeout: Annotated[int, proto(3)] = 0


class ExecSyncResponse(Struct):
    stdout: Annotated[bytes, proto(1)] = b""
    stderr: Annotated[bytes, proto(2)] = b""
    exit_code: Annotated[int, proto(3)] = 0


class ExecRequest(Struct):
    container_id: Annotated[str, proto(1)] = ""
    cmd: Annotated[list[str], proto(2)] = []
    tty: Annotated[bool, proto(3)] = False
    stdin: Annotated[bool, proto(4)] = False
    stdout: Annotated[bool, proto(5)] = False
    stderr: Annotated[bool, proto(6)] = False


class ExecResponse(Struct):
    url: Annotated[str, proto(1)] = ""


class AttachRequest(Struct):
    container_id: Annotated[str, proto(1)] = ""
    stdin: Annotated[bool, proto(2)] = False
    tty: Annotated[bool, proto(3)] = False
    stdout: Annotated[bool, proto(4)] = False
    stderr: Annotated[bool, proto(5)] = False


class AttachResponse(Struct):
    url: Annotated[str, proto(1)] = ""


class ContainerStatsFilter(Struct):
    id: Annotated[str, proto(1)] = ""
    pod_sandbox_id: Annotated[str, proto(2)] = ""
    label_selector: Annotated[dict[str, str], proto(3)] = {}


class ListContainerStatsRequest(Struct):
    filter: Annotated[ContainerStatsFilter | None, proto(1)] = None


class ContainerAttributes(Struct):
    id: Annotated[str, proto(1)] = ""
    metadata: Annotated[ContainerMetadata | None, proto(2)] = None
    labels: Annotated[dict[str, str], proto(3)] = {}
    annotations: Annotated[dict[str, str], proto(4)] = {}


class PsiData(Struct):
    total: Annotated[int, proto(1)] = 0
    avg10: Annotated[float, proto(2)] = 0.0
    avg60: Annotated[float, proto(3)] = 0.0
    avg300: Annotated[float, proto(4)] = 0.0


class PsiStats(Struct):
    full: Annotated[PsiData | None, proto(1)] = None
    some: Annotated[PsiData | None, proto(2)] = None


class CpuUsage(Struct):
    timestamp: Annotated[int, proto(1)] = 0
    usage_core_nano_seconds: Annotated[UInt64Value | None, proto(2)] = None
    usage_nano_cores: Annotated[UInt64Value | None, proto(3)] = None
    psi: Annotated[PsiStats | None, proto(4)] = None


class MemoryUsage(Struct):
    timestamp: Annotated[int, proto(1)] = 0
    working_set_bytes: Annotated[UInt64Value | None, proto(2)] = None
    available_bytes: Annotated[UInt64Value | None, proto(3)] = None
    usage_bytes: Annotated[UInt64Value | None, proto(4)] = None
    rss_bytes: Annotated[UInt64Value | None, proto(5)] = None
    page_faults: Annotated[UInt64Value | None, proto(6)] = None
    major_page_faults: Annotated[UInt64Value | None, proto(7)] = None
    psi: Annotated[PsiStats | None, proto(8)] = None


class SwapUsage(Struct):
    timestamp: Annotated[int, proto(1)] = 0
    swap_available_bytes: Annotated[UInt64Value | None, proto(2)] = None
    swap_usage_bytes: Annotated[UInt64Value | None, proto(3)] = None


class IoUsage(Struct):
    timestamp: Annotated[int, proto(1)] = 0
    psi: Annotated[PsiStats | None, proto(2)] = None


class ContainerStats(Struct):
    attributes: Annotated[ContainerAttributes | None, proto(1)] = None
    cpu: Annotated[CpuUsage | None, proto(2)] = None
    memory: Annotated[MemoryUsage | None, proto(3)] = None
    writable_layer: Annotated[FilesystemUsage | None, proto(4)] = None
    swap: Annotated[SwapUsage | None, proto(5)] = None
    io: Annotated[IoUsage | None, proto(6)] = None


class ListContainerStatsResponse(Struct):
    stats: Annotated[list[ContainerStats], proto(1)] = []
