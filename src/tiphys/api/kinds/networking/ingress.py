"""Ingress. Source: staging/src/k8s.io/api/networking/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME, NONE
from tiphys.api.kinds.core.references import TypedLocalObjectReference
from tiphys.api.kinds.networking.ingress_validation import validate, validate_status
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, copy_of, empty_list, field, proto


class ServiceBackendPort(Struct):
    """A port, by name or number."""

    name: Annotated[str, proto(1)] = ""
    number: Annotated[Int32, proto(2)] = 0


class IngressServiceBackend(Struct):
    """A Service and its port."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    port: Annotated[ServiceBackendPort, proto(2, atomic=True)] = field(default_factory=ServiceBackendPort)


class IngressBackend(Struct):
    """Where requests go: a Service or another object."""

    service: Annotated[IngressServiceBackend | None, proto(4)] = None
    resource: Annotated[TypedLocalObjectReference | None, proto(3, atomic=True)] = None


class HTTPIngressPath(Struct):
    """One path, how it is matched, and where it leads."""

    path: Annotated[str, proto(1)] = ""
    path_type: Annotated[str | None, proto(3, required=True)] = None
    backend: Annotated[IngressBackend, proto(2, required=True)] = field(default_factory=IngressBackend)


class HTTPIngressRuleValue(Struct):
    """Paths and where they lead."""

    paths: Annotated[list[HTTPIngressPath], proto(1, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )


class IngressRule(Struct):
    """The paths of one host."""

    host: Annotated[str, proto(1)] = ""
    http: Annotated[HTTPIngressRuleValue | None, proto(2, 1)] = None


class IngressTLS(Struct):
    """The certificate for some hosts."""

    hosts: Annotated[list[str], proto(1, list_type="atomic")] = []
    secret_name: Annotated[str, proto(2)] = ""


class IngressSpec(Struct):
    """The rules, the certificates, and who carries them out."""

    ingress_class_name: Annotated[str | None, proto(4)] = None
    default_backend: Annotated[IngressBackend | None, proto(1)] = None
    tls: Annotated[list[IngressTLS], proto(2, list_type="atomic")] = []
    rules: Annotated[list[IngressRule], proto(3, list_type="atomic")] = []


class IngressPortStatus(Struct):
    """One port of the load balancer, and what is wrong with it."""

    port: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    protocol: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    error: Annotated[str | None, proto(3)] = None


class IngressLoadBalancerIngress(Struct):
    """One address of the load balancer, and its ports."""

    ip: Annotated[str, proto(1)] = ""
    hostname: Annotated[str, proto(2)] = ""
    ports: Annotated[list[IngressPortStatus], proto(4, list_type="atomic")] = []


class IngressLoadBalancerStatus(Struct):
    """The addresses of the load balancer."""

    ingress: Annotated[list[IngressLoadBalancerIngress], proto(1, list_type="atomic")] = []


class IngressStatus(Struct):
    """Under which addresses the ingress is reachable."""

    load_balancer: Annotated[IngressLoadBalancerStatus, proto(1)] = field(default_factory=IngressLoadBalancerStatus)


class Ingress(Resource):
    """Ways from outside to Services, by host and path."""

    spec: Annotated[IngressSpec, proto(2)] = field(default_factory=IngressSpec)
    status: Annotated[IngressStatus, proto(3)] = field(default_factory=IngressStatus)


def _prepare(obj: Ingress, old: Ingress | None) -> None:
    obj.status = copy_of(old.status) if old is not None else IngressStatus()


def _prepare_status(obj: Ingress, old: Ingress) -> None:
    obj.spec = copy_of(old.spec)


def _hosts(obj: Ingress) -> str:
    """The first three hosts."""
    hosts = [rule.host for rule in obj.spec.rules if rule.host]
    shown = ",".join(hosts[:3])
    if not shown:
        return "*"
    return f"{shown} + {len(hosts) - 3} more..." if len(hosts) > 3 else shown


def addresses(obj: Ingress) -> str:
    """Where it is reached, shortened to 16 characters."""
    points = {point.ip or point.hostname for point in obj.status.load_balancer.ingress} - {""}
    text = ",".join(sorted(points))
    return text if len(text) <= _ADDRESS_WIDTH else text[: _ADDRESS_WIDTH - 3] + "..."


_ADDRESS_WIDTH = 16
COLUMNS: tuple[Column[Ingress], ...] = (
    NAME,
    Column("Class", "string", lambda obj: obj.spec.ingress_class_name or NONE, "Who carries it out."),
    Column("Hosts", "string", _hosts, "The hosts that it is about."),
    Column("Address", "string", addresses, "Where it is reached."),
    Column("Ports", "string", lambda obj: "80, 443" if obj.spec.tls else "80", "The ports of its hosts."),
    AGE,
)


INGRESS = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    schema=Ingress,
    short_names=("ing",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    generation=True,
    storage_name="ingress",
    prepare=_prepare,
    validate=validate,
    validate_status=validate_status,
    columns=COLUMNS,
    prepare_status=_prepare_status,
)
