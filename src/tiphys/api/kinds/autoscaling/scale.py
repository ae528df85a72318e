"""DOC:kinds/autoscaling/scale.py"""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError
from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, field, proto
from tiphys.api.meta.validation import non_negative


class ScaleSpec(Struct):
    """DOC:autoscaling.ScaleSpec"""

    replicas: Annotated[Int32, proto(1)] = 0


class ScaleStatus(Struct):
    """DOC:autoscaling.ScaleStatus"""

    replicas: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    selector: Annotated[str, proto(2)] = ""


class Scale(Resource):
    """DOC:autoscaling.Scale"""

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
