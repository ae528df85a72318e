"""The controllers of the cloud controller manager, as far as a provider has something for them."""

from __future__ import annotations

from typing import Any

from tiphys.cloud import node, route, service
from tiphys.cloud.provider import CloudProvider
from tiphys.controllers._spec import ControllerSpec


def loops(cloud: CloudProvider) -> tuple[ControllerSpec[Any], ...]:
    """One per part that the provider offers."""
    found: list[ControllerSpec[Any]] = []
    if cloud.instances is not None:
        found.append(node.spec(cloud.instances))
    if cloud.load_balancers is not None:
        found.append(service.spec(cloud.load_balancers))
    if cloud.routes is not None:
        found.append(route.spec(cloud.routes))
    return tuple(found)
