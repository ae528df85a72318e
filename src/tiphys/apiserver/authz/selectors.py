"""The selectors of a request, as authorizers see them: requirements that narrow what is asked for.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/filters/authorization.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.apiserver.request import RequestInfo

_NARROWED = frozenset({"list", "watch", "deletecollection"})


def field_requirements(info: RequestInfo) -> list[dict[str, Any]]:
    """`{key, operator, values}` of each term; empty where there is no selector or it cannot be read."""
    text = _stated(info, "fieldSelector")
    found: list[dict[str, Any]] = []
    for term in text.split(",") if text else ():
        for sign, operator in (("!=", "NotIn"), ("==", "In"), ("=", "In")):
            key, given, value = term.partition(sign)
            if given:
                found.append({"key": key.strip(), "operator": operator, "values": [value]})
                break
        else:
            return []
    return found


def label_requirements(info: RequestInfo) -> list[dict[str, Any]]:
    """The same of the label selector."""
    text = _stated(info, "labelSelector")
    if not text:
        return []
    from tiphys.base import selectors

    try:
        parsed = selectors.LabelSelector.parse(text)
    except ValueError:
        return []
    found = []
    for requirement in parsed.requirements:
        operator, values = _LABEL_OPERATORS.get(requirement.operator, ("", True))
        if operator:
            shown: dict[str, Any] = {"key": requirement.key, "operator": operator}
            if values:
                shown["values"] = sorted(requirement.values)
            found.append(shown)
    return found


_LABEL_OPERATORS = {
    "in": ("In", True), "=": ("In", True), "==": ("In", True), "notin": ("NotIn", True), "!=": ("NotIn", True),
    "exists": ("Exists", False), "!": ("DoesNotExist", False),
}  # fmt: skip


def _stated(info: RequestInfo, parameter: str) -> str:
    if not info.is_resource or info.verb not in _NARROWED:
        return ""
    return next(iter(info.query.get(parameter, ())), "")
