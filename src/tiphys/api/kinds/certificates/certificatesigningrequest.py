"""CertificateSigningRequest. Source: staging/src/k8s.io/api/certificates/v1/types.go."""

from typing import Annotated

from tiphys.api.duration import human_duration
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.certificates import validation
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto


class CertificateSigningRequestSpec(Struct):
    """The request in PEM, who signs it, for how long, and who asks."""

    request: Annotated[bytes, proto(1, required=True)] = field(default_factory=bytes)
    signer_name: Annotated[str, proto(7, required=True)] = field(default_factory=str)
    expiration_seconds: Annotated[Int32 | None, proto(8)] = None
    usages: Annotated[list[str], proto(5, list_type="atomic")] = []
    username: Annotated[str, proto(2)] = ""
    uid: Annotated[str, proto(3)] = ""
    groups: Annotated[list[str], proto(4, list_type="atomic")] = []
    extra: Annotated[dict[str, list[str]], proto(6)] = {}


class CertificateSigningRequestCondition(Struct):
    """One aspect of a request's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(6, required=True)] = field(default_factory=str)
    reason: Annotated[str, proto(2)] = ""
    message: Annotated[str, proto(3)] = ""
    last_update_time: Annotated[Time | None, proto(4)] = None
    last_transition_time: Annotated[Time | None, proto(5)] = None


class CertificateSigningRequestStatus(Struct):
    """Whether it was approved or denied, and the certificate."""

    conditions: Annotated[
        list[CertificateSigningRequestCondition], proto(1, list_type="map", list_map_keys=("type",))
    ] = []
    certificate: Annotated[bytes, proto(2)] = b""


class CertificateSigningRequest(Resource):
    """A wish for a certificate, its approval, and the certificate."""

    spec: Annotated[CertificateSigningRequestSpec, proto(2, required=True)] = field(
        default_factory=CertificateSigningRequestSpec
    )
    status: Annotated[CertificateSigningRequestStatus, proto(3)] = field(
        default_factory=CertificateSigningRequestStatus
    )


def _prepare(obj: CertificateSigningRequest, old: CertificateSigningRequest | None) -> None:
    """Requests never change but through their subresources."""
    if old is None:
        obj.status = CertificateSigningRequestStatus()
    else:
        obj.spec, obj.status = copy_of(old.spec), copy_of(old.status)


def _requested(obj: CertificateSigningRequest) -> str:
    seconds = obj.spec.expiration_seconds
    return "<none>" if seconds is None else human_duration(seconds)


def _condition(obj: CertificateSigningRequest) -> str:
    types = {condition.type for condition in obj.status.conditions}
    found = [kind for kind in ("Approved", "Denied", "Failed") if kind in types]
    shown = ",".join(found) or "Pending"
    return f"{shown},Issued" if obj.status.certificate else shown


CERTIFICATESIGNINGREQUEST = Kind(
    group="certificates.k8s.io",
    version="v1",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    schema=CertificateSigningRequest,
    namespaced=False,
    short_names=("csr",),
    subresources=(
        Subresource("approval", ("get", "patch", "update")),
        Subresource("status", ("get", "patch", "update")),
    ),
    fields={"spec.signerName": lambda obj: obj.spec.signer_name},
    name_rule=lambda _name, _prefix: [],
    validate=validation.create_or_update,
    validate_status=validation.status,
    columns=(
        NAME,
        AGE,
        Column("SignerName", "string", lambda obj: obj.spec.signer_name, "Who is to sign it."),
        Column("Requestor", "string", lambda obj: obj.spec.username, "Who asked for it."),
        Column("RequestedDuration", "string", _requested, "How long the certificate is to be good."),
        Column("Condition", "string", _condition, "What became of it."),
    ),
    prepare=_prepare,
    prepare_status=validation.prepare_status,
)
