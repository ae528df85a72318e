"""Role. Source: staging/src/k8s.io/api/rbac/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import NAME
from tiphys.api.kinds.rbac import checks
from tiphys.api.kinds.rbac.types import PolicyRule
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import empty_list, field, proto


class Role(Resource):
    """Rights in one namespace."""

    rules: Annotated[list[PolicyRule], proto(2, list_type="atomic")] = field(default_factory=empty_list)


def _validate(role: Role, _old: Role | None) -> Iterator[FieldError]:
    yield from checks.rules(role.rules, namespaced=True)


ROLE = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="Role",
    plural="roles",
    schema=Role,
    allow_create_on_update=True,
    name_rule=names.path_segment_name,
    validate=_validate,
    columns=(
        NAME,
        Column("Created At", "timestamp", lambda role: role.metadata.creation_timestamp or "", "When it was created."),
    ),
)
