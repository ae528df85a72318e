"""APIService. Source: staging/src/k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto


class ServiceReference(Struct):
    """The Service in front of a server."""

    namespace: Annotated[str, proto(1)] = ""
    name: Annotated[str, proto(2)] = ""
    port: Annotated[Int32 | None, proto(3)] = None


class APIServiceSpec(Struct):
    """Group, version, server, trust and rank."""

    service: Annotated[ServiceReference | None, proto(1)] = None
    group: Annotated[str, proto(2)] = ""
    version: Annotated[str, proto(3)] = ""
    insecure_skip_tls_verify: Annotated[bool, proto(4)] = False
    ca_bundle: Annotated[bytes, proto(5, list_type="atomic")] = b""
    group_priority_minimum: Annotated[Int32, proto(7, required=True)] = field(default_factory=int)
    version_priority: Annotated[Int32, proto(8, required=True)] = field(default_factory=int)


class APIServiceCondition(Struct):
    """One aspect of an APIService's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class APIServiceStatus(Struct):
    """Whether the server answers."""

    conditions: Annotated[
        list[APIServiceCondition], proto(1, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []


class APIService(Resource):
    """One version of an API group, and the server that answers for it."""

    spec: Annotated[APIServiceSpec, proto(2)] = field(default_factory=APIServiceSpec)
    status: Annotated[APIServiceStatus, proto(3)] = field(default_factory=APIServiceStatus)


def _prepare(obj: APIService, old: APIService | None) -> None:
    obj.status = copy_of(old.status) if old is not None else APIServiceStatus()


def _prepare_status(obj: APIService, old: APIService) -> None:
    obj.spec = copy_of(old.spec)


APISERVICE = Kind(
    group="apiregistration.k8s.io",
    version="v1",
    kind="APIService",
    plural="apiservices",
    schema=APIService,
    namespaced=False,
    categories=("api-extensions",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    storage_name="apiregistration.k8s.io/apiservices",
    allow_unconditional_update=False,
    prepare=_prepare,
    prepare_status=_prepare_status,
)
