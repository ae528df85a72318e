"""What a cloud provider offers, and how plugins are found.

A plugin is a Python package with an entry point in the group `tiphys.cloud_providers`; its name is what
`--cloud-provider` takes, and its object a callable `(client, config) -> CloudProvider`.

Source: staging/src/k8s.io/cloud-provider/cloud.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tiphys.api.kinds.core.node import Node, NodeAddress
from tiphys.api.kinds.core.service import LoadBalancerIngress, Service
from tiphys.client.interface import Client

GROUP = "tiphys.cloud_providers"


class CloudError(Exception):
    """The provider could not do it. The text goes into an event."""


class LoadBalancers(Protocol):
    """Ways into the cluster from outside. All calls may be repeated, and must then change nothing."""

    async def ensure(self, service: Service, nodes: Sequence[Node]) -> Sequence[LoadBalancerIngress]:
        """Make the load balancer what the Service says, leading to `nodes`; returns where it takes traffic.

        Raises CloudError.
        """

    async def delete(self, service: Service) -> None:
        """Take it away; also where there is none. Raises CloudError."""


@dataclass(frozen=True, slots=True)
class Instance:
    """What a provider knows of the machine behind a node."""

    provider_id: str = ""
    instance_type: str = ""
    zone: str = ""
    region: str = ""
    addresses: tuple[NodeAddress, ...] = ()
    """Empty: as the kubelet says."""
    labels: dict[str, str] = field(default_factory=dict)
    """More labels for the node."""


class Instances(Protocol):
    """Machines."""

    async def describe(self, node: Node) -> Instance | None:
        """The node's machine; None: there is none (any more). Raises CloudError."""

    async def is_shut_down(self, node: Node) -> bool:
        """Whether the machine is there, switched off. Raises CloudError."""


class Routes(Protocol):
    """Ways between the pods of different nodes."""

    async def ensure(self, node: Node, cidr: str) -> None:
        """Lead `cidr` to the node. Raises CloudError."""

    async def delete(self, node_name: str) -> None:
        """Take away what led to a node that is gone. Raises CloudError."""


@dataclass(frozen=True, slots=True)
class CloudProvider:
    """A cloud; None: it does not offer that."""

    name: str
    load_balancers: LoadBalancers | None = None
    instances: Instances | None = None
    routes: Routes | None = None


Factory = Callable[[Client, str], CloudProvider]


def provider(name: str, client: Client, config: str = "") -> CloudProvider:
    """The provider of that name, set up with the text of its configuration file.

    Raises ValueError where there is no such provider, or it does not like its configuration.
    """
    if name == "local":
        from tiphys.cloud.local import local_provider

        return local_provider(client, config)
    from importlib.metadata import entry_points

    found = {each.name: each for each in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join(sorted({"local", *found}))
        raise ValueError(f"unknown cloud provider {name!r}: there are {known}")
    made = found[name].load()(client, config)
    if not isinstance(made, CloudProvider):
        raise ValueError(f"cloud provider {name!r}: its entry point makes no CloudProvider")
    return made
