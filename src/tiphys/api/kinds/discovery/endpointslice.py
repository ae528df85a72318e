"""DOC:kinds/discovery/endpointslice.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, empty_list, field, proto


class EndpointConditions(Struct):
    """DOC:discovery.EndpointConditions"""

    ready: Annotated[bool | None, proto(1)] = None
    serving: Annotated[bool | None, proto(2)] = None
    terminating: Annotated[bool | None, proto(3)] = None


class ForZone(Struct):
    """DOC:discovery.ForZone"""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class ForNode(Struct):
    """DOC:discovery.ForNode"""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class EndpointHints(Struct):
    """DOC:discovery.EndpointHints"""

    for_zones: Annotated[list[ForZone], proto(1, list_type="atomic")] = []
    for_nodes: Annotated[list[ForNode], proto(2, list_type="atomic")] = []


class Endpoint(Struct):
    """DOC:discovery.Endpoint"""

    addresses: Annotated[list[str], proto(1, required=True, list_type="set")] = field(default_factory=empty_list)
    conditions: Annotated[EndpointConditions, proto(2)] = field(default_factory=EndpointConditions)
    hostname: Annotated[str | None, proto(3)] = None
    target_ref: Annotated[ObjectReference | None, proto(4, atomic=True)] = None
    deprecated_topology: Annotated[dict[str, str], proto(5)] = {}
    node_name: Annotated[str | None, proto(6)] = None
    zone: Annotated[str | None, proto(7)] = None
    hints: Annotated[EndpointHints | None, proto(8)] = None


class EndpointPort(Struct):
    """DOC:discovery.EndpointPort"""

    name: Annotated[str | None, proto(1)] = None
    protocol: Annotated[str | None, proto(2)] = None
    port: Annotated[Int32 | None, proto(3)] = None
    app_protocol: Annotated[str | None, proto(4)] = None


class EndpointSlice(Resource):
    """DOC:discovery.EndpointSlice"""

    address_type: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    endpoints: Annotated[list[Endpoint], proto(2, list_type="atomic")] = field(default_factory=empty_list)
    ports: Annotated[list[EndpointPort], proto(3, list_type="atomic")] = field(default_factory=empty_list)


ENDPOINTSLICE = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    schema=EndpointSlice,
    generation=True,
)
