"""Every way the API refuses, as one tree; `ApiError.status()` is the only renderer to `Status`.

    ApiError
    ├── BadRequest 400            ├── Conflict 409            ├── RequestTooLarge 413
    ├── Unauthorized 401          ├── AlreadyExists 409       ├── UnsupportedMediaType 415
    ├── Forbidden 403             ├── Expired 410             ├── Invalid 422
    ├── NotFound 404              ├── Gone 410                ├── TooManyRequests 429
    ├── MethodNotAllowed 405      └── ...                     ├── InternalError 500, ServiceUnavailable 503, Timeout 504
    └── NotAcceptable 406

Source: staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go, .../util/validation/field/errors.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any, ClassVar

import msgspec

from tiphys.api.meta.types import Status, StatusCause, StatusDetails


class FieldError(msgspec.Struct, frozen=True):
    """One complaint about one field; made by the functions below: `required(path)`, `invalid(path, value, why)`."""

    reason: str
    """Upstream's cause: FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, FieldValueForbidden,
    FieldValueDuplicate, FieldValueNotFound, FieldValueTooLong, FieldValueTooMany, FieldValueTypeInvalid."""
    path: str
    """`spec.containers[0].image`"""
    message: str
    """Without the path: `Required value`, `Invalid value: "A": must be lower case`."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def shown(value: object) -> str:
    """A value as upstream prints it in messages: strings quoted, objects as JSON, null as `null`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        import json

        return json.dumps(str(value), ensure_ascii=False)
    import msgspec

    from tiphys.api.meta.schema import encode_hook

    return go_escaped(msgspec.json.encode(value, enc_hook=encode_hook, order="deterministic").decode())


_GO_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def go_escaped(text: str) -> str:
    """JSON text with the characters escaped that Go's encoder escapes, for texts that are compared with its own."""
    return text.translate(_GO_ESCAPES)


def required(path: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", path, "Required value" + (f": {detail}" if detail else ""))


def invalid(path: str, value: object, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", path, f"Invalid value: {shown(value)}: {detail}")


def not_supported(path: str, value: object, supported: Iterable[str]) -> FieldError:
    """The choices are shown in the given order; of a set, sorted."""
    ordered = sorted(supported) if isinstance(supported, Set) else supported
    choices = ", ".join(f'"{choice}"' for choice in ordered)
    return FieldError("FieldValueNotSupported", path, f"Unsupported value: {shown(value)}: supported values: {choices}")


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", path, f"Forbidden: {detail}")


def duplicate(path: str, value: object, detail: str = "") -> FieldError:
    message = f"Duplicate value: {shown(value)}" + (f": {detail}" if detail else "")
    return FieldError("FieldValueDuplicate", path, message)


def not_found(path: str, value: object) -> FieldError:
    return FieldError("FieldValueNotFound", path, f"Not found: {shown(value)}")


def too_long(path: str, max_length: int) -> FieldError:
    return FieldError("FieldValueTooLong", path, f"Too long: may not be more than {max_length} bytes")


def too_many(path: str, actual: int, max_count: int) -> FieldError:
    unit = "item" if max_count == 1 else "items"
    return FieldError("FieldValueTooMany", path, f"Too many: {actual}: must have at most {max_count} {unit}")


class ApiError(Exception):
    """A refusal with everything its `Status` says."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"
    always_details: ClassVar[bool] = False
    """Whether the Status has `details` even where there is nothing in them, as upstream's constructors of it do."""

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        group: str = "",
        kind: str = "",
        uid: str = "",
        causes: Sequence[StatusCause] = (),
        retry_after_s: int = 0,
        continue_token: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.name, self.group, self.kind, self.uid = name, group, kind, uid
        self.causes = list(causes)
        self.retry_after_s = retry_after_s
        self.continue_token = continue_token

    def status(self) -> Status:
        """The `Status` object that the client gets."""
        details = StatusDetails(
            name=self.name,
            group=self.group,
            kind=self.kind,
            uid=self.uid,
            causes=self.causes,
            retry_after_seconds=self.retry_after_s,
        )
        status = Status(
            kind="Status",
            api_version="v1",
            status="Failure",
            message=self.message,
            reason=self.reason,
            code=self.code,
            details=details if self.always_details or details != StatusDetails() else None,
        )
        status.metadata.continue_ = self.continue_token
        return status


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"
    always_details = True


class NotFound(ApiError):
    code, reason = 404, "NotFound"
    always_details = True


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"
    always_details = True


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Gone(ApiError):
    code, reason = 410, "Gone"


class Expired(ApiError):
    """A revision that was compacted away; with `continue_token`, how to go on inconsistently."""

    code, reason = 410, "Expired"


class RequestTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"
    always_details = True


class Invalid(ApiError):
    code, reason = 422, "Invalid"
    always_details = True


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class Unclassified(ApiError):
    """What upstream refuses with an error that it never classified: 500 and no reason."""

    code, reason = 500, ""


class Malformed(ApiError):
    """A body that upstream refuses with an error that it never classified.

    The words are upstream's and there is no reason, as there; the code is 400 and not its 500, which here means a
    fault of the server alone.
    """

    code, reason = 400, ""


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


BY_REASON: dict[str, type[ApiError]] = {
    cls.reason: cls
    for cls in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, Conflict, AlreadyExists, Gone,
        Expired, RequestTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError, ServiceUnavailable,
        Timeout,
    )
}  # fmt: skip


def from_status(status: Status) -> ApiError:
    """The error that a server's `Status` stands for; what clients raise. An unknown reason falls back on the code."""
    details = status.details or StatusDetails()
    by_code = {cls.code: cls for cls in reversed(BY_REASON.values())}
    cls = BY_REASON.get(status.reason) or by_code.get(status.code, InternalError)
    return cls(
        status.message,
        name=details.name,
        group=details.group,
        kind=details.kind,
        uid=details.uid,
        causes=details.causes,
        retry_after_s=details.retry_after_seconds,
        continue_token=status.metadata.continue_,
    )


def invalid_object(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> Invalid:
    """422 with one cause per field: `Pod "a" is invalid: spec.containers[0].image: Required value`."""
    qualified = f"{kind}.{group}" if group else kind
    unique = list(dict.fromkeys(errors))
    texts = [str(error) for error in unique]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    causes = [StatusCause(reason=e.reason, message=e.message, field=e.path) for e in unique]
    return Invalid(f'{qualified} "{name}" is invalid: {joined}', name=name, group=group, kind=kind, causes=causes)


def object_not_found(group: str, plural: str, name: str) -> NotFound:
    resource = f"{plural}.{group}" if group else plural
    return NotFound(f'{resource} "{name}" not found', name=name, group=group, kind=plural)


def object_exists(group: str, plural: str, name: str) -> AlreadyExists:
    resource = f"{plural}.{group}" if group else plural
    return AlreadyExists(f'{resource} "{name}" already exists', name=name, group=group, kind=plural)


def object_conflict(group: str, plural: str, name: str, detail: str) -> Conflict:
    resource = f"{plural}.{group}" if group else plural
    return Conflict(
        f'Operation cannot be fulfilled on {resource} "{name}": {detail}', name=name, group=group, kind=plural
    )


def details_of(error: ApiError) -> dict[str, Any]:
    """For logs: the fields that identify the refusal."""
    return {"code": error.code, "reason": error.reason, "kind": error.kind, "name": error.name}
