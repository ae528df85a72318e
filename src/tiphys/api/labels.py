"""Label selectors as they stand in objects. Source: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.meta import types
from tiphys.base.selectors import LabelSelector, Operator, Requirement, requirement

NOTHING = LabelSelector(nothing=True)
EVERYTHING = LabelSelector()

_OPERATORS: dict[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def selector_of(selector: types.LabelSelector | None) -> LabelSelector:
    """The predicate of a LabelSelector: None matches nothing, an empty one everything. Raises ValueError."""
    if selector is None:
        return NOTHING
    requirements = [requirement(key, "=", (value,)) for key, value in selector.match_labels.items()]
    for expression in selector.match_expressions:
        operator = _OPERATORS.get(expression.operator)
        if operator is None:
            raise ValueError(f'"{expression.operator}" is not a valid label selector operator')
        requirements.append(requirement(expression.key, operator, expression.values))
    return LabelSelector(requirements)


def selector_of_map(labels: Mapping[str, str] | None) -> LabelSelector:
    """The predicate of a plain map (`Service.spec.selector`): empty matches everything, as upstream.

    Values were validated when they were written, so they are not checked again.
    """
    return LabelSelector(Requirement(key, "=", (value,)) for key, value in (labels or {}).items())


def text_of(selector: types.LabelSelector | None) -> str:
    """The selector as `kubectl` shows it: `<none>` when empty, `<error>` when malformed."""
    try:
        return str(selector_of(selector)) or "<none>"
    except ValueError:
        return "<error>"
