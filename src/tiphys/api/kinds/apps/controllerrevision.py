"""ControllerRevision. Source: staging/src/k8s.io/api/apps/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME, NONE
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import JSONObject, field, proto
from tiphys.api.meta.validation import immutable, non_negative


class ControllerRevision(Resource):
    """A past or present state of a workload's template, kept to go back to."""

    data: Annotated[JSONObject | None, proto(2)] = None
    revision: Annotated[int, proto(3, required=True)] = field(default_factory=int)


def _validate(obj: ControllerRevision, old: ControllerRevision | None) -> Iterator[FieldError]:
    yield from non_negative("revision", obj.revision)
    if old is not None:
        yield from immutable("data", obj.data, old.data)
    elif obj.data is None:
        yield required("data", "data is mandatory")


def _controller(obj: ControllerRevision) -> str:
    owner = controller_of(obj)
    if owner is None:
        return NONE
    group = owner.api_version.partition("/")[0] if "/" in owner.api_version else ""
    kind = f"{owner.kind}.{group}" if group else owner.kind
    return f"{kind.lower()}/{owner.name}"


COLUMNS: tuple[Column[ControllerRevision], ...] = (
    NAME,
    Column("Controller", "string", _controller, "Whose revision it is."),
    Column("Revision", "string", lambda obj: obj.revision, "Its number; a higher one is newer."),
    AGE,
)


CONTROLLERREVISION = Kind(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    schema=ControllerRevision,
    validate=_validate,
    columns=COLUMNS,
)
