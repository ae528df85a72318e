"""DOC:kinds/rbac/clusterrole.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.rbac.types import AggregationRule, PolicyRule
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import empty_list, field, proto


class ClusterRole(Resource):
    """DOC:rbac.ClusterRole"""

    rules: Annotated[list[PolicyRule], proto(2, list_type="atomic")] = field(default_factory=empty_list)
    aggregation_rule: Annotated[AggregationRule | None, proto(3)] = None


CLUSTERROLE = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRole",
    plural="clusterroles",
    schema=ClusterRole,
    namespaced=False,
    allow_create_on_update=True,
)
