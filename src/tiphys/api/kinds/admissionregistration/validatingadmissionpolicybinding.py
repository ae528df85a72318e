"""ValidatingAdmissionPolicyBinding. Source: staging/src/k8s.io/api/admissionregistration/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError, duplicate, invalid, not_supported, required
from tiphys.api.kind import Kind
from tiphys.api.kinds.admissionregistration import policy_rules as rules
from tiphys.api.kinds.admissionregistration.types import MatchResources, ParamRef
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class ValidatingAdmissionPolicyBindingSpec(Struct):
    """Which policy, for which requests, with which parameters and consequences."""

    policy_name: Annotated[str, proto(1, required=True)] = ""
    param_ref: Annotated[ParamRef | None, proto(2, atomic=True)] = None
    match_resources: Annotated[MatchResources | None, proto(3, atomic=True)] = None
    validation_actions: Annotated[list[str], proto(4, required=True, list_type="set")] = []


class ValidatingAdmissionPolicyBinding(Resource):
    """Puts a policy into force, with parameters."""

    spec: Annotated[ValidatingAdmissionPolicyBindingSpec, proto(2, required=True)] = field(
        default_factory=ValidatingAdmissionPolicyBindingSpec
    )


def _default(bound: ValidatingAdmissionPolicyBinding) -> None:
    rules.default_match(bound.spec.match_resources)


def _validate(bound: ValidatingAdmissionPolicyBinding, _old: object) -> Iterator[FieldError]:
    yield from rules.binding(bound.spec)
    actions, path = bound.spec.validation_actions, "spec.validationActions"
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield not_supported(f"{path}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            yield duplicate(f"{path}[{index}]", action)
    if "Deny" in actions and "Warn" in actions:
        why = "must not contain both Deny and Warn (repeating the same validation failure information in the API "
        yield invalid(path, actions, why + "response and headers serves no purpose)")
    if not actions:
        yield required(path, "at least one validation action is required")


_ACTIONS = ("Audit", "Deny", "Warn")

VALIDATINGADMISSIONPOLICYBINDING = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
    schema=ValidatingAdmissionPolicyBinding,
    namespaced=False,
    categories=("api-extensions",),
    generation=True,
    allow_unconditional_update=False,
    default=_default,
    validate=_validate,
    columns=rules.BINDING_COLUMNS,
)
