"""MutatingAdmissionPolicy. Source: staging/src/k8s.io/api/admissionregistration/v1/types.go."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from msgspec.structs import replace

from tiphys.api.errors import FieldError, invalid, not_supported, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.admissionregistration import policy_rules as rules
from tiphys.api.kinds.admissionregistration.types import MatchCondition, MatchResources, ParamKind, Variable
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto

if TYPE_CHECKING:
    from tiphys.api.cel.admission import Composition

_REINVOCATIONS = ("IfNeeded", "Never")
_PATCH_TYPES = ("ApplyConfiguration", "JSONPatch")


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


def _default(policy: MutatingAdmissionPolicy) -> None:
    policy.spec.failure_policy = policy.spec.failure_policy or "Fail"
    rules.default_match(policy.spec.match_constraints)


def _validate(policy: MutatingAdmissionPolicy, old: MutatingAdmissionPolicy | None) -> Iterator[FieldError]:
    from tiphys.api.cel.admission import Composition

    spec = policy.spec
    if old is not None and old.spec == spec:
        return
    yield from rules.failure_policy(spec.failure_policy)
    yield from rules.param_kind(spec.param_kind)
    yield from rules.match_constraints(spec.match_constraints)
    yield from rules.mutating_operations(spec.match_constraints, "spec.matchConstraints")
    params = spec.param_kind is not None
    before = old.spec.match_conditions if old is not None else ()
    yield from rules.match_conditions(spec.match_conditions, params, old=before)
    composition = Composition(params)
    yield from rules.variables(composition, spec.variables)
    if not spec.mutations:
        yield required("spec.mutations", "mutations must contain at least one item")
    for index, mutation in enumerate(spec.mutations):
        yield from _mutation(composition, mutation, f"spec.mutations[{index}]")
    if not spec.reinvocation_policy:
        yield required("spec.reinvocationPolicy")
    elif spec.reinvocation_policy not in _REINVOCATIONS:
        yield not_supported("spec.reinvocationPolicy", spec.reinvocation_policy, _REINVOCATIONS)


def _mutation(composition: "Composition", mutation: Mutation, path: str) -> Iterator[FieldError]:
    from tiphys.api.cel.patch_types import JSON_PATCH_TYPE, object_type
    from tiphys.api.cel.types import list_of

    kind = mutation.patch_type
    if not kind:
        yield required(f"{path}.patchType")
        return
    if kind not in _PATCH_TYPES:
        yield not_supported(f"{path}.patchType", kind, _PATCH_TYPES)
        return
    stated = {"jsonPatch": mutation.json_patch, "applyConfiguration": mutation.apply_configuration}
    own, other = ("jsonPatch", "applyConfiguration") if kind == "JSONPatch" else ("applyConfiguration", "jsonPatch")
    change = stated[own]
    if change is None:
        yield required(f"{path}.{own}", f"must be specified when patchType is {kind}")
    elif not change.expression.strip():
        yield required(f"{path}.{own}.expression")
    else:
        result = list_of(JSON_PATCH_TYPE) if kind == "JSONPatch" else object_type()
        at = f"{path}.{own}.expression"
        yield from rules.compiles(composition, at, change.expression.strip(), result, patches=True)
    if stated[other] is not None:
        yield invalid(f"{path}.{other}", f"{{{other}}}", f"must not be specified when patchType is {kind}")


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
    default=_default,
    validate=_validate,
    columns=(
        NAME,
        Column("Mutations", "integer", lambda policy: len(policy.spec.mutations), "How many changes it makes."),
        rules.PARAM_KIND,
        AGE,
    ),
)

MUTATINGADMISSIONPOLICY = replace(
    MUTATINGADMISSIONPOLICY_V1BETA1, version="v1", stored_as=MUTATINGADMISSIONPOLICY_V1BETA1
)
MUTATINGADMISSIONPOLICY_V1ALPHA1 = replace(
    MUTATINGADMISSIONPOLICY_V1BETA1, version="v1alpha1", stored_as=MUTATINGADMISSIONPOLICY_V1BETA1
)
