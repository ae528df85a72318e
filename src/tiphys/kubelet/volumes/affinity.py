"""Whether a PersistentVolume may be used on this node. Pure.

Source: staging/src/k8s.io/component-helpers/storage/volume/helpers.go (CheckNodeAffinity).
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.kinds.core.references import NodeSelector, NodeSelectorRequirement


def node_matches(selector: NodeSelector, name: str, labels: Mapping[str, str]) -> bool:
    """Whether any term holds; a term without requirements never does."""
    for term in selector.node_selector_terms:
        if not term.match_expressions and not term.match_fields:
            continue
        expressions = all(_holds(wanted, labels.get(wanted.key)) for wanted in term.match_expressions)
        fields = all(_holds(wanted, name if wanted.key == "metadata.name" else None) for wanted in term.match_fields)
        if expressions and fields:
            return True
    return False


def _holds(wanted: NodeSelectorRequirement, value: str | None) -> bool:
    match wanted.operator:
        case "In":
            return value is not None and value in wanted.values
        case "NotIn":
            return value is None or value not in wanted.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(wanted.operator, value, wanted.values)
    return False


def _compares(operator: str, value: str | None, bounds: list[str]) -> bool:
    if value is None or len(bounds) != 1:
        return False
    try:
        number, bound = int(value), int(bounds[0])
    except ValueError:
        return False
    return number > bound if operator == "Gt" else number < bound
