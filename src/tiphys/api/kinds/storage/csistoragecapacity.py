"""CSIStorageCapacity. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Quantity, field, proto
from tiphys.api.meta.types import LabelSelector


class CSIStorageCapacity(Resource):
    """How much storage of a class is left in one part of the cluster."""

    node_topology: Annotated[LabelSelector | None, proto(2, atomic=True)] = None
    storage_class_name: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    capacity: Annotated[Quantity | None, proto(4)] = None
    maximum_volume_size: Annotated[Quantity | None, proto(5)] = None


CSISTORAGECAPACITY = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIStorageCapacity",
    plural="csistoragecapacities",
    schema=CSIStorageCapacity,
    allow_unconditional_update=False,
)
