"""Scale, the body of every `scale` subresource. Source: staging/src/k8s.io/api/autoscaling/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError
from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, field, proto
from tiphys.api.meta.validation import non_negative


class ScaleSpec(Struct):
    """How many replicas there should be."""

    replicas: Annotated[Int32, proto(1)] = 0


class ScaleStatus(Struct):
    """How many there are, and how to select them."""

    replicas: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    selector: Annotated[str, proto(2)] = ""


class Scale(Resource):
    """The count of a scalable object, whatever its kind."""

    spec: Annotated[ScaleSpec, proto(2)] = field(default_factory=ScaleSpec)
    status: Annotated[ScaleStatus, proto(3)] = field(default_factory=ScaleStatus)


def _validate(scale: Scale, _old: Scale | None) -> Iterator[FieldError]:
    yield from non_negative("spec.replicas", scale.spec.replicas)


SCALE = Kind(
    group="autoscaling",
    version="v1",
    kind="Scale",
    plural="scales",
    schema=Scale,
    verbs=(),
    validate=_validate,
)
