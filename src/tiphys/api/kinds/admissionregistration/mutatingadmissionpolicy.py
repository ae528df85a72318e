"""MutatingAdmissionPolicy. Source: staging/src/k8s.io/api/admissionregistration/v1/types.go."""

from typing import Annotated

from msgspec.structs import replace

from tiphys.api.kind import Kind
from tiphys.api.kinds.admissionregistration.types import MatchCondition, MatchResources, ParamKind, Variable
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class ApplyConfiguration(Struct):
    """A change in the form of server-side apply."""

    expression: Annotated[str, proto(1)] = ""


class JSONPatch(Struct):
    """A change in the form of a JSON patch."""

    expression: Annotated[str, proto(1)] = ""


class Mutation(Struct):
    """One change: an apply configuration or a JSON patch, computed."""

    patch_type: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    apply_configuration: Annotated[ApplyConfiguration | None, proto(3)] = None
    json_patch: Annotated[JSONPatch | None, proto(4)] = None


class MutatingAdmissionPolicySpec(Struct):
    """Which requests a policy is about, and how it changes their objects."""

    param_kind: Annotated[ParamKind | None, proto(1, atomic=True)] = None
    match_constraints: Annotated[MatchResources | None, proto(2, atomic=True)] = None
    variables: Annotated[list[Variable], proto(3, list_type="atomic")] = []
    mutations: Annotated[list[Mutation], proto(4, list_type="atomic")] = []
    failure_policy: Annotated[str | None, proto(5)] = None
    match_conditions: Annotated[
        list[MatchCondition], proto(6, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = []
    reinvocation_policy: Annotated[str, proto(7)] = ""


class MutatingAdmissionPolicy(Resource):
    """Expressions that change objects before they are stored."""

    spec: Annotated[MutatingAdmissionPolicySpec, proto(2)] = field(default_factory=MutatingAdmissionPolicySpec)


MUTATINGADMISSIONPOLICY_V1BETA1 = Kind(
    group="admissionregistration.k8s.io",
    version="v1beta1",
    kind="MutatingAdmissionPolicy",
    plural="mutatingadmissionpolicies",
    schema=MutatingAdmissionPolicy,
    namespaced=False,
    categories=("api-extensions",),
    generation=True,
    allow_unconditional_update=False,
)

MUTATINGADMISSIONPOLICY = replace(
    MUTATINGADMISSIONPOLICY_V1BETA1, version="v1", stored_as=MUTATINGADMISSIONPOLICY_V1BETA1
)
MUTATINGADMISSIONPOLICY_V1ALPHA1 = replace(
    MUTATINGADMISSIONPOLICY_V1BETA1, version="v1alpha1", stored_as=MUTATINGADMISSIONPOLICY_V1BETA1
)
