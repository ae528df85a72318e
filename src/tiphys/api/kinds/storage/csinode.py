"""CSINode. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, empty_list, field, proto


class VolumeNodeResources(Struct):
    """How many volumes of a driver a node takes."""

    count: Annotated[Int32 | None, proto(1)] = None


class CSINodeDriver(Struct):
    """One driver of a node: its name for the node, and where volumes are reachable."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    node_id: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    topology_keys: Annotated[list[str], proto(3, list_type="atomic")] = field(default_factory=empty_list)
    allocatable: Annotated[VolumeNodeResources | None, proto(4)] = None


class CSINodeSpec(Struct):
    """The drivers, as registered by the kubelet."""

    drivers: Annotated[
        list[CSINodeDriver], proto(1, required=True, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = field(default_factory=empty_list)


class CSINode(Resource):
    """The storage drivers of one node."""

    spec: Annotated[CSINodeSpec, proto(2, required=True)] = field(default_factory=CSINodeSpec)


CSINODE = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSINode",
    plural="csinodes",
    schema=CSINode,
    namespaced=False,
    allow_unconditional_update=False,
)
