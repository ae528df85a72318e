"""Plugins that look at each node by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.property.scheduler.reference.world import World

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.facts import amounts
from tiphys.scheduler.nodematch import node_matches, term_matches
from tiphys.scheduler.plugin import SCORE_MAX
from tiphys.scheduler.plugins import node_unschedulable
from tiphys.scheduler.tolerance import tolerates, unpreferred, untolerated


def taint_keys(node: Node) -> list[tuple[str, str, str]]:
    return [(t.key, t.value, t.effect) for t in node.spec.taints]


def tolerated(world: World, node: Node) -> bool:
    return untolerated(world.pod.shape.tolerations, taint_keys(node)) == 0


def affine(world: World, node: Node) -> bool:
    return node_matches(world.pod.shape, node.metadata.name, node.metadata.labels)


def cordon_tolerated(world: World, node: Node) -> bool:
    return not node.spec.unschedulable or tolerates(world.pod.shape.tolerations, node_unschedulable.TAINT)


def ports_free(world: World, node: Node) -> bool:
    used = [port for pod in world.on[node.metadata.name] for port in pod.shape.host_ports]
    return not any(mine[:2] == other[:2] for mine in world.pod.shape.host_ports for other in used)


def room(world: World, node: Node) -> bool:
    name, capacity = node.metadata.name, amounts(node.status.allocatable)
    return len(world.on[name]) < capacity["pods"] and all(
        capacity.get(r, 0) - world.used(name, r) >= q for r, q in world.pod.shape.requests.items()
    )


def least_allocated(world: World, node: Node) -> int:
    capacity, shape = amounts(node.status.allocatable), world.pod.shape
    on = world.on[node.metadata.name]
    used = {
        "cpu": sum(p.shape.cpu_scored for p in on) + shape.cpu_scored,
        "memory": sum(p.shape.memory_scored for p in on) + shape.memory_scored,
    }
    shares = [max(capacity[r] - u, 0) * SCORE_MAX // capacity[r] for r, u in used.items() if capacity[r]]
    return sum(shares) // len(shares) if shares else 0


def balance(world: World, node: Node) -> int:
    capacity, name = amounts(node.status.allocatable), node.metadata.name
    asked = {r: world.pod.shape.requests.get(r, 0) for r in ("cpu", "memory")}

    def evenness(more: Mapping[str, int]) -> int:
        shares = [min((world.used(name, r) + more.get(r, 0)) / capacity[r], 1.0) for r in asked if capacity[r]]
        return int((1 - abs((shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0)) * SCORE_MAX)

    return SCORE_MAX // 2 + (SCORE_MAX // 2 + evenness(asked) - evenness({})) // 2


def preference(world: World, node: Node) -> int:
    affinity = world.pod.shape.node_affinity
    terms = affinity.preferred_during_scheduling_ignored_during_execution if affinity else []
    return sum(t.weight for t in terms if term_matches(t.preference, node.metadata.name, node.metadata.labels))


def dislike(world: World, node: Node) -> int:
    return unpreferred(world.pod.shape.tolerations, taint_keys(node))


FILTERS: dict[str, Callable[[World, Node], bool]] = {
    "NodeUnschedulable": cordon_tolerated,
    "NodeName": lambda world, node: world.pod.node in ("", node.metadata.name),
    "TaintToleration": tolerated,
    "NodeAffinity": affine,
    "NodePorts": ports_free,
    "NodeResourcesFit": room,
    "NodeDeclaredFeatures": lambda world, node: world.pod.shape.features <= set(node.status.declared_features),
}
SCORES: dict[str, Callable[[World, Node], int]] = {
    "TaintToleration": dislike,
    "NodeAffinity": preference,
    "NodeResourcesFit": least_allocated,
    "NodeResourcesBalancedAllocation": balance,
}
