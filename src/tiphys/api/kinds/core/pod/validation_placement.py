"""What affinity, tolerations and spreading may say.

Source: pkg/apis/core/validation/validation.go: validateAffinity, ValidateTolerations,
validateTopologySpreadConstraints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tiphys.api import features, names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiphys.api.kinds.core.checks import taint_effect
from tiphys.api.kinds.core.pod.placement import (
    Affinity,
    NodeAffinity,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    TopologySpreadConstraint,
)
from tiphys.api.kinds.core.references import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Toleration
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import each, validate_selector

_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_WEIGHT = "must be in the range 1-100"
_POSITIVE = "must be greater than zero"
_NOT_OPERATOR = "not a valid selector operator"


def validate_affinity(affinity: Affinity | None, path: str) -> Iterator[FieldError]:
    if affinity is None:
        return
    if affinity.node_affinity is not None:
        yield from _node_affinity(affinity.node_affinity, f"{path}.nodeAffinity")
    if affinity.pod_affinity is not None:
        yield from _pod_affinity(affinity.pod_affinity, f"{path}.podAffinity")
    if affinity.pod_anti_affinity is not None:
        yield from _pod_affinity(affinity.pod_anti_affinity, f"{path}.podAntiAffinity")


def _node_affinity(affinity: NodeAffinity, path: str) -> Iterator[FieldError]:
    needed = affinity.required_during_scheduling_ignored_during_execution
    if needed is not None:
        yield from validate_node_selector(needed, f"{path}.{_REQUIRED}")
    for index, term in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        at = f"{path}.{_PREFERRED}[{index}]"
        if not 0 < term.weight <= 100:
            yield invalid(f"{at}.weight", term.weight, _WEIGHT)
        yield from _node_term(term.preference, f"{at}.preference", check_values=False)


def validate_node_selector(selector: NodeSelector, path: str) -> Iterator[FieldError]:
    at = f"{path}.nodeSelectorTerms"
    if not selector.node_selector_terms:
        yield required(at, "must have at least one node selector term")
    for index, term in enumerate(selector.node_selector_terms):
        yield from _node_term(term, f"{at}[{index}]")


def _node_term(term: NodeSelectorTerm, path: str, check_values: bool = True) -> Iterator[FieldError]:
    for index, requirement in enumerate(term.match_expressions):
        yield from _node_requirement(requirement, f"{path}.matchExpressions[{index}]", check_values)
    for index, requirement in enumerate(term.match_fields):
        yield from _field_requirement(requirement, f"{path}.matchFields[{index}]")


def _node_requirement(requirement: NodeSelectorRequirement, at: str, check_values: bool) -> Iterator[FieldError]:
    operator, values = requirement.operator, requirement.values
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield forbidden(f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield required(f"{at}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield invalid(f"{at}.operator", operator, _NOT_OPERATOR)
    yield from each(f"{at}.key", requirement.key, names.qualified_name(requirement.key))
    for index, value in enumerate(values if check_values else ()):
        yield from each(f"{at}.values[{index}]", value, names.label_value(value))


def _field_requirement(requirement: NodeSelectorRequirement, at: str) -> Iterator[FieldError]:
    if requirement.operator not in ("In", "NotIn"):
        yield invalid(f"{at}.operator", requirement.operator, _NOT_OPERATOR)
    elif len(requirement.values) != 1:
        why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f"{at}.values", why)
    if requirement.key != "metadata.name":
        yield invalid(f"{at}.key", requirement.key, "not a valid field selector key")
        return
    for index, value in enumerate(requirement.values):
        yield from each(f"{at}.values[{index}]", value, names.dns_subdomain(value))


def _pod_affinity(affinity: PodAffinity | PodAntiAffinity, path: str) -> Iterator[FieldError]:
    for index, term in enumerate(affinity.required_during_scheduling_ignored_during_execution):
        yield from _pod_term(term, f"{path}.{_REQUIRED}[{index}]")
    for index, weighted in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        at = f"{path}.{_PREFERRED}[{index}]"
        if not 0 < weighted.weight <= 100:
            yield invalid(f"{at}.weight", weighted.weight, _WEIGHT)
        yield from _pod_term(weighted.pod_affinity_term, f"{at}.podAffinityTerm")


def _pod_term(term: PodAffinityTerm, at: str) -> Iterator[FieldError]:
    yield from validate_selector(term.label_selector, f"{at}.labelSelector")
    yield from validate_selector(term.namespace_selector, f"{at}.namespaceSelector")
    for name in term.namespaces:
        yield from each(f"{at}.namespace", name, names.dns_label(name))
    yield from _label_keys(term.match_label_keys, term.mismatch_label_keys, term.label_selector, at)
    if not term.topology_key:
        yield required(f"{at}.topologyKey", "can not be empty")
    yield from each(f"{at}.topologyKey", term.topology_key, names.qualified_name(term.topology_key))


def _label_keys(match: list[str], mismatch: list[str], selector: LabelSelector | None, at: str) -> Iterator[FieldError]:
    for title, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and selector is None:
            yield forbidden(f"{at}.{title}", "must not be specified when labelSelector is not set")
        for index, key in enumerate(keys):
            yield from each(f"{at}.{title}[{index}]", key, names.qualified_name(key))
    for index, key in enumerate(match):
        if key in mismatch:
            yield invalid(f"{at}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys")


def validate_tolerations(tolerations: list[Toleration], path: str) -> Iterator[FieldError]:
    for index, toleration in enumerate(tolerations):
        at = f"{path}[{index}]"
        if toleration.key:
            yield from each(f"{at}.key", toleration.key, names.qualified_name(toleration.key))
        elif toleration.operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield invalid(f"{at}.operator", toleration.operator, why)
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            yield invalid(f"{at}.effect", toleration.effect, why)
        yield from _toleration_value(toleration, at)
        yield from taint_effect(f"{at}.effect", toleration.effect, allow_empty=True) if toleration.effect else ()


def _toleration_value(toleration: Toleration, at: str) -> Iterator[FieldError]:
    operator, value = toleration.operator, toleration.value
    if operator in ("", "Equal"):
        wrong = names.label_value(value)
        if wrong:
            yield invalid(f"{at}.operator", value, ";".join(wrong))
    elif operator == "Exists":
        if value:
            yield invalid(f"{at}.operator", value, "value must be empty when `operator` is 'Exists'")
    elif operator in ("Gt", "Lt"):
        if not features.enabled("TaintTolerationComparisonOperators"):
            yield not_supported(f"{at}.operator", operator, ["Equal", "Exists", "Lt", "Gt"])
        elif not re.fullmatch(r"0|-?[1-9][0-9]{0,18}", value):
            yield invalid(f"{at}.value", value, "must be a valid decimal integer in canonical form")
    else:
        yield not_supported(f"{at}.operator", operator, ["Equal", "Exists"])


def validate_spreading(constraints: list[TopologySpreadConstraint], path: str) -> Iterator[FieldError]:
    actions = ("DoNotSchedule", "ScheduleAnyway")
    for index, constraint in enumerate(constraints):
        at, action = f"{path}[{index}]", constraint.when_unsatisfiable
        if constraint.max_skew <= 0:
            yield invalid(f"{at}.maxSkew", constraint.max_skew, _POSITIVE)
        if not constraint.topology_key:
            yield required(f"{at}.topologyKey", "can not be empty")
        if action not in actions:
            yield not_supported(f"{at}.whenUnsatisfiable", action, actions)
        same = [c for c in constraints[index + 1 :] if (c.topology_key, c.when_unsatisfiable) == _identity(constraint)]
        if same:
            yield duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{constraint.topology_key}, {action}}}")
        if constraint.min_domains is not None:
            if constraint.min_domains <= 0:
                yield invalid(f"{at}.minDomains", constraint.min_domains, _POSITIVE)
            if action != "DoNotSchedule":
                why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                yield invalid(f"{at}.minDomains", constraint.min_domains, why)
        policies = {
            "nodeAffinityPolicy": constraint.node_affinity_policy,
            "nodeTaintsPolicy": constraint.node_taints_policy,
        }
        for title, policy in policies.items():
            if policy is not None and policy not in ("Honor", "Ignore"):
                yield not_supported(f"{at}.{title}", policy, ["Honor", "Ignore"])
        yield from _label_keys(constraint.match_label_keys, [], constraint.label_selector, at)
        yield from validate_selector(constraint.label_selector, f"{at}.labelSelector")


def _identity(constraint: TopologySpreadConstraint) -> tuple[str, str]:
    return constraint.topology_key, constraint.when_unsatisfiable
