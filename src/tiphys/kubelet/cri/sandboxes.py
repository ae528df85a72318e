"""CRI messages about pod sandboxes. Field numbers are facts of `runtime.v1`.

Source: staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.
"""

from typing import Annotated

from tiphys.api.meta.schema import Struct, proto
from tiphys.kubelet.cri.common import NamespaceOption, PodSandboxConfig, PodSandboxMetadata


class RunPodSandboxRequest(Struct):
    config: Annotated[PodSandboxConfig | None, proto(1)] = None
    runtime_handler: Annotated[str, proto(2)] = ""


class RunPodSandboxResponse(Struct):
    pod_sandbox_id: Annotated[str, proto(1)] = ""


class StopPodSandboxRequest(Struct):
    pod_sandbox_id: Annotated[str, proto(1)] = ""


class StopPodSandboxResponse(Struct):
    """Nothing."""


class RemovePodSandboxRequest(Struct):
    pod_sandbox_id: Annotated[str, proto(1)] = ""


class RemovePodSandboxResponse(Struct):
    """Nothing."""


class PodSandboxStatusRequest(Struct):
    pod_sandbox_id: Annotated[str, proto(1)] = ""
    verbose: Annotated[bool, proto(2)] = False


class PodIP(Struct):
    ip: Annotated[str, proto(1)] = ""


class PodSandboxNetworkStatus(Struct):
    ip: Annotated[str, proto(1)] = ""
    additional_ips: Annotated[list[PodIP], proto(2)] = []


class Namespace(Struct):
    options: Annotated[NamespaceOption | None, proto(2)] = None


class LinuxPodSandboxStatus(Struct):
    namespaces: Annotated[Namespace | None, proto(1)] = None


class PodSandboxStatus(Struct):
    id: Annotated[str, proto(1)] = ""
    metadata: Annotated[PodSandboxMetadata | None, proto(2)] = None
    state: Annotated[int, proto(3)] = 0
    """0 SANDBOX_READY, 1 SANDBOX_NOTREADY"""
    created_at: Annotated[int, proto(4)] = 0
    network: Annotated[PodSandboxNetworkStatus | None, proto(5)] = None
    linux: Annotated[LinuxPodSandboxStatus | None, proto(6)] = None
    labels: Annotated[dict[str, str], proto(7)] = {}
    annotations: Annotated[dict[str, str], proto(8)] = {}
    runtime_handler: Annotated[str, proto(9)] = ""


class PodSandboxStatusResponse(Struct):
    status: Annotated[PodSandboxStatus | None, proto(1)] = None
    info: Annotated[dict[str, str], proto(2)] = {}
    timestamp: Annotated[int, proto(4)] = 0


class PodSandboxStateValue(Struct):
    state: Annotated[int, proto(1)] = 0
    """0 SANDBOX_READY, 1 SANDBOX_NOTREADY"""


class PodSandboxFilter(Struct):
    id: Annotated[str, proto(1)] = ""
    state: Annotated[PodSandboxStateValue | None, proto(2)] = None
    label_selector: Annotated[dict[str, str], proto(3)] = {}


class ListPodSandboxRequest(Struct):
    filter: Annotated[PodSandboxFilter | None, proto(1)] = None


class PodSandbox(Struct):
    id: Annotated[str, proto(1)] = ""
    metadata: Annotated[PodSandboxMetadata | None, proto(2)] = None
    state: Annotated[int, proto(3)] = 0
    """0 SANDBOX_READY, 1 SANDBOX_NOTREADY"""
    created_at: Annotated[int, proto(4)] = 0
    labels: Annotated[dict[str, str], proto(5)] = {}
    annotations: Annotated[dict[str, str], proto(6)] = {}
    runtime_handler: Annotated[str, proto(7)] = ""


class ListPodSandboxResponse(Struct):
    items: Annotated[list[PodSandbox], proto(1)] = []


class PortForwardRequest(Struct):
    pod_sandbox_id: Annotated[str, proto(1)] = ""
    port: Annotated[list[int], proto(2)] = []


class PortForwardResponse(Struct):
    url: Annotated[str, proto(1)] = ""
