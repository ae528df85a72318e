"""Keeps the old-style Endpoints of each Service with a selector: ready and unready addresses per set of ports.

Woken by: Services; pods behind them; the Endpoints themselves (changed or deleted ones are put back). Writes:
Endpoints.
Races: a Service that goes takes its Endpoints with it by name; Endpoints of a Service without a selector belong to the
user and are left alone.
Source: pkg/controller/endpoint/endpoints_controller.go, pkg/api/v1/endpoints/util.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kind import new
from tiphys.api.kinds import ENDPOINTS, POD, SERVICE
from tiphys.api.kinds.core.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from tiphys.api.kinds.core.pod.facts import is_ready
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.service import Service
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, Create, Delete, Report, Update
from tiphys.controllers._endpoints import (
    BY_LABEL,
    BY_SELECTOR,
    HEADLESS,
    Port,
    address_of,
    hostname_of,
    is_candidate,
    is_headless,
    pod_matters,
    pods_of_service,
    ports_of,
    services_of_pod,
    target_reference,
)
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
ADDRESSES_MAX = 1000
"""Beyond this many the rest is left out and the object says so; endpoint slices have no such limit."""


@dataclass(frozen=True)
class World:
    service: Service | None
    endpoints: Endpoints | None
    pods: tuple[Pod, ...]


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    service = listers.get(SERVICE, key.name, key.namespace)
    endpoints = listers.get(ENDPOINTS, key.name, key.namespace)
    if service is None:
        return World(None, endpoints, ()) if endpoints is not None else None
    return World(service, endpoints, pods_of_service(listers, service))


def plan(key: Key, world: World) -> Sequence[Action]:
    service, known = world.service, world.endpoints
    if service is None:
        managed = known is not None and known.metadata.labels.get(MANAGED_BY) == MANAGER
        if known is None or not managed:
            return ()
        return [Delete(ENDPOINTS, key.name, key.namespace, known.metadata.uid)]
    if not service.spec.selector or service.spec.type == "ExternalName" or service.metadata.deletion_timestamp:
        return ()
    subsets, truncated = _subsets(service, world.pods)
    wanted = copy_of(known) if known is not None else new(ENDPOINTS, key.name, key.namespace)
    wanted.subsets = subsets
    wanted.metadata.labels = _labels(service)
    wanted.metadata.annotations.pop(OVER_CAPACITY, None)
    if truncated:
        wanted.metadata.annotations[OVER_CAPACITY] = "truncated"
    if known is None:
        failed = f"Failed to create endpoint for service {key.namespace}/{key.name}: {{error}}"
        report = Report(service, failed_reason="FailedToCreateEndpoint", failed=failed)
        return [Create(ENDPOINTS, wanted, report, exists_ok=True)]
    if wanted == known:
        return ()
    failed = f"Failed to update endpoint {key.namespace}/{key.name}: {{error}}"
    return [Update(ENDPOINTS, wanted, report=Report(service, failed_reason="FailedToUpdateEndpoint", failed=failed))]


def _labels(service: Service) -> dict[str, str]:
    labels = {name: value for name, value in service.metadata.labels.items() if name != HEADLESS}
    if is_headless(service):
        labels[HEADLESS] = ""
    return labels | {MANAGED_BY: MANAGER}


def _subsets(service: Service, pods: Sequence[Pod]) -> tuple[list[EndpointSubset], bool]:
    """Addresses grouped by equal ports, in a fixed order; and whether some were left out."""
    publish_all = service.spec.publish_not_ready_addresses
    family = (service.spec.ip_families or ["IPv4"])[0]
    groups: dict[tuple[Port, ...], tuple[list[EndpointAddress], list[EndpointAddress]]] = {}
    candidates = [pod for pod in pods if is_candidate(pod, terminating=publish_all) and address_of(pod, family)]
    # Ready ones come first, so that they are not what a limit cuts off.
    candidates.sort(key=lambda pod: (not is_ready(pod), pod.metadata.name))
    for pod in candidates[:ADDRESSES_MAX]:
        ports = ports_of(service, pod)
        if not ports and service.spec.ports:
            continue
        ready, unready = groups.setdefault(tuple(sorted(ports, key=str)), ([], []))
        (ready if publish_all or is_ready(pod) else unready).append(_address(service, pod, family))
    subsets = [
        EndpointSubset(
            addresses=sorted(ready, key=_order),
            not_ready_addresses=sorted(unready, key=_order),
            ports=[
                EndpointPort(name=port.name, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol)
                for port in ports
            ],
        )
        for ports, (ready, unready) in sorted(groups.items(), key=str)
    ]
    return subsets, len(candidates) > ADDRESSES_MAX


def _address(service: Service, pod: Pod, family: str) -> EndpointAddress:
    return EndpointAddress(
        ip=address_of(pod, family) or "",
        hostname=hostname_of(service, pod),
        node_name=pod.spec.node_name or None,
        target_ref=target_reference(pod),
    )


def _order(address: EndpointAddress) -> tuple[str, str]:
    return address.ip, address.target_ref.uid if address.target_ref is not None else ""


SPEC = ControllerSpec(
    name="endpoints-controller",
    alias="endpoint",
    component="endpoint-controller",
    primary=SERVICE,
    read=read,
    plan=plan,
    watches=(Watch(POD, services_of_pod, when=pod_matters), Watch(ENDPOINTS)),
    indexes=(BY_LABEL, BY_SELECTOR),
    workers=5,
)
