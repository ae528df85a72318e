"""NetworkPolicy. Source: staging/src/k8s.io/api/networking/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, field, proto
from tiphys.api.meta.types import LabelSelector


class IPBlock(Struct):
    """Addresses, but for some."""

    cidr: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    except_: Annotated[list[str], proto(2, list_type="atomic")] = []


class NetworkPolicyPeer(Struct):
    """The other side of traffic: pods, namespaces or addresses."""

    pod_selector: Annotated[LabelSelector | None, proto(1, atomic=True)] = None
    namespace_selector: Annotated[LabelSelector | None, proto(2, atomic=True)] = None
    ip_block: Annotated[IPBlock | None, proto(3)] = None


class NetworkPolicyPort(Struct):
    """Ports of one protocol."""

    protocol: Annotated[str | None, proto(1)] = None
    port: Annotated[IntOrString | None, proto(2)] = None
    end_port: Annotated[Int32 | None, proto(3)] = None


class NetworkPolicyEgressRule(Struct):
    """Where traffic may go, on which ports."""

    ports: Annotated[list[NetworkPolicyPort], proto(1, list_type="atomic")] = []
    to: Annotated[list[NetworkPolicyPeer], proto(2, list_type="atomic")] = []


class NetworkPolicyIngressRule(Struct):
    """Where traffic may come from, on which ports."""

    ports: Annotated[list[NetworkPolicyPort], proto(1, list_type="atomic")] = []
    from_: Annotated[list[NetworkPolicyPeer], proto(2, list_type="atomic")] = []


class NetworkPolicySpec(Struct):
    """Which pods, and what may come in and go out."""

    pod_selector: Annotated[LabelSelector, proto(1, atomic=True)] = field(default_factory=LabelSelector)
    ingress: Annotated[list[NetworkPolicyIngressRule], proto(2, list_type="atomic")] = []
    egress: Annotated[list[NetworkPolicyEgressRule], proto(3, list_type="atomic")] = []
    policy_types: Annotated[list[str], proto(4, list_type="atomic")] = []


class NetworkPolicy(Resource):
    """Which traffic pods may have."""

    spec: Annotated[NetworkPolicySpec, proto(2)] = field(default_factory=NetworkPolicySpec)


NETWORKPOLICY = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    schema=NetworkPolicy,
    short_names=("netpol",),
    generation=True,
)
