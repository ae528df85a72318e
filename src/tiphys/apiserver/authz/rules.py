"""Policy rules, compiled: does a rule allow a request, and do some rules cover others.

Source: pkg/apis/rbac/v1/evaluation_helpers.go, staging/src/k8s.io/component-helpers/auth/rbac/validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import msgspec

from tiphys.api.kinds.rbac.types import PolicyRule
from tiphys.apiserver.request import RequestInfo


class Rule(msgspec.Struct, frozen=True):
    """A PolicyRule as sets."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]

    def allows(self, info: RequestInfo, name: str) -> bool:
        if info.verb not in self.verbs and "*" not in self.verbs:
            return False
        if not info.is_resource:
            return any(url_matches(url, info.path) for url in self.urls)
        if info.group not in self.groups and "*" not in self.groups:
            return False
        if self.names and name not in self.names:
            return False
        return resource_matches(self.resources, info.resource, info.subresource)


def compiled(rules: Iterable[PolicyRule]) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            frozenset(rule.verbs),
            frozenset(rule.api_groups),
            frozenset(rule.resources),
            frozenset(rule.resource_names),
            tuple(rule.non_resource_urls),
        )
        for rule in rules
    )


def url_matches(pattern: str, path: str) -> bool:
    """`*` is any path, a trailing `*` any tail."""
    if pattern in ("*", path):
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def resource_matches(stated: frozenset[str], resource: str, subresource: str) -> bool:
    """`pods` does not speak for `pods/log`; `*` speaks for everything, `*/scale` for every scale."""
    if "*" in stated:
        return True
    if not subresource:
        return resource in stated
    return f"{resource}/{subresource}" in stated or f"*/{subresource}" in stated


def atoms(rule: PolicyRule) -> list[PolicyRule]:
    """A rule cut into rules of one verb and one group, resource and name, or one URL."""
    cut = [
        PolicyRule(verbs=[verb], api_groups=[group], resources=[resource], resource_names=names)
        for verb, group, resource, names in product(
            rule.verbs, rule.api_groups, rule.resources, [[name] for name in rule.resource_names] or [[]]
        )
    ]
    cut += [PolicyRule(verbs=[verb], non_resource_urls=[url]) for verb in rule.verbs for url in rule.non_resource_urls]
    return cut


def _has_all(owned: Sequence[str], wanted: Sequence[str]) -> bool:
    return "*" in owned or set(wanted) <= set(owned)


def _resource_covered(owned: Sequence[str], wanted: str) -> bool:
    if "*" in owned or wanted in owned:
        return True
    _, slash, subresource = wanted.partition("/")
    return bool(slash) and f"*/{subresource}" in owned


def _url_covered(owned: Sequence[str], wanted: str) -> bool:
    return any(
        pattern in ("*", wanted) or (pattern.endswith("*") and wanted.startswith(pattern.rstrip("*")))
        for pattern in owned
    )


def _covers_atom(owner: PolicyRule, atom: PolicyRule) -> bool:
    if not _has_all(owner.verbs, atom.verbs):
        return False
    if atom.non_resource_urls:
        return _url_covered(owner.non_resource_urls, atom.non_resource_urls[0])
    if not _has_all(owner.api_groups, atom.api_groups) or not _resource_covered(owner.resources, atom.resources[0]):
        return False
    if not owner.resource_names:
        return True
    return bool(atom.resource_names) and set(atom.resource_names) <= set(owner.resource_names)


def missing(owned: Sequence[PolicyRule], wanted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """The atoms of `wanted` that no rule of `owned` covers."""
    return [atom for rule in wanted for atom in atoms(rule) if not any(_covers_atom(owner, atom) for owner in owned)]


def compact(rules: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Atoms of one resource (or URL) joined into one rule with all their verbs."""
    joined: dict[tuple[tuple[str, ...], ...], PolicyRule] = {}
    for rule in rules:
        key = (
            tuple(rule.api_groups), tuple(rule.resources), tuple(rule.resource_names), tuple(rule.non_resource_urls),
        )  # fmt: skip
        known = joined.get(key)
        if known is None:
            joined[key] = PolicyRule(
                verbs=list(rule.verbs), api_groups=rule.api_groups, resources=rule.resources,
                resource_names=rule.resource_names, non_resource_urls=rule.non_resource_urls,
            )  # fmt: skip
        else:
            known.verbs += [verb for verb in rule.verbs if verb not in known.verbs]
    return list(joined.values())


def _go_list(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def described(rule: PolicyRule) -> str:
    """A rule as upstream prints it: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`."""
    parts = [
        f"{label}:{_go_list(values)}"
        for label, values in (
            ("APIGroups", rule.api_groups), ("Resources", rule.resources), ("NonResourceURLs", rule.non_resource_urls),
            ("ResourceNames", rule.resource_names), ("Verbs", rule.verbs),
        )
        if values
    ]  # fmt: skip
    return "{" + ", ".join(parts) + "}"
