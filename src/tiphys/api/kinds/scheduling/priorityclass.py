"""PriorityClass. Source: staging/src/k8s.io/api/scheduling/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, field, proto


class PriorityClass(Resource):
    """A named priority of pods."""

    value: Annotated[Int32, proto(2)] = field(default_factory=int)
    global_default: Annotated[bool, proto(3)] = False
    description: Annotated[str, proto(4)] = ""
    preemption_policy: Annotated[str | None, proto(5)] = None


PRIORITYCLASS = Kind(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    schema=PriorityClass,
    namespaced=False,
    short_names=("pc",),
    generation=True,
)
