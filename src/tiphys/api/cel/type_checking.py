"""What is wrong with the types in a validating policy's expressions, for each type that the policy is about.

Storing a policy checks it with objects of any type; this check knows the objects' fields, and only warns.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from tiphys.api.cel.admission import Composition, environment
from tiphys.api.cel.errors import CelError
from tiphys.api.cel.types import DYN, Type

TYPES_MAX = 10
"""Types looked at for one rule."""


class Named(NamedTuple):
    """A kind with the type of its objects."""

    group: str
    version: str
    kind: str
    type: Type

    def __str__(self) -> str:
        """As Go prints a GroupVersionKind."""
        return f"{self.group}/{self.version}, Kind={self.kind}"


Resolve = Callable[[str, str, str], Named | None]
"""(group, version, resource) -> the kind there; None where there is none, or its schema is not known."""
ResolveKind = Callable[[str, str], Type | None]
"""(apiVersion, kind) -> the type of its objects."""


def expression_warnings(spec: Any, resolve: Resolve, params: ResolveKind) -> Iterator[tuple[str, str]]:
    """(path of the expression, warning) for a ValidatingAdmissionPolicySpec."""
    compositions = [(named, _composition(spec, named.type, params)) for named in types_of(spec, resolve)]
    for index, validation in enumerate(spec.validations):
        path = f"spec.validations[{index}]"
        for field, text in (
            ("expression", validation.expression),
            ("messageExpression", validation.message_expression),
        ):
            found = [warning for named, made in compositions if text and (warning := _issues(named, made, text))]
            if found:
                yield f"{path}.{field}", "\n".join(found)


def types_of(spec: Any, resolve: Resolve) -> list[Named]:
    """The types that a policy names, in order. Rules with wildcards name none."""
    found: dict[tuple[str, str, str], Named] = {}
    for rule in spec.match_constraints.resource_rules if spec.match_constraints is not None else ():
        if any("*" in text for text in (*rule.api_groups, *rule.api_versions)):
            continue
        resources = [text for text in rule.resources if "*" not in text and "/" not in text]
        places = [
            (group, version, resource)
            for group in sorted(rule.api_groups)
            for version in sorted(rule.api_versions)
            for resource in sorted(resources)
        ]
        named = [each for place in places if (each := resolve(*place)) is not None]
        for each in named[:TYPES_MAX]:
            found[each[:3]] = each
    return [found[key] for key in sorted(found)]


def _composition(spec: Any, object_type: Type, params: ResolveKind) -> Composition:
    stated = spec.param_kind
    typed = {"object": object_type, "oldObject": object_type}
    if stated is not None:
        typed["params"] = params(stated.api_version, stated.kind) or DYN
    made = environment(stated is not None).extend(typed)
    composition = Composition(stated is not None, {(True, False): made})
    for variable in spec.variables:
        with suppress(CelError):  # storing the policy says so
            composition.declare(variable.name, variable.expression)
    return composition


def _issues(named: Named, composition: Composition, expression: str) -> str:
    try:
        composition.compile(expression)
    except CelError as error:
        return f"{named}: {error.issues}\n"
    return ""
