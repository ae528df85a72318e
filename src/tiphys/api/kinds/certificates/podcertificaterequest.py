"""PodCertificateRequest. Source: staging/src/k8s.io/api/certificates/v1beta1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto
from tiphys.api.meta.types import Condition


class PodCertificateRequestSpec(Struct):
    """Which pod on which node asks whom, with which key."""

    signer_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    pod_name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    pod_uid: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    service_account_name: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    service_account_uid: Annotated[str, proto(5, required=True)] = field(default_factory=str)
    node_name: Annotated[str, proto(6, required=True)] = field(default_factory=str)
    node_uid: Annotated[str, proto(7, required=True)] = field(default_factory=str)
    max_expiration_seconds: Annotated[Int32 | None, proto(8)] = None
    pkix_public_key: Annotated[bytes, proto(9)] = field(default_factory=bytes)
    proof_of_possession: Annotated[bytes, proto(10)] = field(default_factory=bytes)
    stub_pkcs10_request: Annotated[bytes, proto(12, required=True)] = field(
        default_factory=bytes, name="stubPKCS10Request"
    )
    unverified_user_annotations: Annotated[dict[str, str], proto(11)] = {}


class PodCertificateRequestStatus(Struct):
    """The certificates, and when to renew them."""

    conditions: Annotated[list[Condition], proto(1, merge_key="type", list_type="map", list_map_keys=("type",))] = []
    certificate_chain: Annotated[str, proto(2)] = ""
    not_before: Annotated[Time | None, proto(4)] = None
    begin_refresh_at: Annotated[Time | None, proto(5)] = None
    not_after: Annotated[Time | None, proto(6)] = None


class PodCertificateRequest(Resource):
    """A pod's wish for a certificate, made by its kubelet."""

    spec: Annotated[PodCertificateRequestSpec, proto(2, required=True)] = field(
        default_factory=PodCertificateRequestSpec
    )
    status: Annotated[PodCertificateRequestStatus, proto(3)] = field(default_factory=PodCertificateRequestStatus)


def _prepare(obj: PodCertificateRequest, old: PodCertificateRequest | None) -> None:
    obj.status = copy_of(old.status) if old is not None else PodCertificateRequestStatus()


def _prepare_status(obj: PodCertificateRequest, old: PodCertificateRequest) -> None:
    obj.spec = copy_of(old.spec)


PODCERTIFICATEREQUEST = Kind(
    group="certificates.k8s.io",
    version="v1beta1",
    kind="PodCertificateRequest",
    plural="podcertificaterequests",
    schema=PodCertificateRequest,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    allow_unconditional_update=False,
    fields={
        "spec.signerName": lambda obj: obj.spec.signer_name,
        "spec.podName": lambda obj: obj.spec.pod_name,
        "spec.nodeName": lambda obj: obj.spec.node_name,
    },
    prepare=_prepare,
    prepare_status=_prepare_status,
)
