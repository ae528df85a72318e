"""DOC:kinds/core/endpoints.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, field, proto


class EndpointAddress(Struct):
    """DOC:core.EndpointAddress"""

    ip: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    hostname: Annotated[str, proto(3)] = ""
    node_name: Annotated[str | None, proto(4)] = None
    target_ref: Annotated[ObjectReference | None, proto(2, atomic=True)] = None


class EndpointPort(Struct):
    """DOC:core.EndpointPort"""

    name: Annotated[str, proto(1)] = ""
    port: Annotated[Int32, proto(2, required=True)] = field(default_factory=int)
    protocol: Annotated[str, proto(3)] = ""
    app_protocol: Annotated[str | None, proto(4)] = None


class EndpointSubset(Struct):
    """DOC:core.EndpointSubset"""

    addresses: Annotated[list[EndpointAddress], proto(1, list_type="atomic")] = []
    not_ready_addresses: Annotated[list[EndpointAddress], proto(2, list_type="atomic")] = []
    ports: Annotated[list[EndpointPort], proto(3, list_type="atomic")] = []


class Endpoints(Resource):
    """DOC:core.Endpoints"""

    subsets: Annotated[list[EndpointSubset], proto(2, list_type="atomic")] = []


ENDPOINTS = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    schema=Endpoints,
    short_names=("ep",),
    storage_name="services/endpoints",
    allow_create_on_update=True,
)
