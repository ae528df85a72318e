"""RuntimeClass. Source: staging/src/k8s.io/api/node/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.core.references import Toleration
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Quantity, Struct, field, proto


class Overhead(Struct):
    """What a pod costs beyond its containers."""

    pod_fixed: Annotated[dict[str, Quantity], proto(1)] = {}


class Scheduling(Struct):
    """Which nodes support a runtime class."""

    node_selector: Annotated[dict[str, str], proto(1, atomic=True)] = {}
    tolerations: Annotated[list[Toleration], proto(2, list_type="atomic")] = []


class RuntimeClass(Resource):
    """A named way of running containers."""

    handler: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    overhead: Annotated[Overhead | None, proto(3)] = None
    scheduling: Annotated[Scheduling | None, proto(4)] = None


RUNTIMECLASS = Kind(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    schema=RuntimeClass,
    namespaced=False,
    allow_create_on_update=True,
    allow_unconditional_update=False,
)
