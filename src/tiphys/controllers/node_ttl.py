"""Tells kubelets how long they may keep Secrets and ConfigMaps: longer in larger clusters.

Woken by: nodes. Writes: the annotation `node.alpha.kubernetes.io/ttl` of nodes, in seconds.
Races: none; a node that was judged at another size of the cluster is judged again when it is written next.
Source: pkg/controller/ttl/ttl_controller.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import Node
from tiphys.controllers._actions import Action, Patch
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch

ANNOTATION = "node.alpha.kubernetes.io/ttl"
STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 1 << 31, 300))
"""From, to how many nodes; seconds. Steps overlap, so that a cluster at their edge does not change its mind."""
ALL = Index(NODE, "all", lambda _node: ("",))


@dataclass(frozen=True)
class World:
    node: Node
    nodes: int
    """Of the cluster."""


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    node = listers.get(NODE, key.name)
    return World(node, listers.count(NODE, ALL.name, "")) if node is not None else None


def plan(_key: Key, world: World) -> Sequence[Action]:
    metadata = world.node.metadata
    known = metadata.annotations.get(ANNOTATION, "")
    fitting = [str(ttl_s) for low, high, ttl_s in STEPS if low <= world.nodes <= high]
    if known in fitting:
        return ()
    patch = {"metadata": {"uid": metadata.uid, "annotations": {ANNOTATION: fitting[0]}}}
    return [Patch(NODE, metadata.name, "", patch, "merge")]


def _matters(old: Node | None, new: Node | None) -> bool:
    if old is None or new is None:
        return True
    return old.metadata.annotations.get(ANNOTATION) != new.metadata.annotations.get(ANNOTATION)


SPEC = ControllerSpec(
    name="ttl-controller", alias="ttl", primary=NODE, read=read, plan=plan, watches=(Watch(NODE, when=_matters),),
    indexes=(ALL,),
)  # fmt: skip
