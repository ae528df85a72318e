"""DOC:kinds/rbac/role.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.rbac.types import PolicyRule
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import empty_list, field, proto


class Role(Resource):
    """DOC:rbac.Role"""

    rules: Annotated[list[PolicyRule], proto(2, list_type="atomic")] = field(default_factory=empty_list)


ROLE = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="Role",
    plural="roles",
    schema=Role,
    allow_create_on_update=True,
)
