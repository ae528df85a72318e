"""CSIStorageCapacity. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid
from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Quantity, field, proto
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import NOT_NEGATIVE, each, immutable, validate_selector
from tiphys.base import quantity


class CSIStorageCapacity(Resource):
    """How much storage of a class is left in one part of the cluster."""

    node_topology: Annotated[LabelSelector | None, proto(2, atomic=True)] = None
    storage_class_name: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    capacity: Annotated[Quantity | None, proto(4)] = None
    maximum_volume_size: Annotated[Quantity | None, proto(5)] = None


def _validate(obj: CSIStorageCapacity, old: CSIStorageCapacity | None) -> Iterator[FieldError]:
    if old is not None:
        yield from immutable("nodeTopology", obj.node_topology, old.node_topology)
        yield from immutable("storageClassName", obj.storage_class_name, old.storage_class_name)
        return
    if obj.node_topology is not None:
        yield from validate_selector(obj.node_topology, "nodeTopology")
    name = obj.storage_class_name
    yield from each("storageClassName", name, names.dns_subdomain(name))
    if obj.capacity is not None and quantity.parse(obj.capacity) < 0:
        yield invalid("capacity", obj.capacity, NOT_NEGATIVE)


CSISTORAGECAPACITY = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIStorageCapacity",
    plural="csistoragecapacities",
    schema=CSIStorageCapacity,
    validate=_validate,
    allow_unconditional_update=False,
)
