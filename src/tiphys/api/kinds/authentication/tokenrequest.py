"""TokenRequest, the body of `serviceaccounts/token`.

Source: staging/src/k8s.io/api/authentication/v1/types.go, pkg/apis/authentication/validation/validation.go.
"""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError, invalid
from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, Time, empty_list, field, proto


class BoundObjectReference(Struct):
    """The object that a token dies with."""

    kind: Annotated[str, proto(1)] = ""
    api_version: Annotated[str, proto(2)] = ""
    name: Annotated[str, proto(3)] = ""
    uid: Annotated[str, proto(4)] = ""


class TokenRequestSpec(Struct):
    """For whom a token is, for how long, bound to what."""

    audiences: Annotated[list[str], proto(1, list_type="atomic")] = field(default_factory=empty_list)
    expiration_seconds: Annotated[int | None, proto(4)] = None
    bound_object_ref: Annotated[BoundObjectReference | None, proto(3)] = None


class TokenRequestStatus(Struct):
    """The token, and when it expires."""

    token: Annotated[str, proto(1)] = field(default_factory=str)
    expiration_timestamp: Annotated[Time | None, proto(2)] = None


class TokenRequest(Resource):
    """Asks for a service account's token."""

    spec: Annotated[TokenRequestSpec, proto(2)] = field(default_factory=TokenRequestSpec)
    status: Annotated[TokenRequestStatus, proto(3)] = field(default_factory=TokenRequestStatus)


DEFAULT_TOKEN_S, MIN_TOKEN_S, MAX_TOKEN_S = 3600, 600, 2**32


def _default(request: TokenRequest) -> None:
    if request.spec.expiration_seconds is None:
        request.spec.expiration_seconds = DEFAULT_TOKEN_S


def _validate(request: TokenRequest, _old: TokenRequest | None) -> Iterator[FieldError]:
    path, seconds = "spec.expirationSeconds", request.spec.expiration_seconds or 0
    if seconds < MIN_TOKEN_S:
        yield invalid(path, seconds, "may not specify a duration less than 10 minutes")
    if seconds > MAX_TOKEN_S:
        yield invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")


TOKENREQUEST = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenRequest",
    plural="tokenrequests",
    schema=TokenRequest,
    verbs=(),
    default=_default,
    validate=_validate,
)
