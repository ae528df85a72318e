"""ValidatingAdmissionPolicy. Source: staging/src/k8s.io/api/admissionregistration/v1/types.go."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, invalid, not_supported, required
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.admissionregistration import policy_rules as rules
from tiphys.api.kinds.admissionregistration.types import MatchCondition, MatchResources, ParamKind, Variable
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, copy_of, field, proto
from tiphys.api.meta.types import Condition
from tiphys.api.meta.validation import each, validate_conditions

if TYPE_CHECKING:
    from tiphys.api.cel.admission import Composition

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ANNOTATIONS_MAX = 20
_ANNOTATION_BYTES = 5 * 1024


class AuditAnnotation(Struct):
    """A note for the audit log, computed for each request."""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    value_expression: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class Validation(Struct):
    """An expression that must be true, and what to say if it is not."""

    expression: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    message: Annotated[str, proto(2)] = ""
    reason: Annotated[str | None, proto(3)] = None
    message_expression: Annotated[str, proto(4)] = ""


class ValidatingAdmissionPolicySpec(Struct):
    """Which requests a policy is about, and what must be true of them."""

    param_kind: Annotated[ParamKind | None, proto(1, atomic=True)] = None
    match_constraints: Annotated[MatchResources | None, proto(2, atomic=True)] = None
    validations: Annotated[list[Validation], proto(3, list_type="atomic")] = []
    failure_policy: Annotated[str | None, proto(4)] = None
    audit_annotations: Annotated[list[AuditAnnotation], proto(5, list_type="atomic")] = []
    match_conditions: Annotated[
        list[MatchCondition], proto(6, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = []
    variables: Annotated[list[Variable], proto(7, merge_key="name", list_type="map", list_map_keys=("name",))] = []


class ExpressionWarning(Struct):
    """What is wrong with the types in one expression."""

    field_ref: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    warning: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class TypeChecking(Struct):
    """What is wrong with the types in expressions."""

    expression_warnings: Annotated[list[ExpressionWarning], proto(1, list_type="atomic")] = []


class ValidatingAdmissionPolicyStatus(Struct):
    """What the server found in a policy's expressions."""

    observed_generation: Annotated[int, proto(1)] = 0
    type_checking: Annotated[TypeChecking | None, proto(2)] = None
    conditions: Annotated[list[Condition], proto(3, list_type="map", list_map_keys=("type",))] = []


class ValidatingAdmissionPolicy(Resource):
    """Expressions that requests must satisfy."""

    spec: Annotated[ValidatingAdmissionPolicySpec, proto(2)] = field(default_factory=ValidatingAdmissionPolicySpec)
    status: Annotated[ValidatingAdmissionPolicyStatus, proto(3)] = field(
        default_factory=ValidatingAdmissionPolicyStatus
    )


def _prepare(obj: ValidatingAdmissionPolicy, old: ValidatingAdmissionPolicy | None) -> None:
    obj.status = copy_of(old.status) if old is not None else ValidatingAdmissionPolicyStatus()


def _prepare_status(obj: ValidatingAdmissionPolicy, old: ValidatingAdmissionPolicy) -> None:
    obj.spec = copy_of(old.spec)


def _default(policy: ValidatingAdmissionPolicy) -> None:
    policy.spec.failure_policy = policy.spec.failure_policy or "Fail"
    rules.default_match(policy.spec.match_constraints)


def _validate(policy: ValidatingAdmissionPolicy, old: ValidatingAdmissionPolicy | None) -> Iterator[FieldError]:
    from tiphys.api.cel.admission import Composition

    spec = policy.spec
    if old is not None and old.spec == spec:
        return
    yield from rules.failure_policy(spec.failure_policy)
    yield from rules.param_kind(spec.param_kind)
    yield from rules.match_constraints(spec.match_constraints)
    params = spec.param_kind is not None
    before = old.spec.match_conditions if old is not None else ()
    yield from rules.match_conditions(spec.match_conditions, params, old=before)
    composition = Composition(params)
    yield from rules.variables(composition, spec.variables)
    if not spec.validations and not spec.audit_annotations:
        why = "validations or auditAnnotations must contain at least one item"
        yield required("spec.validations", why)
        yield required("spec.auditAnnotations", why)
    for index, validation in enumerate(spec.validations):
        yield from _validation(composition, validation, f"spec.validations[{index}]")
    yield from _annotations(composition, policy)


def _validation(composition: "Composition", validation: Validation, path: str) -> Iterator[FieldError]:
    from tiphys.api.cel.types import BOOL, STRING

    message, text = validation.message, validation.message.strip()
    if not validation.expression.strip():
        yield required(f"{path}.expression", "expression is not specified")
    else:
        yield from rules.compiles(composition, f"{path}.expression", validation.expression, BOOL)
    if validation.message_expression and not validation.message_expression.strip():
        yield invalid(f"{path}.messageExpression", validation.message_expression, "must be non-empty if specified")
    elif validation.message_expression:
        at = f"{path}.messageExpression"
        yield from rules.compiles(composition, at, validation.message_expression, STRING, authorizer=False)
    if message and not text:
        yield invalid(f"{path}.message", message, "must be non-empty if specified")
    elif "\n" in text or "\r" in text:
        yield invalid(f"{path}.message", message, "must not contain line breaks")
    if validation.reason is not None and validation.reason not in _REASONS:
        yield not_supported(f"{path}.reason", validation.reason, _REASONS)


def _annotations(composition: "Composition", policy: ValidatingAdmissionPolicy) -> Iterator[FieldError]:
    from tiphys.api.cel.types import NULL, STRING

    stated, path = policy.spec.audit_annotations, "spec.auditAnnotations"
    if len(stated) > _ANNOTATIONS_MAX:
        yield invalid(path, stated, f"must not have more than {_ANNOTATIONS_MAX} auditAnnotations")
    seen: set[str] = set()
    for index, annotation in enumerate(stated):
        at = f"{path}[{index}]"
        name = policy.metadata.name
        if name:
            key = f"{name}/{annotation.key}"
            yield from each(f"{at}.key", key, names.qualified_name(key))
        else:
            yield invalid(f"{at}.key", annotation.key, "requires metadata.name be non-empty")
        text, where = annotation.value_expression.strip(), f"{at}.valueExpression"
        if not text:
            yield required(where, "valueExpression is not specified")
        elif len(text.encode()) > _ANNOTATION_BYTES:
            yield required(where, f"must not exceed {_ANNOTATION_BYTES} bytes in length")
        else:
            yield from rules.compiles(composition, where, text, STRING, NULL, shown=annotation.value_expression)
        if annotation.key in seen:
            yield duplicate(f"{at}.key", annotation.key)
        seen.add(annotation.key)


def _validate_status(policy: ValidatingAdmissionPolicy, _old: ValidatingAdmissionPolicy | None) -> Iterator[FieldError]:
    checking = policy.status.type_checking
    for index, warning in enumerate(checking.expression_warnings if checking is not None else ()):
        path = f"status.typeChecking.expressionWarnings[{index}]"
        if not warning.warning:
            yield required(f"{path}.warning")
        if not warning.field_ref.strip():
            yield required(f"{path}.fieldRef")
    yield from validate_conditions(policy.status.conditions, "status.conditions")


VALIDATINGADMISSIONPOLICY = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicy",
    plural="validatingadmissionpolicies",
    schema=ValidatingAdmissionPolicy,
    namespaced=False,
    categories=("api-extensions",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    generation=True,
    allow_unconditional_update=False,
    default=_default,
    validate=_validate,
    validate_status=_validate_status,
    prepare=_prepare,
    prepare_status=_prepare_status,
    columns=(
        NAME,
        Column("Validations", "integer", lambda policy: len(policy.spec.validations), "How much must be true."),
        rules.PARAM_KIND,
        AGE,
    ),
)
