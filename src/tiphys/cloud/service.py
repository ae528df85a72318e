"""Keeps a load balancer for each Service of type LoadBalancer, and says in its status where it takes traffic.

Woken by: Services; for all of them, nodes that come, go, or become ready or unready. Writes: the finalizer and the
status of Services; through the provider, load balancers.
Races: the finalizer is there before a load balancer is made, so a Service never goes without it. One Service is served
at a time, and only when all earlier writes are seen, so that a provider may read what is taken off the Services.
Source: staging/src/k8s.io/cloud-provider/controllers/service/controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tiphys.api.kinds import NODE, SERVICE
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.service import LoadBalancerIngress, Service
from tiphys.api.meta.schema import copy_of
from tiphys.client.interface import Client
from tiphys.cloud.provider import CloudError, LoadBalancers
from tiphys.controllers._actions import Action, Event, Remember, RequeueAfter, Update, UpdateStatus
from tiphys.controllers._nodes import condition_status
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
GOING = "ToBeDeletedByClusterAutoscaler"
RETRY_FIRST_S, RETRY_CAP_S = 5.0, 300.0


@dataclass(frozen=True)
class World:
    service: Service
    nodes: tuple[Node, ...]
    """Those that may get traffic."""
    failures: int
    """Times in a row that the provider could not do it."""
    ingress: tuple[LoadBalancerIngress, ...] = ()
    """What the provider says."""
    problem: str = ""
    """Why it could not."""


def wants(service: Service) -> bool:
    """Whether a load balancer of ours is wanted: those of a class are others' business."""
    spec = service.spec
    wanted = spec.type == "LoadBalancer" and spec.load_balancer_class is None
    return wanted and service.metadata.deletion_timestamp is None


def serves(node: Node) -> bool:
    """Whether a node may get traffic from load balancers."""
    metadata = node.metadata
    if metadata.deletion_timestamp is not None or any(taint.key == GOING for taint in node.spec.taints):
        return False
    excluded = metadata.labels.get(EXCLUDED, "false").lower()
    return excluded in ("false", "f", "0") and condition_status(node, "Ready") == "True"


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    service = listers.get(SERVICE, key.name, key.namespace)
    if service is None or not (wants(service) or FINALIZER in service.metadata.finalizers):
        return None
    nodes = sorted((node for node in listers.list(NODE) if serves(node)), key=lambda node: node.metadata.name)
    return World(service, tuple(nodes), listers.remembered(key) or 0)


def plan(_key: Key, world: World) -> Sequence[Action]:
    service = world.service
    if world.problem:
        delay_s = min(RETRY_FIRST_S * 2**world.failures, RETRY_CAP_S)
        text = f"Error syncing load balancer: {world.problem}"
        failed = Event(service, "Warning", "SyncLoadBalancerFailed", text)
        return [failed, Remember(world.failures + 1), RequeueAfter(delay_s)]
    if not wants(service):
        return _given_up(service)
    if FINALIZER not in service.metadata.finalizers:
        changed = copy_of(service)
        changed.metadata.finalizers = [*changed.metadata.finalizers, FINALIZER]
        return [
            Event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer"),
            Update(SERVICE, changed),
        ]
    actions: list[Action] = [Remember(0)] if world.failures else []
    if not world.nodes:
        text = "There are no available nodes for LoadBalancer"
        actions.append(Event(service, "Warning", "UnAvailableLoadBalancer", text))
    changed = copy_of(service)
    changed.status.load_balancer.ingress = list(world.ingress)
    if changed != service:
        actions += [
            UpdateStatus(SERVICE, changed),
            Event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer"),
        ]
    return actions


def _given_up(service: Service) -> Sequence[Action]:
    """The provider has taken the load balancer away."""
    changed = copy_of(service)
    if service.status.load_balancer.ingress and service.metadata.deletion_timestamp is None:
        changed.status.load_balancer.ingress = []
        return [UpdateStatus(SERVICE, changed)]
    changed.metadata.finalizers = [each for each in changed.metadata.finalizers if each != FINALIZER]
    return [
        Update(SERVICE, changed),
        Event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer"),
    ]


# --- what wakes a Service


def _services(listers: Listers, _node: Node) -> Iterable[Key]:
    for service in listers.list(SERVICE):
        if wants(service):
            yield Key(service.metadata.namespace, service.metadata.name)


def _serving_changed(old: Node | None, new: Node | None) -> bool:
    return (old is not None and serves(old)) != (new is not None and serves(new))


def spec(balancers: LoadBalancers) -> ControllerSpec[World]:
    """The controller over a provider's load balancers."""

    async def observe(_client: Client, _key: Key, world: World) -> World:
        """Has the provider do its part. That may be repeated, so it is a look at what is there, made right."""
        service = world.service
        try:
            if not wants(service):
                await balancers.delete(service)
            elif FINALIZER in service.metadata.finalizers:
                return replace(world, ingress=tuple(await balancers.ensure(service, world.nodes)))
        except CloudError as error:
            what = "ensure" if wants(service) else "delete"
            return replace(world, problem=f"failed to {what} load balancer: {error}")
        return world

    return ControllerSpec(
        name="service-lb-controller",
        alias="service",
        component="service-controller",
        primary=SERVICE,
        read=read,
        observe=observe,
        plan=plan,
        watches=(Watch(NODE, _services, when=_serving_changed),),
        serial=True,
    )
