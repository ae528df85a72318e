"""MutatingAdmissionPolicyBinding. Source: staging/src/k8s.io/api/admissionregistration/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from msgspec.structs import replace

from tiphys.api.errors import FieldError
from tiphys.api.kind import Kind
from tiphys.api.kinds.admissionregistration import policy_rules as rules
from tiphys.api.kinds.admissionregistration.types import MatchResources, ParamRef
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class MutatingAdmissionPolicyBindingSpec(Struct):
    """Which policy, for which requests, with which parameters."""

    policy_name: Annotated[str, proto(1)] = ""
    param_ref: Annotated[ParamRef | None, proto(2, atomic=True)] = None
    match_resources: Annotated[MatchResources | None, proto(3, atomic=True)] = None


class MutatingAdmissionPolicyBinding(Resource):
    """Puts a mutating policy into force, with parameters."""

    spec: Annotated[MutatingAdmissionPolicyBindingSpec, proto(2)] = field(
        default_factory=MutatingAdmissionPolicyBindingSpec
    )


def _default(bound: MutatingAdmissionPolicyBinding) -> None:
    rules.default_match(bound.spec.match_resources)


def _validate(bound: MutatingAdmissionPolicyBinding, _old: object) -> Iterator[FieldError]:
    yield from rules.binding(bound.spec)
    yield from rules.mutating_operations(bound.spec.match_resources, "spec.matchResources")


MUTATINGADMISSIONPOLICYBINDING_V1BETA1 = Kind(
    group="admissionregistration.k8s.io",
    version="v1beta1",
    kind="MutatingAdmissionPolicyBinding",
    plural="mutatingadmissionpolicybindings",
    schema=MutatingAdmissionPolicyBinding,
    namespaced=False,
    categories=("api-extensions",),
    generation=True,
    allow_unconditional_update=False,
    default=_default,
    validate=_validate,
    columns=rules.BINDING_COLUMNS,
)

MUTATINGADMISSIONPOLICYBINDING = replace(
    MUTATINGADMISSIONPOLICYBINDING_V1BETA1, version="v1", stored_as=MUTATINGADMISSIONPOLICYBINDING_V1BETA1
)
MUTATINGADMISSIONPOLICYBINDING_V1ALPHA1 = replace(
    MUTATINGADMISSIONPOLICYBINDING_V1BETA1, version="v1alpha1", stored_as=MUTATINGADMISSIONPOLICYBINDING_V1BETA1
)
