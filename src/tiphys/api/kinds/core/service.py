"""Service: schema, defaults, strategy and columns.

Source: staging/src/k8s.io/api/core/v1/types.go, pkg/registry/core/service.
"""

from typing import Annotated

from tiphys.api import names
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME, NONE, UNKNOWN, labels_text
from tiphys.api.kinds.core.service_validation import (
    is_external,
    needs_health_check,
    validate,
    validate_status,
)
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, copy_of, field, proto
from tiphys.api.meta.types import Condition


class ClientIPConfig(Struct):
    """How long a client sticks to its pod."""

    timeout_seconds: Annotated[Int32 | None, proto(1)] = None


class SessionAffinityConfig(Struct):
    """The details of session affinity."""

    client_ip: Annotated[ClientIPConfig | None, proto(1)] = None


class ServicePort(Struct):
    """A port of the service and the port of the pods behind it."""

    name: Annotated[str, proto(1)] = ""
    protocol: Annotated[str, proto(2)] = ""
    app_protocol: Annotated[str | None, proto(6)] = None
    port: Annotated[Int32, proto(3, required=True)] = field(default_factory=int)
    target_port: Annotated[IntOrString, proto(4)] = 0
    node_port: Annotated[Int32, proto(5)] = 0


class ServiceSpec(Struct):
    """Which pods are reached under which addresses and ports, and how."""

    ports: Annotated[
        list[ServicePort],
        proto(
            1,
            merge_key="port",
            list_type="map",
            list_map_keys=(
                "port",
                "protocol",
            ),
        ),
    ] = []
    selector: Annotated[dict[str, str], proto(2, atomic=True)] = {}
    cluster_ip: Annotated[str, proto(3)] = ""
    cluster_ips: Annotated[list[str], proto(18, list_type="atomic")] = []
    type: Annotated[str, proto(4)] = ""
    external_ips: Annotated[list[str], proto(5, list_type="atomic")] = []
    session_affinity: Annotated[str, proto(7)] = ""
    load_balancer_ip: Annotated[str, proto(8)] = ""
    load_balancer_source_ranges: Annotated[list[str], proto(9, list_type="atomic")] = []
    external_name: Annotated[str, proto(10)] = ""
    external_traffic_policy: Annotated[str, proto(11)] = ""
    health_check_node_port: Annotated[Int32, proto(12)] = 0
    publish_not_ready_addresses: Annotated[bool, proto(13)] = False
    session_affinity_config: Annotated[SessionAffinityConfig | None, proto(14)] = None
    ip_families: Annotated[list[str], proto(19, list_type="atomic")] = []
    ip_family_policy: Annotated[str | None, proto(17)] = None
    allocate_load_balancer_node_ports: Annotated[bool | None, proto(20)] = None
    load_balancer_class: Annotated[str | None, proto(21)] = None
    internal_traffic_policy: Annotated[str | None, proto(22)] = None
    traffic_distribution: Annotated[str | None, proto(23)] = None


class PortStatus(Struct):
    """How a load balancer's port fares."""

    port: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    protocol: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    error: Annotated[str | None, proto(3)] = None


class LoadBalancerIngress(Struct):
    """An address where a load balancer takes traffic."""

    ip: Annotated[str, proto(1)] = ""
    hostname: Annotated[str, proto(2)] = ""
    ip_mode: Annotated[str | None, proto(3)] = None
    ports: Annotated[list[PortStatus], proto(4, list_type="atomic")] = []


class LoadBalancerStatus(Struct):
    """Where the load balancer takes traffic."""

    ingress: Annotated[list[LoadBalancerIngress], proto(1, list_type="atomic")] = []


class ServiceStatus(Struct):
    """What was set up for the service outside of the cluster."""

    load_balancer: Annotated[LoadBalancerStatus, proto(1)] = field(default_factory=LoadBalancerStatus)
    conditions: Annotated[list[Condition], proto(2, merge_key="type", list_type="map", list_map_keys=("type",))] = []


class Service(Resource):
    """A stable address for a changing set of pods."""

    spec: Annotated[ServiceSpec, proto(2)] = field(default_factory=ServiceSpec)
    status: Annotated[ServiceStatus, proto(3)] = field(default_factory=ServiceStatus)


CLIENT_IP_AFFINITY_S = 10800


def _default(service: Service) -> None:
    spec = service.spec
    spec.session_affinity = spec.session_affinity or "None"
    if spec.session_affinity == "None":
        spec.session_affinity_config = None
    elif spec.session_affinity == "ClientIP":
        config = spec.session_affinity_config
        if config is None or config.client_ip is None or config.client_ip.timeout_seconds is None:
            client_ip = ClientIPConfig(timeout_seconds=CLIENT_IP_AFFINITY_S)
            spec.session_affinity_config = SessionAffinityConfig(client_ip=client_ip)
    spec.type = spec.type or "ClusterIP"
    for port in spec.ports:
        port.protocol = port.protocol or "TCP"
        port.target_port = port.target_port or port.port
    if is_external(spec):
        spec.external_traffic_policy = spec.external_traffic_policy or "Cluster"
    if spec.internal_traffic_policy is None and spec.type != "ExternalName":
        spec.internal_traffic_policy = "Cluster"
    if spec.type == "LoadBalancer":
        if spec.allocate_load_balancer_node_ports is None:
            spec.allocate_load_balancer_node_ports = True
        for entry in service.status.load_balancer.ingress:
            if entry.ip and entry.ip_mode is None:
                entry.ip_mode = "VIP"


def _prepare(service: Service, old: Service | None) -> None:
    """The status stays; on update, so do addresses and ports that were allocated and not asked to change."""
    spec = service.spec
    if old is None:
        service.status = ServiceStatus()
        if spec.cluster_ip and not spec.cluster_ips:
            spec.cluster_ips = [spec.cluster_ip]
        return
    service.status = copy_of(old.status)
    before = old.spec
    # A writer may leave out the type, which then is ClusterIP; defaults come only after this.
    type_ = spec.type or "ClusterIP"
    _keep_allocated(spec, before, type_)
    _sync_cluster_ips(spec, before)
    _drop_what_the_type_forbids(spec, before, type_)
    if type_ != "LoadBalancer":
        service.status.load_balancer = LoadBalancerStatus()


def _keep_allocated(spec: ServiceSpec, before: ServiceSpec, type_: str) -> None:
    if "ExternalName" not in (type_, before.type):
        spec.cluster_ip = spec.cluster_ip or before.cluster_ip
        if not spec.cluster_ips and spec.cluster_ip == before.cluster_ip:
            spec.cluster_ips = list(before.cluster_ips)
    with_ports = ("NodePort", "LoadBalancer")
    if type_ in with_ports and before.type in with_ports:
        known = {(port.protocol or "TCP", port.port): port.node_port for port in before.ports}
        used = {port.node_port for port in spec.ports}
        for port in spec.ports:
            node_port = known.get((port.protocol or "TCP", port.port), 0)
            if not port.node_port and node_port not in used:
                port.node_port = node_port
    if type_ == "LoadBalancer" and needs_health_check(spec) and needs_health_check(before):
        spec.health_check_node_port = spec.health_check_node_port or before.health_check_node_port


def _sync_cluster_ips(spec: ServiceSpec, before: ServiceSpec) -> None:
    """Old clients write only `clusterIP`: `clusterIPs` follows."""
    if spec.cluster_ip != before.cluster_ip and spec.cluster_ips == before.cluster_ips:
        spec.cluster_ips = [spec.cluster_ip] if spec.cluster_ip else []


def _drop_what_the_type_forbids(spec: ServiceSpec, before: ServiceSpec, type_: str) -> None:
    """A changed type takes along what only the old type could have, unless that was changed on purpose."""
    with_ports = ("NodePort", "LoadBalancer")
    if type_ == "ExternalName" and before.type != "ExternalName":
        if (spec.cluster_ip, spec.cluster_ips) == (before.cluster_ip, before.cluster_ips):
            spec.cluster_ip, spec.cluster_ips = "", []
        if spec.ip_families == before.ip_families:
            spec.ip_families = []
        if spec.ip_family_policy == before.ip_family_policy:
            spec.ip_family_policy = None
    if before.type in with_ports and type_ not in with_ports and _node_ports(spec) == _node_ports(before):
        for port in spec.ports:
            port.node_port = 0
    checked = type_ == "LoadBalancer" and spec.external_traffic_policy == "Local"
    same_check = spec.health_check_node_port == before.health_check_node_port
    if needs_health_check(before) and not checked and same_check:
        spec.health_check_node_port = 0
    if before.type == "LoadBalancer" and type_ != "LoadBalancer":
        if spec.allocate_load_balancer_node_ports == before.allocate_load_balancer_node_ports:
            spec.allocate_load_balancer_node_ports = None
        if spec.load_balancer_class == before.load_balancer_class:
            spec.load_balancer_class = None
    outside = type_ in with_ports or (type_ == "ClusterIP" and bool(spec.external_ips))
    if is_external(before) and not outside and spec.external_traffic_policy == before.external_traffic_policy:
        spec.external_traffic_policy = ""


def _node_ports(spec: ServiceSpec) -> set[int]:
    return {port.node_port for port in spec.ports} - {0}


def _prepare_status(service: Service, old: Service) -> None:
    service.spec = copy_of(old.spec)


def _external_ips(service: Service) -> str:
    spec = service.spec
    if spec.type in ("ClusterIP", "NodePort"):
        return ",".join(spec.external_ips) or NONE
    if spec.type == "LoadBalancer":
        balanced = {entry.ip or entry.hostname for entry in service.status.load_balancer.ingress} - {""}
        return ",".join([*sorted(balanced), *spec.external_ips]) or "<pending>"
    return spec.external_name if spec.type == "ExternalName" else UNKNOWN


def _ports_text(service: Service) -> str:
    pieces = [
        f"{port.port}:{port.node_port}/{port.protocol}" if port.node_port else f"{port.port}/{port.protocol}"
        for port in service.spec.ports
    ]
    return ",".join(pieces) or NONE


COLUMNS: tuple[Column[Service], ...] = (
    NAME,
    Column("Type", "string", lambda service: service.spec.type, "How the service is reached."),
    Column(
        "Cluster-IP",
        "string",
        lambda service: service.spec.cluster_ips[0] if service.spec.cluster_ips else NONE,
        "Its address in the cluster.",
    ),
    Column("External-IP", "string", _external_ips, "Its addresses outside."),
    Column("Port(s)", "string", _ports_text, "Its ports, with node ports where it has any."),
    AGE,
    Column("Selector", "string", lambda service: labels_text(service.spec.selector), "Its pods.", wide=True),
)


SERVICE = Kind(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    schema=Service,
    short_names=("svc",),
    categories=("all",),
    storage_name="services/specs",
    allow_create_on_update=True,
    subresources=(
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), "ServiceProxyOptions"),
        Subresource("status", ("get", "patch", "update")),
    ),
    name_rule=names.dns_label_name,
    default=_default,
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=validate,
    validate_status=validate_status,
    fields={
        "spec.clusterIP": lambda service: service.spec.cluster_ip,
        "spec.type": lambda service: service.spec.type,
    },
    columns=COLUMNS,
)
