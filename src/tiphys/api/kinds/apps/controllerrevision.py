"""ControllerRevision. Source: staging/src/k8s.io/api/apps/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import JSONObject, field, proto


class ControllerRevision(Resource):
    """A past or present state of a workload's template, kept to go back to."""

    data: Annotated[JSONObject | None, proto(2)] = None
    revision: Annotated[int, proto(3, required=True)] = field(default_factory=int)


CONTROLLERREVISION = Kind(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    schema=ControllerRevision,
)
