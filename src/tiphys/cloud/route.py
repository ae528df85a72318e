"""Keeps a route of the cloud for each node's pod addresses, and says so in the node's condition NetworkUnavailable.

Woken by: nodes. Writes: that condition; through the provider, routes.
Races: a node that goes may come back under its name; then its range is led to it anew.
Source: staging/src/k8s.io/cloud-provider/controllers/route/route_controller.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import Node
from tiphys.base.clock import rfc3339
from tiphys.client.interface import Client
from tiphys.cloud.provider import CloudError, Routes
from tiphys.controllers._actions import Action, Event, Patch, RequeueAfter
from tiphys.controllers._nodes import condition_of
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

RETRY_S = 10.0
CONDITION = "NetworkUnavailable"
CREATED, NOT_CREATED = ("False", "RouteCreated"), ("True", "NoRouteCreated")


@dataclass(frozen=True)
class World:
    name: str
    node: Node | None
    now: datetime
    problem: str = ""


def _ranges(node: Node) -> tuple[str, ...]:
    return tuple(node.spec.pod_cidrs) or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    return World(key.name, listers.get(NODE, key.name), now)


def plan(_key: Key, world: World) -> Sequence[Action]:
    node = world.node
    if node is None:
        return [RequeueAfter(RETRY_S)] if world.problem else ()
    if not _ranges(node):
        return ()
    actions: list[Action] = []
    if world.problem:
        actions = [Event(node, "Warning", "FailedToCreateRoute", world.problem), RequeueAfter(RETRY_S)]
    wanted = NOT_CREATED if world.problem else CREATED
    known = condition_of(node, CONDITION)
    if known is None or (known.status, known.reason) != wanted:
        now = rfc3339(world.now)
        text = "Node created without a route" if world.problem else "RouteController created a route"
        condition = {
            "type": CONDITION, "status": wanted[0], "reason": wanted[1], "message": text, "lastTransitionTime": now,
            "lastHeartbeatTime": now,
        }  # fmt: skip
        patch = {"metadata": {"uid": node.metadata.uid}, "status": {"conditions": [condition]}}
        actions.append(Patch(NODE, world.name, "", patch, subresource="status"))
    return actions


def _matters(old: Node | None, new: Node | None) -> bool:
    """Nodes are written often; addresses and ranges are what routes are made of."""
    if old is None or new is None:
        return True
    return (_ranges(old), old.status.addresses, condition_of(old, CONDITION)) != (
        _ranges(new), new.status.addresses, condition_of(new, CONDITION),
    )  # fmt: skip


def spec(routes: Routes) -> ControllerSpec[World]:
    """The controller over a provider's routes."""

    async def observe(_client: Client, _key: Key, world: World) -> World:
        try:
            if world.node is None:
                await routes.delete(world.name)
            else:
                for cidr in _ranges(world.node):
                    await routes.ensure(world.node, cidr)
        except CloudError as error:
            where = ", ".join(_ranges(world.node)) if world.node is not None else ""
            return replace(world, problem=f"Could not create route {where} for node {world.name}: {error}")
        return world

    return ControllerSpec(
        name="node-route-controller",
        alias="route",
        component="route_controller",
        primary=NODE,
        read=read,
        observe=observe,
        plan=plan,
        watches=(Watch(NODE, when=_matters),),
    )
