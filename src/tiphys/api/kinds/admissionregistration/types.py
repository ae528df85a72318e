"""What admission webhooks and policies share. Source: staging/src/k8s.io/api/admissionregistration/v1/types.go."""

from typing import Annotated

from tiphys.api.meta.schema import Int32, Struct, field, proto
from tiphys.api.meta.types import LabelSelector


class MatchCondition(Struct):
    """A named expression that a request must satisfy."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    expression: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class RuleWithOperations(Struct):
    """Requests, by operation and resource."""

    operations: Annotated[list[str], proto(1, list_type="atomic")] = []
    api_groups: Annotated[list[str], proto(2, 1, list_type="atomic")] = []
    api_versions: Annotated[list[str], proto(2, 2, list_type="atomic")] = []
    resources: Annotated[list[str], proto(2, 3, list_type="atomic")] = []
    scope: Annotated[str | None, proto(2, 4)] = None


class ServiceReference(Struct):
    """The Service in front of a server."""

    namespace: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    path: Annotated[str | None, proto(3)] = None
    port: Annotated[Int32 | None, proto(4)] = None


class WebhookClientConfig(Struct):
    """How a server is reached and trusted."""

    url: Annotated[str | None, proto(3)] = None
    service: Annotated[ServiceReference | None, proto(1)] = None
    ca_bundle: Annotated[bytes, proto(2)] = b""


class NamedRuleWithOperations(Struct):
    """Requests, by operation, resource and name."""

    resource_names: Annotated[list[str], proto(1, list_type="atomic")] = []
    operations: Annotated[list[str], proto(2, 1, list_type="atomic")] = []
    api_groups: Annotated[list[str], proto(2, 2, 1, list_type="atomic")] = []
    api_versions: Annotated[list[str], proto(2, 2, 2, list_type="atomic")] = []
    resources: Annotated[list[str], proto(2, 2, 3, list_type="atomic")] = []
    scope: Annotated[str | None, proto(2, 2, 4)] = None


class MatchResources(Struct):
    """Which requests, by namespace, labels and resource."""

    namespace_selector: Annotated[LabelSelector | None, proto(1, atomic=True)] = None
    object_selector: Annotated[LabelSelector | None, proto(2, atomic=True)] = None
    resource_rules: Annotated[list[NamedRuleWithOperations], proto(3, list_type="atomic")] = []
    exclude_resource_rules: Annotated[list[NamedRuleWithOperations], proto(4, list_type="atomic")] = []
    match_policy: Annotated[str | None, proto(7)] = None


class ParamKind(Struct):
    """The kind of a policy's parameters."""

    api_version: Annotated[str, proto(1)] = ""
    kind: Annotated[str, proto(2)] = ""


class Variable(Struct):
    """A named expression that others may use."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    expression: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class ParamRef(Struct):
    """The objects that hold a policy's parameters."""

    name: Annotated[str, proto(1)] = ""
    namespace: Annotated[str, proto(2)] = ""
    selector: Annotated[LabelSelector | None, proto(3, atomic=True)] = None
    parameter_not_found_action: Annotated[str | None, proto(4)] = None
