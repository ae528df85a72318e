"""FlowSchema. Source: staging/src/k8s.io/api/flowcontrol/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.flowcontrol import validation
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, empty_list, field, proto


class FlowDistinguisherMethod(Struct):
    """What tells the flows of a schema apart."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class NonResourcePolicyRule(Struct):
    """Requests for paths that are no resources."""

    verbs: Annotated[list[str], proto(1, required=True, list_type="set")] = field(default_factory=empty_list)
    non_resource_ur_ls: Annotated[list[str], proto(6, required=True, list_type="set")] = field(
        default_factory=empty_list, name="nonResourceURLs"
    )


class ResourcePolicyRule(Struct):
    """Requests for resources."""

    verbs: Annotated[list[str], proto(1, required=True, list_type="set")] = field(default_factory=empty_list)
    api_groups: Annotated[list[str], proto(2, required=True, list_type="set")] = field(default_factory=empty_list)
    resources: Annotated[list[str], proto(3, required=True, list_type="set")] = field(default_factory=empty_list)
    cluster_scope: Annotated[bool, proto(4)] = False
    namespaces: Annotated[list[str], proto(5, list_type="set")] = field(default_factory=empty_list)


class GroupSubject(Struct):
    """A group of users."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class ServiceAccountSubject(Struct):
    """A service account, or all of a namespace."""

    namespace: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class UserSubject(Struct):
    """A user, or all."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class Subject(Struct):
    """Who makes a request: a user, a group or a service account."""

    kind: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    user: Annotated[UserSubject | None, proto(2)] = None
    group: Annotated[GroupSubject | None, proto(3)] = None
    service_account: Annotated[ServiceAccountSubject | None, proto(4)] = None


class PolicyRulesWithSubjects(Struct):
    """Requests, by who makes them and what they are for."""

    subjects: Annotated[list[Subject], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    resource_rules: Annotated[list[ResourcePolicyRule], proto(2, list_type="atomic")] = []
    non_resource_rules: Annotated[list[NonResourcePolicyRule], proto(3, list_type="atomic")] = []


class PriorityLevelConfigurationReference(Struct):
    """A priority level, by name."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class FlowSchemaSpec(Struct):
    """Which requests, of which priority level, told apart by what."""

    priority_level_configuration: Annotated[PriorityLevelConfigurationReference, proto(1, required=True)] = field(
        default_factory=PriorityLevelConfigurationReference
    )
    matching_precedence: Annotated[Int32, proto(2)] = field(default_factory=int)
    distinguisher_method: Annotated[FlowDistinguisherMethod | None, proto(3)] = None
    rules: Annotated[list[PolicyRulesWithSubjects], proto(4, list_type="atomic")] = []


class FlowSchemaCondition(Struct):
    """One aspect of a FlowSchema's state."""

    type: Annotated[str, proto(1)] = ""
    status: Annotated[str, proto(2)] = ""
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class FlowSchemaStatus(Struct):
    """What is wrong with a schema."""

    conditions: Annotated[
        list[FlowSchemaCondition], proto(1, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []


class FlowSchema(Resource):
    """Sorts requests into a priority level, and into flows that share it fairly."""

    spec: Annotated[FlowSchemaSpec, proto(2)] = field(default_factory=FlowSchemaSpec)
    status: Annotated[FlowSchemaStatus, proto(3)] = field(default_factory=FlowSchemaStatus)


def _prepare(obj: FlowSchema, old: FlowSchema | None) -> None:
    obj.status = copy_of(old.status) if old is not None else FlowSchemaStatus()


def _prepare_status(obj: FlowSchema, old: FlowSchema) -> None:
    obj.spec = copy_of(old.spec)


def _default(obj: FlowSchema) -> None:
    if obj.spec.matching_precedence == 0:
        obj.spec.matching_precedence = 1000


def _distinguisher(obj: FlowSchema) -> str:
    method = obj.spec.distinguisher_method
    return "<none>" if method is None else method.type


def _missing_level(obj: FlowSchema) -> str:
    return next((c.status for c in obj.status.conditions if c.type == "Dangling"), "?")


FLOWSCHEMA = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="FlowSchema",
    plural="flowschemas",
    schema=FlowSchema,
    namespaced=False,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    generation=True,
    default=_default,
    validate=validation.flow_schema,
    validate_status=validation.status,
    columns=(
        NAME,
        Column(
            "PriorityLevel", "string", lambda obj: obj.spec.priority_level_configuration.name, "Where its requests go."
        ),
        Column(
            "MatchingPrecedence", "string", lambda obj: obj.spec.matching_precedence, "Lower numbers are tried first."
        ),
        Column("DistinguisherMethod", "string", _distinguisher, "What tells its flows apart."),
        AGE,
        Column("MissingPL", "string", _missing_level, "Whether its priority level does not exist."),
    ),
    prepare=_prepare,
    prepare_status=_prepare_status,
)
