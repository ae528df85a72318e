"""Nodes as the cloud knows them: what their machines are, and nodes of machines that are gone go.

Woken by: nodes; each again every five minutes, and every five seconds while it is silent. Writes: `spec.providerID`,
labels, addresses and two taints of nodes; their deletion.
Races: a node is deleted only when the provider says, after the node fell silent, that it has no machine.
Source: staging/src/k8s.io/cloud-provider/controllers/{node,nodelifecycle}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tiphys.api import codec
from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import Node
from tiphys.client.interface import Client
from tiphys.cloud.provider import CloudError, Instance, Instances
from tiphys.controllers._actions import Action, Delete, Event, Patch, RequeueAfter
from tiphys.controllers._nodes import condition_status
from tiphys.controllers._spec import ControllerSpec, Key, Listers

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
SHUT_DOWN = "node.cloudprovider.kubernetes.io/shutdown"
REFRESH_S = 300.0
LIFECYCLE_S = 5.0
_TYPE = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_ZONE = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_REGION = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")


@dataclass(frozen=True)
class World:
    node: Node
    instance: Instance | None = None
    """None: the provider knows no machine of this node."""
    shut_down: bool = False
    problem: str = ""


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    node = listers.get(NODE, key.name)
    return World(node) if node is not None and node.metadata.deletion_timestamp is None else None


def plan(_key: Key, world: World) -> Sequence[Action]:
    """What the cloud says, into a new node; of a silent node, whether its machine is there at all."""
    node, silent = world.node, condition_status(world.node, "Ready") not in ("", "True")
    new = any(taint.key == UNINITIALIZED for taint in node.spec.taints)
    if world.problem:
        text = f"cannot ask the cloud provider: {world.problem}"
        return [Event(node, "Warning", "CloudProviderFailed", text), RequeueAfter(LIFECYCLE_S if new else REFRESH_S)]
    if world.instance is None:
        return _without_machine(node, silent, new)
    wait = RequeueAfter(LIFECYCLE_S if silent else REFRESH_S)
    metadata, spec = _described(node, world.instance)
    taints = [taint for taint in node.spec.taints if taint.key not in (UNINITIALIZED, SHUT_DOWN)]
    wanted: list[dict[str, Any]] = [codec.to_json(taint) for taint in taints]
    if silent and world.shut_down:
        wanted.append({"key": SHUT_DOWN, "effect": "NoSchedule"})
    if wanted != [codec.to_json(taint) for taint in node.spec.taints]:
        spec["taints"] = wanted
    actions: list[Action] = []
    if metadata or spec:
        # The resource version: taints are a list that others write, too.
        head = {"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version, **metadata}
        actions.append(Patch(NODE, node.metadata.name, "", {"metadata": head, "spec": spec}, "merge"))
        if new:
            text = "Initialized node by cloud-node-controller"
            actions.append(Event(node, "Normal", "Synced", text))
    elif (addresses := [codec.to_json(each) for each in world.instance.addresses]) and addresses != [
        codec.to_json(each) for each in node.status.addresses
    ]:
        patch = {"metadata": {"uid": node.metadata.uid}, "status": {"addresses": addresses}}
        actions.append(Patch(NODE, node.metadata.name, "", patch, "merge", subresource="status"))
    return [*actions, wait]


def _without_machine(node: Node, silent: bool, new: bool) -> Sequence[Action]:
    if not silent or new:
        return [RequeueAfter(REFRESH_S)]
    text = f"Deleting node {node.metadata.name} because it does not exist in the cloud provider"
    event = Event(node, "Normal", "DeletingNode", text)
    return [event, Delete(NODE, node.metadata.name, "", node.metadata.uid)]


def _described(node: Node, instance: Instance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Changes of metadata and spec; what the node has already is left out."""
    labels = dict(instance.labels)
    for keys, value in ((_TYPE, instance.instance_type), (_ZONE, instance.zone), (_REGION, instance.region)):
        labels.update(dict.fromkeys(keys, value) if value else {})
    labels = {key: value for key, value in labels.items() if node.metadata.labels.get(key) != value}
    spec = {"providerID": instance.provider_id} if instance.provider_id and not node.spec.provider_id else {}
    return ({"labels": labels} if labels else {}), spec


def spec(instances: Instances) -> ControllerSpec[World]:
    """The controller over a provider's machines."""

    async def observe(_client: Client, _key: Key, world: World) -> World:
        try:
            instance = await instances.describe(world.node)
            silent = condition_status(world.node, "Ready") not in ("", "True")
            off = instance is not None and silent and await instances.is_shut_down(world.node)
        except CloudError as error:
            return replace(world, problem=str(error))
        return replace(world, instance=instance, shut_down=off)

    return ControllerSpec(
        name="cloud-node-controller", alias="cloud-node", primary=NODE, read=read, observe=observe, plan=plan, workers=2
    )
