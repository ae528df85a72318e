"""DOC:kinds/rbac/types.py"""

from typing import Annotated

from tiphys.api.meta.schema import Struct, empty_list, field, proto
from tiphys.api.meta.types import LabelSelector


class PolicyRule(Struct):
    """DOC:rbac.PolicyRule"""

    verbs: Annotated[list[str], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    api_groups: Annotated[list[str], proto(2, list_type="atomic")] = []
    resources: Annotated[list[str], proto(3, list_type="atomic")] = []
    resource_names: Annotated[list[str], proto(4, list_type="atomic")] = []
    non_resource_urls: Annotated[list[str], proto(5, list_type="atomic")] = []


class Subject(Struct):
    """DOC:rbac.Subject"""

    kind: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    api_group: Annotated[str, proto(2)] = ""
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    namespace: Annotated[str, proto(4)] = ""


class RoleRef(Struct):
    """DOC:rbac.RoleRef"""

    api_group: Annotated[str, proto(1)] = field(default_factory=str)
    kind: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class AggregationRule(Struct):
    """DOC:rbac.AggregationRule"""

    cluster_role_selectors: Annotated[list[LabelSelector], proto(1, list_type="atomic")] = []
