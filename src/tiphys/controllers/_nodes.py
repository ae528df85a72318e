"""What controllers that look after nodes share. Source: pkg/util/node, component-helpers node/util."""

from __future__ import annotations

from tiphys.api.kinds import POD
from tiphys.api.kinds.core.node import Node, NodeCondition
from tiphys.controllers._spec import Index

BY_NODE = Index(POD, "node", lambda pod: (pod.spec.node_name,))
"""Pods by the node that they are bound to; under the empty name, those that are bound to none."""


def condition_of(node: Node, kind: str) -> NodeCondition | None:
    return next((condition for condition in node.status.conditions if condition.type == kind), None)


def condition_status(node: Node, kind: str) -> str:
    """`True`, `False` or `Unknown`; empty where the node never said."""
    condition = condition_of(node, kind)
    return condition.status if condition is not None else ""
