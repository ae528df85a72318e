"""ClusterRoleBinding. Source: staging/src/k8s.io/api/rbac/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError
from tiphys.api.kind import Kind
from tiphys.api.kinds.rbac import checks
from tiphys.api.kinds.rbac.types import RoleRef, Subject
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import field, proto


class ClusterRoleBinding(Resource):
    """Grants a ClusterRole in every namespace."""

    subjects: Annotated[list[Subject], proto(2, list_type="atomic")] = []
    role_ref: Annotated[RoleRef, proto(3, required=True, atomic=True)] = field(default_factory=RoleRef)


def _default(binding: ClusterRoleBinding) -> None:
    checks.default_role_ref(binding.role_ref)
    checks.default_subjects(binding.subjects)


def _validate(binding: ClusterRoleBinding, old: ClusterRoleBinding | None) -> Iterator[FieldError]:
    yield from checks.role_ref(binding.role_ref, old.role_ref if old else None, ("ClusterRole",))
    yield from checks.subjects(binding.subjects, namespaced=False)


CLUSTERROLEBINDING = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRoleBinding",
    plural="clusterrolebindings",
    schema=ClusterRoleBinding,
    namespaced=False,
    allow_create_on_update=True,
    name_rule=names.path_segment_name,
    default=_default,
    validate=_validate,
    columns=checks.BINDING_COLUMNS,
)
