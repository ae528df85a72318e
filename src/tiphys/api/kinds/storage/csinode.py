"""CSINode. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import structs

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, invalid, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core.volume_sources import csi_driver_name
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, empty_list, field, proto
from tiphys.api.meta.validation import each, immutable, non_negative


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


_MAX_NODE_ID = 256


def _validate(obj: CSINode, old: CSINode | None) -> Iterator[FieldError]:
    path, seen = "spec.drivers", set[str]()
    for index, driver in enumerate(obj.spec.drivers):
        yield from _validate_driver(driver, f"{path}[{index}]")
        if driver.name in seen:
            yield duplicate(f"{path}[{index}].name", driver.name)
        seen.add(driver.name)
    known = {driver.name: driver for driver in old.spec.drivers} if old is not None else {}
    for driver in obj.spec.drivers:
        before = known.get(driver.name)
        if before is not None:
            # How many volumes fit may change; what else the driver said may not.
            without = structs.replace(driver, allocatable=None), structs.replace(before, allocatable=None)
            yield from immutable(path, *without)


def _validate_driver(driver: CSINodeDriver, path: str) -> Iterator[FieldError]:
    yield from csi_driver_name(f"{path}.name", driver.name)
    if not driver.node_id:
        yield required(f"{path}.nodeID")
    if len(driver.node_id) > _MAX_NODE_ID:
        yield invalid(f"{path}.nodeID", driver.node_id, f"must be {_MAX_NODE_ID} characters or less")
    if driver.allocatable is not None:
        yield from non_negative(f"{path}.allocatable.count", driver.allocatable.count or 0)
    for index, key in enumerate(driver.topology_keys):
        if not key:
            yield required(path)
        if key in driver.topology_keys[:index]:
            yield duplicate(path, key)
        yield from each(path, key, names.qualified_name(key))


COLUMNS: tuple[Column[CSINode], ...] = (
    NAME,
    Column("Drivers", "integer", lambda obj: len(obj.spec.drivers), "How many drivers the node has."),
    AGE,
)


CSINODE = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSINode",
    plural="csinodes",
    schema=CSINode,
    validate=_validate,
    columns=COLUMNS,
    namespaced=False,
    allow_unconditional_update=False,
)
