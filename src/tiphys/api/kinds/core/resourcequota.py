"""ResourceQuota. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core import resourcequota_rules
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Quantity, Struct, copy_of, field, proto


class ScopedResourceSelectorRequirement(Struct):
    """One condition on the scope of an object."""

    scope_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    operator: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    values: Annotated[list[str], proto(3, list_type="atomic")] = []


class ScopeSelector(Struct):
    """Conditions on objects, all of which must hold for them to count."""

    match_expressions: Annotated[list[ScopedResourceSelectorRequirement], proto(1, list_type="atomic")] = []


class ResourceQuotaSpec(Struct):
    """The bounds, and which objects count towards them."""

    hard: Annotated[dict[str, Quantity], proto(1)] = {}
    scopes: Annotated[list[str], proto(2, list_type="atomic")] = []
    scope_selector: Annotated[ScopeSelector | None, proto(3, atomic=True)] = None


class ResourceQuotaStatus(Struct):
    """The bounds in force, and how much of them is used."""

    hard: Annotated[dict[str, Quantity], proto(1)] = {}
    used: Annotated[dict[str, Quantity], proto(2)] = {}


class ResourceQuota(Resource):
    """Bounds for what all objects of a namespace may ask for together."""

    spec: Annotated[ResourceQuotaSpec, proto(2)] = field(default_factory=ResourceQuotaSpec)
    status: Annotated[ResourceQuotaStatus, proto(3)] = field(default_factory=ResourceQuotaStatus)


def _prepare(obj: ResourceQuota, old: ResourceQuota | None) -> None:
    obj.status = copy_of(old.status) if old is not None else ResourceQuotaStatus()


def _prepare_status(obj: ResourceQuota, old: ResourceQuota) -> None:
    obj.spec = copy_of(old.spec)


RESOURCEQUOTA = Kind(
    group="",
    version="v1",
    kind="ResourceQuota",
    plural="resourcequotas",
    schema=ResourceQuota,
    short_names=("quota",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=resourcequota_rules.validate,
    validate_status=resourcequota_rules.validate_status,
    columns=(
        NAME,
        Column(
            "Request",
            "string",
            lambda q: resourcequota_rules.used_text(q, limits=False),
            "Used and allowed, but limits.",
        ),
        Column("Limit", "string", lambda q: resourcequota_rules.used_text(q, limits=True), "Limits used and allowed."),
        AGE,
    ),
)
