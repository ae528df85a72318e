"""CRI messages about the runtime itself. Field numbers are facts of `runtime.v1`.

Source: staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.
"""

from typing import Annotated

from tiphys.api.meta.schema import Struct, proto


class VersionRequest(Struct):
    version: Annotated[str, proto(1)] = ""


class VersionResponse(Struct):
    version: Annotated[str, proto(1)] = ""
    runtime_name: Annotated[str, proto(2)] = ""
    runtime_version: Annotated[str, proto(3)] = ""
    runtime_api_version: Annotated[str, proto(4)] = ""


class StatusRequest(Struct):
    verbose: Annotated[bool, proto(1)] = False


class RuntimeCondition(Struct):
    type: Annotated[str, proto(1)] = ""
    status: Annotated[bool, proto(2)] = False
    reason: Annotated[str, proto(3)] = ""
    message: Annotated[str, proto(4)] = ""


class RuntimeStatus(Struct):
    conditions: Annotated[list[RuntimeCondition], proto(1)] = []


class StatusResponse(Struct):
    status: Annotated[RuntimeStatus | None, proto(1)] = None
    info: Annotated[dict[str, str], proto(2)] = {}


class NetworkConfig(Struct):
    pod_cidr: Annotated[str, proto(1)] = ""


class RuntimeConfig(Struct):
    network_config: Annotated[NetworkConfig | None, proto(1)] = None


class UpdateRuntimeConfigRequest(Struct):
    runtime_config: Annotated[RuntimeConfig | None, proto(1)] = None


class UpdateRuntimeConfigResponse(Struct):
    """Nothing."""
