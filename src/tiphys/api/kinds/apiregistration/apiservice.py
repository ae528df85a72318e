"""APIService. Source: staging/src/k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, not_supported, required
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME
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
    if old is None and obj.spec.service is None:
        local = APIServiceCondition(
            type="Available", status="True", reason="Local", message="Local APIServices are always available",
            last_transition_time=obj.metadata.creation_timestamp,
        )  # fmt: skip
        obj.status.conditions = [local]


def _prepare_status(obj: APIService, old: APIService) -> None:
    obj.spec = copy_of(old.spec)


def _default(obj: APIService) -> None:
    if obj.spec.service is not None and obj.spec.service.port is None:
        obj.spec.service.port = 443


def _validate(obj: APIService, _old: APIService | None) -> Iterator[FieldError]:
    spec = obj.spec
    name = f"{spec.version}.{spec.group}"
    if obj.metadata.name != name:
        yield invalid("metadata.name", obj.metadata.name, f'must be `spec.version+"."+spec.group`: "{name}"')
    if not spec.group and spec.version != "v1":
        yield required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    for why in names.dns_subdomain(spec.group) if spec.group else ():
        yield invalid("spec.group", spec.group, why)
    for why in names.dns_label_1035(spec.version):
        yield invalid("spec.version", spec.version, why)
    if not 0 < spec.group_priority_minimum <= 20000:
        why = "must be positive and less than 20000"
        yield invalid("spec.groupPriorityMinimum", spec.group_priority_minimum, why)
    if not 0 < spec.version_priority <= 1000:
        yield invalid("spec.versionPriority", spec.version_priority, "must be positive and less than 1000")
    yield from _service(spec)


def _service(spec: APIServiceSpec) -> Iterator[FieldError]:
    service = spec.service
    if service is None:
        if spec.ca_bundle:
            why = "local APIServices may not have a caBundle"
            yield invalid("spec.caBundle", f"{len(spec.ca_bundle)} bytes", why)
        if spec.insecure_skip_tls_verify:
            yield invalid("spec.insecureSkipTLSVerify", True, "local APIServices may not have insecureSkipTLSVerify")
        return
    if not service.namespace:
        yield required("spec.service.namespace")
    if not service.name:
        yield required("spec.service.name")
    if not 0 < (service.port or 0) < 65536:
        why = "port is not valid: must be between 1 and 65535, inclusive"
        yield invalid("spec.service.port", service.port or 0, why)
    if spec.insecure_skip_tls_verify and spec.ca_bundle:
        yield invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")


def _validate_status(obj: APIService, _old: APIService | None) -> Iterator[FieldError]:
    for index, condition in enumerate(obj.status.conditions):
        if condition.status not in ("True", "False", "Unknown"):
            path = f"status.conditions[{index}].status"
            yield not_supported(path, condition.status, ["True", "False", "Unknown"])


def _leads_to(obj: APIService) -> str:
    service = obj.spec.service
    return "Local" if service is None else f"{service.namespace}/{service.name}"


def _available(obj: APIService) -> str:
    for condition in obj.status.conditions:
        if condition.type == "Available":
            return "True" if condition.status == "True" else f"{condition.status} ({condition.reason})"
    return "Unknown"


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
    name_rule=names.path_segment_name,
    default=_default,
    validate=_validate,
    validate_status=_validate_status,
    columns=(
        NAME,
        Column("Service", "string", _leads_to, "The Service in front of the server, or Local."),
        Column("Available", "string", _available, "Whether the server answers, and if not, why."),
        AGE,
    ),
    prepare=_prepare,
    prepare_status=_prepare_status,
)
