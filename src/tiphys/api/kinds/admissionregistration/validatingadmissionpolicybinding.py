"""ValidatingAdmissionPolicyBinding. Source: staging/src/k8s.io/api/admissionregistration/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
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
)
