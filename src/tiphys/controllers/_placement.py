"""Whether a pod may be on a node, as far as its own words and the node's taints say.

Resources, ports and other pods are the scheduler's to judge.
Source: component-helpers scheduling/corev1/{helpers,nodeaffinity}, core/v1 Toleration.ToleratesTaint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.api.kinds.core.references import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator in ("", "Equal"):
        return toleration.value == taint.value
    return toleration.operator == "Exists"


def untolerated(tolerations: Iterable[Toleration], taints: Iterable[Taint], effects: Collection[str]) -> bool:
    """Whether a taint of one of these effects keeps the pod away."""
    known = list(tolerations)
    return any(
        taint.effect in effects and not any(tolerates(toleration, taint) for toleration in known) for taint in taints
    )


def is_chosen(spec: PodSpec, node: Node) -> bool:
    """Whether the pod's node selector and required node affinity allow the node."""
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in spec.node_selector.items()):
        return False
    affinity = spec.affinity.node_affinity if spec.affinity is not None else None
    wanted = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    return wanted is None or selects(wanted, node)


def selects(selector: NodeSelector, node: Node) -> bool:
    """Whether one of the terms holds; an empty term holds for no node."""
    return any(_holds(term, node) for term in selector.node_selector_terms)


def _holds(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.metadata.name}
    return all(_meets(each, node.metadata.labels) for each in term.match_expressions) and all(
        _meets(each, fields) for each in term.match_fields
    )


def _meets(requirement: NodeSelectorRequirement, labels: dict[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(requirement, value)
    return False


def _compares(requirement: NodeSelectorRequirement, value: str | None) -> bool:
    try:
        bound, number = int(requirement.values[0]), int(value or "")
    except (ValueError, IndexError):
        return False
    return number > bound if requirement.operator == "Gt" else number < bound
