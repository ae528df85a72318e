"""ValidatingAdmissionPolicy. Source: staging/src/k8s.io/api/admissionregistration/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.admissionregistration.types import MatchCondition, MatchResources, ParamKind, Variable
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, copy_of, field, proto
from tiphys.api.meta.types import Condition


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
    prepare=_prepare,
    prepare_status=_prepare_status,
)
