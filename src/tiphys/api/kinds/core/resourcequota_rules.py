"""Validation and columns of resource quotas. Source: pkg/apis/core/validation/validation.go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.api.errors import FieldError, invalid, required
from tiphys.api.kinds.core.resource_names import COMPUTE, is_quota_standard, quota_amount, quota_resource_name

_POD_SCOPES = ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity")
_SCOPES = (*_POD_SCOPES, "BestEffort", "VolumeAttributesClass")
_EXISTS_ONLY = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_CLAIMS = frozenset({"persistentvolumeclaims", "requests.storage"})
_PAIRS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


def validate(obj: Any, old: Any) -> Iterator[FieldError]:
    spec = obj.spec
    yield from _amounts("spec.hard", spec.hard)
    yield from _scopes(spec)
    if spec.scope_selector is not None:
        yield from _selector(spec)
    if old is not None and set(spec.scopes) != set(old.spec.scopes):
        yield invalid("spec.scopes", spec.scopes, "field is immutable")


def validate_status(obj: Any, _old: Any) -> Iterator[FieldError]:
    if not obj.metadata.resource_version:
        yield required("resourceVersion")
    yield from _amounts("status.hard", obj.status.hard)
    yield from _amounts("status.used", obj.status.used)


def _amounts(path: str, amounts: dict[str, Any]) -> Iterator[FieldError]:
    for name, amount in amounts.items():
        at = f"{path}[{name}]"
        yield from quota_resource_name(at, name)
        yield from quota_amount(at, name, amount)


def _applies(scope: str, name: str) -> bool:
    """Whether a quota of this resource may be limited to that scope."""
    if scope in _POD_SCOPES:
        return name == "pods" or name in COMPUTE
    if scope == "BestEffort":
        return name == "pods"
    return scope != "VolumeAttributesClass" or name in _CLAIMS


def _scopes(spec: Any) -> Iterator[FieldError]:
    path = "spec.scopes"
    for scope in spec.scopes:
        if scope not in _SCOPES:
            yield invalid(path, spec.scopes, "unsupported scope")
        for name in sorted(spec.hard):
            if is_quota_standard(name) and not _applies(scope, name):
                yield invalid(path, spec.scopes, "unsupported scope applied to resource")
    yield from _conflicts(path, spec, set(spec.scopes))


def _selector(spec: Any) -> Iterator[FieldError]:
    path = "spec.scopeSelector.matchExpressions"
    expressions = spec.scope_selector.match_expressions
    for expression in expressions:
        scope = expression.scope_name
        if scope not in _SCOPES:
            yield invalid(f"{path}.scopeName", scope, "unsupported scope")
        for name in sorted(spec.hard):
            if is_quota_standard(name) and not _applies(scope, name):
                yield invalid(path, spec.scope_selector, "unsupported scope applied to resource")
        yield from _expression(path, expression)
    yield from _conflicts(path, spec, {expression.scope_name for expression in expressions})


def _expression(path: str, expression: Any) -> Iterator[FieldError]:
    operator, values = expression.operator, expression.values
    if expression.scope_name in _EXISTS_ONLY and operator != "Exists":
        yield invalid(
            f"{path}.operator",
            operator,
            "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
            "ResourceQuotaScopeCrossNamespacePodAffinity",
        )
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield required(f"{path}.values", text)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield invalid(f"{path}.values", values, text)
    else:
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")


def _conflicts(path: str, spec: Any, found: set[str]) -> Iterator[FieldError]:
    for pair in _PAIRS:
        if found.issuperset(pair):
            yield invalid(path, spec.scopes, "conflicting scopes")


def used_text(obj: Any, *, limits: bool) -> str:
    """`pods: 1/2, requests.cpu: 0/1`: of limits, or of everything else."""
    status = obj.status
    names = [name for name in sorted(status.hard) if name.startswith("limits.") == limits]
    return ", ".join(f"{name}: {status.used.get(name, '0')}/{status.hard[name]}" for name in names)
