"""What the four RBAC kinds share. Source: staging/src/k8s.io/api/rbac/v1/types.go."""

from typing import Annotated

from tiphys.api.meta.schema import Struct, empty_list, field, proto
from tiphys.api.meta.types import LabelSelector


class PolicyRule(Struct):
    """Verbs on resources, or on URLs that are no resources."""

    verbs: Annotated[list[str], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    api_groups: Annotated[list[str], proto(2, list_type="atomic")] = []
    resources: Annotated[list[str], proto(3, list_type="atomic")] = []
    resource_names: Annotated[list[str], proto(4, list_type="atomic")] = []
    non_resource_urls: Annotated[list[str], proto(5, list_type="atomic")] = []


class Subject(Struct):
    """Who is granted a role: a user, a group or a service account."""

    kind: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    api_group: Annotated[str, proto(2)] = ""
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    namespace: Annotated[str, proto(4)] = ""


class RoleRef(Struct):
    """The role that a binding grants."""

    api_group: Annotated[str, proto(1)] = field(default_factory=str)
    kind: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class AggregationRule(Struct):
    """Which other ClusterRoles a ClusterRole takes its rules from."""

    cluster_role_selectors: Annotated[list[LabelSelector], proto(1, list_type="atomic")] = []
