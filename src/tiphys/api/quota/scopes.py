"""Which objects a quota is about: its scopes and scope selector.

Source: pkg/quota/v1/evaluator/core/{pods,persistent_volume_claims}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tiphys.api.kinds.core.pod import facts

TERMINATING, NOT_TERMINATING = "Terminating", "NotTerminating"
BEST_EFFORT, NOT_BEST_EFFORT = "BestEffort", "NotBestEffort"
PRIORITY_CLASS, CROSS_NAMESPACE = "PriorityClass", "CrossNamespacePodAffinity"
VOLUME_ATTRIBUTES_CLASS = "VolumeAttributesClass"


class Scope(NamedTuple):
    """One condition; all of a quota's must hold."""

    name: str
    operator: str = "Exists"
    values: tuple[str, ...] = ()


def scopes_of(spec: Any) -> tuple[Scope, ...]:
    """The scopes of a ResourceQuotaSpec, listed and selected."""
    found = [Scope(name) for name in spec.scopes]
    if spec.scope_selector is not None:
        found += [Scope(e.scope_name, e.operator, tuple(e.values)) for e in spec.scope_selector.match_expressions]
    return tuple(found)


def none_match(_scope: Scope, _obj: Any) -> bool:
    """Objects that no scope is about."""
    return False


def pod_matches(scope: Scope, pod: Any) -> bool:
    if scope.name == TERMINATING:
        return is_terminating(pod)
    if scope.name == NOT_TERMINATING:
        return not is_terminating(pod)
    if scope.name == BEST_EFFORT:
        return facts.qos_class(pod) == "BestEffort"
    if scope.name == NOT_BEST_EFFORT:
        return facts.qos_class(pod) != "BestEffort"
    if scope.name == PRIORITY_CLASS:
        name = pod.spec.priority_class_name
        return selects(scope, [name] if name else [])
    if scope.name == CROSS_NAMESPACE:
        return any(term.namespaces or term.namespace_selector is not None for term in _affinity_terms(pod))
    return False


def claim_matches(scope: Scope, claim: Any) -> bool:
    if scope.name != VOLUME_ATTRIBUTES_CLASS:
        return False
    return selects(scope, attributes_classes(claim))


def attributes_classes(claim: Any) -> list[str]:
    """Every VolumeAttributesClass that the claim has, wants, or is being moved to."""
    status = claim.status
    target = status.modify_volume_status.target_volume_attributes_class_name if status.modify_volume_status else ""
    names = (claim.spec.volume_attributes_class_name, status.current_volume_attributes_class_name, target)
    return sorted({name for name in names if name})


def is_terminating(pod: Any) -> bool:
    """Whether the pod has a deadline: it will end by itself."""
    return pod.spec.active_deadline_seconds is not None and pod.spec.active_deadline_seconds >= 0


def selects(scope: Scope, values: Sequence[str]) -> bool:
    """Whether a selector over one label holds for any of its values, or for its absence."""
    if scope.operator == "Exists":
        return bool(values)
    if scope.operator == "DoesNotExist":
        return not values
    if scope.operator == "In":
        return any(value in scope.values for value in values)
    if scope.operator == "NotIn":
        return not values or any(value not in scope.values for value in values)
    return False


def _affinity_terms(pod: Any) -> Iterable[Any]:
    affinity = pod.spec.affinity
    if affinity is None:
        return
    for side in (affinity.pod_affinity, affinity.pod_anti_affinity):
        if side is None:
            continue
        yield from side.required_during_scheduling_ignored_during_execution
        for weighted in side.preferred_during_scheduling_ignored_during_execution:
            yield weighted.pod_affinity_term
