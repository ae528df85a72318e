"""RBAC: decisions from roles and bindings as they stand in the watch cache.

Bindings are indexed by subject and role rules compiled when first needed; both are forgotten when any role or binding
changes. On top, decisions are remembered: a known question costs one dictionary look-up (about 1 us), a new one a walk
over the few rules that apply to the user. Source: plugin/pkg/auth/authorizer/rbac/rbac.go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from tiphys.api.kinds import CLUSTERROLE, CLUSTERROLEBINDING, ROLE, ROLEBINDING
from tiphys.api.kinds.rbac.types import PolicyRule, RoleRef, Subject
from tiphys.apiserver.authz.decision import Decision, Rules
from tiphys.apiserver.authz.rules import Rule, compiled
from tiphys.apiserver.registry.interface import Cache, Entry
from tiphys.apiserver.request import RequestInfo, User

GROUP = "rbac.authorization.k8s.io"
_MAX_REMEMBERED = 20_000
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


class Caches(Protocol):
    """The part of the registry that authorization reads."""

    def cache_of(self, kind: Any) -> Cache: ...


class Grant(msgspec.Struct, frozen=True):
    """A binding as one subject sees it."""

    binding: str
    """`x`, or `x/namespace` of a RoleBinding."""
    namespace: str
    role: RoleRef
    subject: Subject

    def __str__(self) -> str:
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        subject = self.subject
        who = f"{subject.name}/{subject.namespace}" if subject.kind == "ServiceAccount" else subject.name
        return f'{kind} "{self.binding}" of {self.role.kind} "{self.role.name}" to {subject.kind} "{who}"'


def _subject_key(subject: Subject, namespace: str) -> str:
    """`u:bob` or `g:admins`; a service account is the user that its tokens name."""
    if subject.kind == "ServiceAccount":
        return f"u:{SERVICE_ACCOUNT_PREFIX}{subject.namespace or namespace}:{subject.name}"
    return ("g:" if subject.kind == "Group" else "u:") + subject.name


class Rbac:
    """Answers from the caches of the four kinds; nothing is ever awaited."""

    def __init__(self, caches: Caches) -> None:
        self._roles = caches.cache_of(ROLE)
        self._cluster_roles = caches.cache_of(CLUSTERROLE)
        self._role_bindings = caches.cache_of(ROLEBINDING)
        self._cluster_bindings = caches.cache_of(CLUSTERROLEBINDING)
        self._decisions: dict[tuple[object, ...], bool] = {}
        self._compiled: dict[tuple[str, str], tuple[Rule, ...] | None] = {}
        self._grants: dict[str, dict[str, list[Grant]]] | None = None
        self._unsubscribe = [
            cache.subscribe(self._changed)
            for cache in (self._roles, self._cluster_roles, self._role_bindings, self._cluster_bindings)
        ]

    def close(self) -> None:
        for stop in self._unsubscribe:
            stop()

    def _changed(self, _type: str, new: Entry | None, old: Entry | None) -> None:
        self._decisions.clear()
        self._compiled.clear()
        changed = new or old
        if changed is not None and changed.kind.kind.endswith("Binding"):
            self._grants = None

    def allows(self, user: User, info: RequestInfo) -> bool:
        decisions = self._decisions
        general = (
            user.name, user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace,
            "" if info.is_resource else info.path,
        )  # fmt: skip
        known = decisions.get(general)
        if known is None:
            known = self._remember(general, self._evaluate(user, info, ""))
        if known or not info.name:
            return known
        named = (*general, info.name)
        known = decisions.get(named)
        if known is None:
            known = self._remember(named, self._evaluate(user, info, info.name))
        return known

    def _remember(self, key: tuple[object, ...], decision: bool) -> bool:
        if len(self._decisions) >= _MAX_REMEMBERED:
            self._decisions.clear()
        self._decisions[key] = decision
        return decision

    def _evaluate(self, user: User, info: RequestInfo, name: str) -> bool:
        namespace = info.namespace if info.is_resource else ""
        return any(
            rule.allows(info, name)
            for grant in self.grants(user, namespace)
            for rule in self._rules_of(grant.role, grant.namespace) or ()
        )

    def decide(self, user: User, info: RequestInfo) -> Decision:
        """With its reason: why a request was allowed, or the errors met when it was not."""
        return Decision(self.allows(user, info), reason=self._reason(user, info))

    def _reason(self, user: User, info: RequestInfo) -> str:
        missing: list[str] = []
        for grant in self.grants(user, info.namespace if info.is_resource else ""):
            rules = self._rules_of(grant.role, grant.namespace)
            if rules is None:
                missing.append(f'{grant.role.kind.lower()}.{GROUP} "{grant.role.name}" not found')
            elif any(rule.allows(info, info.name) for rule in rules):
                return f"RBAC: allowed by {grant}"
        if not missing:
            return ""
        unique = list(dict.fromkeys(missing))
        return "RBAC: " + (unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]")

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """What is bound to the user or one of the groups, cluster-wide and then in `namespace`."""
        index = self._grants
        if index is None:
            index = self._grants = self._index()
        keys = ["u:" + user.name, *["g:" + group for group in user.groups]]
        for scope in ("", namespace) if namespace else ("",):
            table = index.get(scope)
            if table:
                for key in keys:
                    yield from table.get(key, ())

    def _index(self) -> dict[str, dict[str, list[Grant]]]:
        index: dict[str, dict[str, list[Grant]]] = defaultdict(lambda: defaultdict(list))
        for entry in self._cluster_bindings.entries():
            self._add(index, entry, "")
        for entry in self._role_bindings.entries():
            self._add(index, entry, entry.namespace)
        return index

    @staticmethod
    def _add(index: dict[str, dict[str, list[Grant]]], entry: Entry, namespace: str) -> None:
        binding = entry.obj
        shown = f"{entry.name}/{namespace}" if namespace else entry.name
        for subject in binding.subjects:
            grant = Grant(shown, namespace, binding.role_ref, subject)
            index[namespace][_subject_key(subject, namespace)].append(grant)

    def _rules_of(self, role: RoleRef, namespace: str) -> tuple[Rule, ...] | None:
        key = (role.name, namespace if role.kind == "Role" else "")
        if key in self._compiled:
            return self._compiled[key]
        rules = self.role_rules(role, namespace)
        found = self._compiled[key] = None if rules is None else compiled(rules)
        return found

    def role_rules(self, role: RoleRef, namespace: str) -> list[PolicyRule] | None:
        """The rules of a Role of `namespace` or of a ClusterRole; None where it does not exist."""
        if role.kind == "Role":
            entry = self._roles.get(namespace, role.name)
        else:
            entry = self._cluster_roles.get("", role.name)
        return None if entry is None else list(entry.obj.rules)

    def rules_for(self, user: User, namespace: str) -> Rules:
        """All rules that apply to a user in a namespace, and the roles that bindings name in vain."""
        rules: list[PolicyRule] = []
        errors: list[str] = []
        for grant in self.grants(user, namespace):
            found = self.role_rules(grant.role, grant.namespace)
            if found is None:
                errors.append(f'{grant.role.kind.lower()}.{GROUP} "{grant.role.name}" not found')
            else:
                rules += found
        return Rules(rules, list(dict.fromkeys(errors)))


def groups_of_service_account(namespace: str) -> tuple[str, ...]:
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def split_service_account(username: str) -> tuple[str, str] | None:
    """(namespace, name) of `system:serviceaccount:ns:name`, else None."""
    if not username.startswith(SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, colon, name = username[len(SERVICE_ACCOUNT_PREFIX) :].partition(":")
    return (namespace, name) if colon and namespace and name and ":" not in name else None
