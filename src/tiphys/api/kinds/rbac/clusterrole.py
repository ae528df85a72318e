"""ClusterRole. Source: staging/src/k8s.io/api/rbac/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import NAME
from tiphys.api.kinds.rbac import checks
from tiphys.api.kinds.rbac.types import AggregationRule, PolicyRule
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import empty_list, field, proto
from tiphys.api.meta.validation import validate_selector


class ClusterRole(Resource):
    """Rights in the whole cluster, listed or gathered from other roles."""

    rules: Annotated[list[PolicyRule], proto(2, list_type="atomic")] = field(default_factory=empty_list)
    aggregation_rule: Annotated[AggregationRule | None, proto(3)] = None


def _validate(role: ClusterRole, _old: ClusterRole | None) -> Iterator[FieldError]:
    yield from checks.rules(role.rules, namespaced=False)
    if role.aggregation_rule is not None:
        path = "aggregationRule.clusterRoleSelectors"
        if not role.aggregation_rule.cluster_role_selectors:
            yield required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
        for index, selector in enumerate(role.aggregation_rule.cluster_role_selectors):
            errors = list(validate_selector(selector, f"{path}[{index}]"))
            yield from errors
            if errors:
                yield invalid(f"{path}[{index}]", None, "invalid label selector.")


CLUSTERROLE = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRole",
    plural="clusterroles",
    schema=ClusterRole,
    namespaced=False,
    allow_create_on_update=True,
    name_rule=names.path_segment_name,
    validate=_validate,
    columns=(
        NAME,
        Column("Created At", "timestamp", lambda role: role.metadata.creation_timestamp or "", "When it was created."),
    ),
)
