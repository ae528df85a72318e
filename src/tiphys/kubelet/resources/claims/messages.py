"""Messages of DRA drivers. Field numbers are facts of `v1`; `v1beta1` has the same.

Source: staging/src/k8s.io/kubelet/pkg/apis/dra/v1/api.proto.
"""

from typing import Annotated

from tiphys.api.meta.schema import Struct, proto

SERVICES = {
    "v1.DRAPlugin": "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/",
    "v1beta1.DRAPlugin": "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/",
}
"""What a driver may say it serves, the better first, and how its calls are named then."""


class Claim(Struct):
    namespace: Annotated[str, proto(1)] = ""
    uid: Annotated[str, proto(2)] = ""
    name: Annotated[str, proto(3)] = ""


class ClaimsRequest(Struct):
    """Of NodePrepareResources and NodeUnprepareResources."""

    claims: Annotated[list[Claim], proto(1)] = []


class PreparedDevice(Struct):
    request_names: Annotated[list[str], proto(1)] = []
    pool_name: Annotated[str, proto(2)] = ""
    device_name: Annotated[str, proto(3)] = ""
    cdi_device_ids: Annotated[list[str], proto(4)] = []
    share_id: Annotated[str | None, proto(5)] = None


class PrepareResult(Struct):
    devices: Annotated[list[PreparedDevice], proto(1)] = []
    error: Annotated[str, proto(2)] = ""


class PrepareAnswer(Struct):
    claims: Annotated[dict[str, PrepareResult], proto(1)] = {}
    """By claim UID."""


class UnprepareResult(Struct):
    error: Annotated[str, proto(1)] = ""


class UnprepareAnswer(Struct):
    claims: Annotated[dict[str, UnprepareResult], proto(1)] = {}
