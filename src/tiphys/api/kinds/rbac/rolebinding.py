"""DOC:kinds/rbac/rolebinding.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.rbac.types import RoleRef, Subject
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import field, proto


class RoleBinding(Resource):
    """DOC:rbac.RoleBinding"""

    subjects: Annotated[list[Subject], proto(2, list_type="atomic")] = []
    role_ref: Annotated[RoleRef, proto(3, required=True, atomic=True)] = field(default_factory=RoleRef)


ROLEBINDING = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="RoleBinding",
    plural="rolebindings",
    schema=RoleBinding,
    allow_create_on_update=True,
)
