"""The objects that make cluster DNS known: the Service, and each node's EndpointSlice behind it."""

from __future__ import annotations

from tiphys.api.kind import new
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.service import SERVICE, Service, ServicePort, ServiceSpec
from tiphys.api.kinds.discovery.endpointslice import (
    ENDPOINTSLICE,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
)
from tiphys.api.meta.types import OwnerReference

NAMESPACE = "kube-system"
SERVICE_NAME = "kube-dns"
MANAGED_BY = "dns.tiphys.dev"
_PORTS = (("dns", "UDP"), ("dns-tcp", "TCP"))


def dns_service(cluster_ip: str) -> Service:
    """kube-system/kube-dns under the address that kubelets give to pods. Without a selector: nodes list themselves as
    its endpoints, and each node's pods are answered by their own node."""
    ports = [ServicePort(name=name, port=53, protocol=protocol, target_port=53) for name, protocol in _PORTS]
    spec = ServiceSpec(
        type="ClusterIP",
        cluster_ip=cluster_ip,
        cluster_ips=[cluster_ip],
        internal_traffic_policy="Local",
        ports=ports,
    )
    service = new(SERVICE, SERVICE_NAME, NAMESPACE, spec=spec)
    service.metadata.labels = {
        "k8s-app": "kube-dns",
        "kubernetes.io/cluster-service": "true",
        "kubernetes.io/name": "CoreDNS",
    }
    return service


def slice_name(node_name: str) -> str:
    return f"{SERVICE_NAME}-{node_name}"


def dns_slice(node_name: str, node: Node | None, address: str, port: int) -> EndpointSlice:
    """This node as an endpoint of the Service. Owned by the Node, so that it goes when the node goes."""
    ports = [EndpointPort(name=name, protocol=protocol, port=port) for name, protocol in _PORTS]
    conditions = EndpointConditions(ready=True, serving=True, terminating=False)
    endpoint = Endpoint(addresses=[address], conditions=conditions, node_name=node_name)
    kind = "IPv6" if ":" in address else "IPv4"
    piece: EndpointSlice = new(
        ENDPOINTSLICE, slice_name(node_name), NAMESPACE, address_type=kind, endpoints=[endpoint], ports=ports
    )
    piece.metadata.labels = {
        "kubernetes.io/service-name": SERVICE_NAME,
        "endpointslice.kubernetes.io/managed-by": MANAGED_BY,
        "k8s-app": "kube-dns",
    }
    if node is not None and node.metadata.uid:
        owner = OwnerReference(api_version="v1", kind="Node", name=node_name, uid=node.metadata.uid)
        piece.metadata.owner_references = [owner]
    return piece
