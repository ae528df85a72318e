"""Defaults and validation of admission policies and their bindings.

An expression that an old policy had stays allowed. Compiling is the bulk of the work, so what is unchanged is not
compiled again.

Source: pkg/apis/admissionregistration/{v1/defaults.go,validation/validation.go}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required, too_many
from tiphys.api.kind import Column
from tiphys.api.kinds.admissionregistration.types import MatchResources, ParamKind, ParamRef
from tiphys.api.kinds.admissionregistration.webhook_rules import validate_rule
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import each, validate_selector

if TYPE_CHECKING:
    from tiphys.api.cel.admission import Composition
    from tiphys.api.cel.types import Type

MUTATING_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
_MATCH_POLICIES = ("Equivalent", "Exact")
_FAILURE_POLICIES = ("Fail", "Ignore")
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
     "let", "loop", "package", "namespace", "return", "var", "void", "while")
)  # fmt: skip
_CONDITIONS_MAX = 64


def default_match(resources: MatchResources | None) -> None:
    if resources is None:
        return
    resources.match_policy = resources.match_policy or "Equivalent"
    if resources.namespace_selector is None:
        resources.namespace_selector = LabelSelector()
    if resources.object_selector is None:
        resources.object_selector = LabelSelector()
    for rule in (*resources.resource_rules, *resources.exclude_resource_rules):
        if rule.scope is None:
            rule.scope = "*"


def failure_policy(policy: str | None) -> Iterator[FieldError]:
    if policy is None:
        yield required("spec.failurePolicy")
    elif policy not in _FAILURE_POLICIES:
        yield not_supported("spec.failurePolicy", policy, _FAILURE_POLICIES)


def param_kind(kind: ParamKind | None) -> Iterator[FieldError]:
    if kind is None:
        return
    path = "spec.paramKind"
    text = kind.api_version
    group, _, version = text.rpartition("/")
    if not text:
        yield required(f"{path}.apiVersion")
    elif text.count("/") > 1:
        yield invalid(f"{path}.apiVersion", text, f"unexpected GroupVersion string: {text}")
    else:
        problems = names.dns_subdomain(group) if group else []
        if problems:
            yield invalid(f"{path}.apiVersion", group, ",".join(problems))
        if not version:
            yield invalid(f"{path}.apiVersion", text, "version must be specified")
        elif names.dns_label_1035(version):
            yield invalid(f"{path}.apiVersion", version, ",".join(names.dns_label_1035(version)))
    if not kind.kind:
        yield required(f"{path}.kind")
        return
    problems = names.dns_label_1035(kind.kind.lower())
    if problems:
        text = "may have mixed case, but should otherwise match: " + ",".join(problems)
        yield invalid(f"{path}.kind", kind.kind, text)


def match_resources(resources: MatchResources | None, path: str) -> Iterator[FieldError]:
    if resources is None:
        return
    if resources.match_policy is None:
        yield required(f"{path}.matchPolicy")
    elif resources.match_policy not in _MATCH_POLICIES:
        yield not_supported(f"{path}.matchPolicy", resources.match_policy, _MATCH_POLICIES)
    for field, selector in (
        ("namespaceSelector", resources.namespace_selector),
        ("objectSelector", resources.object_selector),
    ):
        if selector is None:
            yield required(f"{path}.{field}")
        else:
            yield from validate_selector(selector, f"{path}.{field}")
    for field, rules in (
        ("resourceRules", resources.resource_rules),
        ("excludeResourceRules", resources.exclude_resource_rules),
    ):
        for index, rule in enumerate(rules):
            at = f"{path}.{field}[{index}]"
            for position, name in enumerate(rule.resource_names):
                yield from each(f"{at}.resourceNames[{position}]", name, names.path_segment(name))
                if name in rule.resource_names[:position]:
                    yield duplicate(f"{at}.resourceNames[{position}]", name)
            yield from validate_rule(at, rule)


def mutating_operations(resources: MatchResources | None, path: str) -> Iterator[FieldError]:
    """Mutations have no place where something is deleted."""
    for rule in resources.resource_rules if resources is not None else ():
        for operation in rule.operations:
            if operation not in MUTATING_OPERATIONS:
                yield not_supported(f"{path}.resourceRules.operations", operation, MUTATING_OPERATIONS)


def match_constraints(resources: MatchResources | None) -> Iterator[FieldError]:
    """Of a policy: at least one rule says which types it is about."""
    path = "spec.matchConstraints"
    if resources is None:
        yield required(path)
        return
    yield from match_resources(resources, path)
    if not resources.resource_rules:
        yield required(f"{path}.resourceRules")


def match_conditions(
    conditions: Sequence[Any], params: bool, path: str = "spec.matchConditions", old: Sequence[Any] = ()
) -> Iterator[FieldError]:
    """Of policies and webhooks alike. What `old` had is not compiled again."""
    if len(conditions) > _CONDITIONS_MAX:
        yield too_many(path, len(conditions), _CONDITIONS_MAX)
    known = {condition.expression for condition in old}
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at = f"{path}[{index}]"
        text = condition.expression.strip()
        if not text:
            yield required(f"{at}.expression")
        elif condition.expression not in known:
            yield from _condition_compiles(text, params, f"{at}.expression")
        if not condition.name:
            yield required(f"{at}.name")
            continue
        yield from each(f"{at}.name", condition.name, names.qualified_name(condition.name))
        if condition.name in seen:
            yield duplicate(f"{at}.name", condition.name)
        seen.add(condition.name)


def _condition_compiles(text: str, params: bool, path: str) -> Iterator[FieldError]:
    from tiphys.api.cel import CelError
    from tiphys.api.cel.admission import environment
    from tiphys.api.cel.types import BOOL

    try:
        environment(params).compile(text, BOOL)
    except CelError as error:
        yield invalid(path, text, error.message)


def variables(composition: Composition, stated: Sequence[Any]) -> Iterator[FieldError]:
    from tiphys.api.cel import CelError

    for index, variable in enumerate(stated):
        path = f"spec.variables[{index}]"
        if not variable.name.strip():
            yield required(f"{path}.name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(variable.name) or variable.name in _RESERVED:
            yield invalid(f"{path}.name", variable.name, "must be a valid CEL identifier")
        if not variable.expression.strip():
            yield required(f"{path}.expression", "expression is not specified")
            continue
        try:
            composition.declare(variable.name, variable.expression)
        except CelError as error:
            yield invalid(f"{path}.expression", variable.expression, error.message)


def compiles(
    composition: Composition, path: str, expression: str, *result: Type, shown: str | None = None, **where: bool
) -> Iterator[FieldError]:
    """Whether an expression yields one of the types; `shown` where errors show another text than was compiled."""
    from tiphys.api.cel import CelError

    try:
        composition.compile(expression, *result, **where)
    except CelError as error:
        yield invalid(path, expression if shown is None else shown, error.message)


def param_ref(ref: ParamRef | None) -> Iterator[FieldError]:
    if ref is None:
        return
    path, both = "spec.paramRef", "name and selector are mutually exclusive"
    if ref.name:
        yield from each(f"{path}.name", ref.name, names.path_segment(ref.name))
        if ref.selector is not None:
            yield forbidden(f"{path}.name", both)
    if ref.selector is not None:
        yield from validate_selector(ref.selector, f"{path}.selector")
        if ref.name:
            yield forbidden(f"{path}.selector", both)
    if not ref.name and ref.selector is None:
        yield required(path, "one of name or selector must be specified")
    action = ref.parameter_not_found_action
    if not action:
        yield required(f"{path}.parameterNotFoundAction")
    elif action not in ("Deny", "Allow"):
        yield not_supported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow"))


def binding(spec: Any) -> Iterator[FieldError]:
    """What bindings of both sorts share."""
    if not spec.policy_name:
        yield required("spec.policyName")
    else:
        wrong = names.dns_subdomain_name(spec.policy_name, False)
        yield from each("spec.policyName", spec.policy_name, wrong)
    yield from param_ref(spec.param_ref)
    yield from match_resources(spec.match_resources, "spec.matchResources")


def _param_kind_text(policy: Any) -> str:
    kind = policy.spec.param_kind
    return f"{kind.api_version}/{kind.kind}" if kind is not None else "<unset>"


def _param_ref_text(bound: Any) -> str:
    ref = bound.spec.param_ref
    if ref is None:
        return "<unset>"
    if ref.name:
        return f"{ref.namespace or '*'}/{ref.name}"
    from tiphys.api.labels import text_of

    return text_of(ref.selector) if ref.selector is not None else "<unset>"


PARAM_KIND: Column[Any] = Column("ParamKind", "string", _param_kind_text, "The kind of its parameters.")
BINDING_COLUMNS: tuple[Column[Any], ...] = (
    NAME,
    Column("PolicyName", "string", lambda bound: bound.spec.policy_name, "The policy that it puts into force."),
    Column("ParamRef", "string", _param_ref_text, "Where its parameters are."),
    AGE,
)
