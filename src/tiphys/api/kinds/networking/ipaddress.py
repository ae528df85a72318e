"""IPAddress. Source: staging/src/k8s.io/api/networking/v1/types.go."""

from typing import Annotated

from msgspec.structs import replace

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class ParentReference(Struct):
    """The object that uses an address."""

    group: Annotated[str, proto(1)] = ""
    resource: Annotated[str, proto(2, required=True)] = ""
    namespace: Annotated[str, proto(3)] = ""
    name: Annotated[str, proto(4, required=True)] = ""


class IPAddressSpec(Struct):
    """What uses the address."""

    parent_ref: Annotated[ParentReference | None, proto(1, required=True)] = None


class IPAddress(Resource):
    """An address in use, and by what; its name is the address."""

    spec: Annotated[IPAddressSpec, proto(2, required=True)] = field(default_factory=IPAddressSpec)


IPADDRESS = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IPAddress",
    plural="ipaddresses",
    schema=IPAddress,
    namespaced=False,
    short_names=("ip",),
)

IPADDRESS_V1BETA1 = replace(IPADDRESS, version="v1beta1", stored_as=IPADDRESS)
