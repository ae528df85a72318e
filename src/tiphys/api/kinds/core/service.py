"""DOC:kinds/core/service.py"""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, field, proto
from tiphys.api.meta.types import Condition


class ClientIPConfig(Struct):
    """DOC:core.ClientIPConfig"""

    timeout_seconds: Annotated[Int32 | None, proto(1)] = None


class SessionAffinityConfig(Struct):
    """DOC:core.SessionAffinityConfig"""

    client_ip: Annotated[ClientIPConfig | None, proto(1)] = None


class ServicePort(Struct):
    """DOC:core.ServicePort"""

    name: Annotated[str, proto(1)] = ""
    protocol: Annotated[str, proto(2)] = ""
    app_protocol: Annotated[str | None, proto(6)] = None
    port: Annotated[Int32, proto(3, required=True)] = field(default_factory=int)
    target_port: Annotated[IntOrString, proto(4)] = 0
    node_port: Annotated[Int32, proto(5)] = 0


class ServiceSpec(Struct):
    """DOC:core.ServiceSpec"""

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
    """DOC:core.PortStatus"""

    port: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    protocol: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    error: Annotated[str | None, proto(3)] = None


class LoadBalancerIngress(Struct):
    """DOC:core.LoadBalancerIngress"""

    ip: Annotated[str, proto(1)] = ""
    hostname: Annotated[str, proto(2)] = ""
    ip_mode: Annotated[str | None, proto(3)] = None
    ports: Annotated[list[PortStatus], proto(4, list_type="atomic")] = []


class LoadBalancerStatus(Struct):
    """DOC:core.LoadBalancerStatus"""

    ingress: Annotated[list[LoadBalancerIngress], proto(1, list_type="atomic")] = []


class ServiceStatus(Struct):
    """DOC:core.ServiceStatus"""

    load_balancer: Annotated[LoadBalancerStatus, proto(1)] = field(default_factory=LoadBalancerStatus)
    conditions: Annotated[list[Condition], proto(2, merge_key="type", list_type="map", list_map_keys=("type",))] = []


class Service(Resource):
    """DOC:core.Service"""

    spec: Annotated[ServiceSpec, proto(2)] = field(default_factory=ServiceSpec)
    status: Annotated[ServiceStatus, proto(3)] = field(default_factory=ServiceStatus)


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
)
