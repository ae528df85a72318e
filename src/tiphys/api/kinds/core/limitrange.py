"""LimitRange. Source: staging/src/k8s.io/api/core/v1/types.go."""

import uuid
from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.core import limitrange_rules
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Quantity, Struct, empty_list, field, proto


class LimitRangeItem(Struct):
    """Least, most and default amounts for containers, pods or claims."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    max: Annotated[dict[str, Quantity], proto(2)] = {}
    min: Annotated[dict[str, Quantity], proto(3)] = {}
    default: Annotated[dict[str, Quantity], proto(4)] = {}
    default_request: Annotated[dict[str, Quantity], proto(5)] = {}
    max_limit_request_ratio: Annotated[dict[str, Quantity], proto(6)] = {}


class LimitRangeSpec(Struct):
    """The bounds, one item per sort of object."""

    limits: Annotated[list[LimitRangeItem], proto(1, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )


class LimitRange(Resource):
    """Bounds and defaults for what single objects of a namespace may ask for."""

    spec: Annotated[LimitRangeSpec, proto(2)] = field(default_factory=LimitRangeSpec)


def _prepare(obj: LimitRange, old: LimitRange | None) -> None:
    """One without a name gets one."""
    if old is None and not obj.metadata.name:
        obj.metadata.name = str(uuid.uuid4())


LIMITRANGE = Kind(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    schema=LimitRange,
    short_names=("limits",),
    allow_create_on_update=True,
    prepare=_prepare,
    default=limitrange_rules.default,
    validate=limitrange_rules.validate,
)
