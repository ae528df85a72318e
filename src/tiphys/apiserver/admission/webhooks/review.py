"""AdmissionReview: what a webhook is sent, and what of its answer counts.

Source: staging/src/k8s.io/api/admission/v1/types.go, .../plugin/webhook/request/admissionreview.go.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from tiphys.api import codec
from tiphys.api.errors import ApiError, BadRequest, shown
from tiphys.api.kind import Kind
from tiphys.api.meta.schema import Struct, field, proto
from tiphys.api.meta.types import Status
from tiphys.apiserver.admission.attributes import attributes_of
from tiphys.apiserver.registry.interface import AdmissionRequest

_GROUP = "admission.k8s.io"
_KNOWN = ("v1", "v1beta1")


class AdmissionResponse(Struct):
    """What a webhook decided."""

    uid: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    allowed: Annotated[bool, proto(2, required=True)] = field(default_factory=bool)
    status: Annotated[Status | None, proto(3)] = None
    patch: Annotated[bytes | None, proto(4)] = None
    patch_type: Annotated[str | None, proto(5)] = None
    audit_annotations: Annotated[dict[str, str], proto(6)] = {}
    warnings: Annotated[list[str], proto(7)] = []


class AdmissionReview(Struct):
    """The answer of a webhook; its request part is not read."""

    kind: str = ""
    api_version: str = ""
    response: Annotated[AdmissionResponse | None, proto(2)] = None


class InvalidAnswer(Exception):
    """The webhook answered something else than it was asked for; the text is upstream's."""


def version_of(versions: Sequence[str]) -> str:
    """The first version that we speak, too; empty: none."""
    return next((version for version in versions if version in _KNOWN), "")


def question(request: AdmissionRequest, used: Kind[Any], obj: Any, old: Any, version: str) -> tuple[str, bytes]:
    """(uid, body). `obj` and `old` are in version `used`."""
    uid = str(uuid.uuid4())
    body = {
        "kind": "AdmissionReview",
        "apiVersion": f"{_GROUP}/{version}",
        "request": {"uid": uid, **attributes_of(request, used), "object": _raw(obj), "oldObject": _raw(old)},
    }
    return uid, msgspec.json.encode(body)


def _raw(obj: Any) -> Any:
    return None if obj is None else msgspec.Raw(codec.encode(obj))


def answer(body: bytes, uid: str, version: str, *, mutating: bool) -> AdmissionResponse:
    """Raises InvalidAnswer, BadRequest for what cannot be decoded."""
    try:
        review = codec.decode(AdmissionReview, body)
    except ApiError as error:
        raise BadRequest(f"couldn't get version/kind; json parse error: {error.message}") from None
    response = review.response
    if response is None:
        raise InvalidAnswer("webhook response was absent")
    if version == "v1beta1":
        # As upstream ever did: neither uid nor type are looked at.
        response.patch_type = "JSONPatch" if response.patch else None
        if not mutating:
            response.patch = None
        return response
    if response.uid != uid:
        raise InvalidAnswer(f"expected response.uid={shown(uid)}, got {shown(response.uid)}")
    if (review.api_version, review.kind) != (f"{_GROUP}/v1", "AdmissionReview"):
        group, _, stated = review.api_version.rpartition("/")
        got = f"{group}/{stated}, Kind={review.kind}"
        raise InvalidAnswer(f"expected webhook response of {_GROUP}/v1, Kind=AdmissionReview, got {got}")
    _check_patch(response, mutating=mutating)
    return response


def _check_patch(response: AdmissionResponse, *, mutating: bool) -> None:
    patched, typed = bool(response.patch), response.patch_type is not None
    if not mutating:
        if patched:
            raise InvalidAnswer("validating webhook may not return response.patch")
        if typed:
            raise InvalidAnswer("validating webhook may not return response.patchType")
        return
    if patched and not typed:
        raise InvalidAnswer("webhook returned response.patch but not response.patchType")
    if typed and not patched:
        raise InvalidAnswer("webhook returned response.patchType but not response.patch")
    if typed and not response.patch_type:
        raise InvalidAnswer('webhook returned invalid response.patchType of ""')
