"""RuntimeClass. Source: staging/src/k8s.io/api/node/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core.pod.containers import ResourceRequirements
from tiphys.api.kinds.core.pod.validation_placement import validate_tolerations
from tiphys.api.kinds.core.pod.validation_resources import validate_resources
from tiphys.api.kinds.core.references import Toleration
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Quantity, Struct, field, proto
from tiphys.api.meta.validation import each, immutable, validate_labels


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


def _validate(obj: RuntimeClass, old: RuntimeClass | None) -> Iterator[FieldError]:
    if old is not None:
        yield from immutable("handler", obj.handler, old.handler)
        return
    if not obj.handler:
        yield required("handler")
    else:
        yield from each("handler", obj.handler, names.dns_label(obj.handler))
    if obj.overhead is not None:
        yield from validate_resources(ResourceRequirements(limits=obj.overhead.pod_fixed), "overhead", set())
    if obj.scheduling is not None:
        yield from _scheduling(obj.scheduling)


def _scheduling(scheduling: Scheduling) -> Iterator[FieldError]:
    yield from validate_labels(scheduling.node_selector, "scheduling.nodeSelector")
    path = "scheduling.tolerations"
    yield from validate_tolerations(scheduling.tolerations, path)
    seen: set[tuple[str, str, str, str]] = set()
    for index, toleration in enumerate(scheduling.tolerations):
        key = (toleration.key, toleration.operator, toleration.value, toleration.effect)
        if key in seen:
            yield duplicate(f"{path}[{index}]", toleration)
        seen.add(key)


RUNTIMECLASS = Kind(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    schema=RuntimeClass,
    namespaced=False,
    allow_create_on_update=True,
    allow_unconditional_update=False,
    validate=_validate,
    columns=(NAME, Column("Handler", "string", lambda obj: obj.handler, "What runs its containers."), AGE),
)
