"""Which flow schema a request falls under, and which flow of it. Known requests cost one dictionary look-up.

Source: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/rule.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.apiserver.authz.rbac import split_service_account
from tiphys.apiserver.flowcontrol.level import Level
from tiphys.apiserver.flowcontrol.sharding import flow_hash, hand
from tiphys.apiserver.request import RequestInfo, User

_MAX_REMEMBERED = 10_000


class Schema:
    """A FlowSchema and the level that it leads to."""

    __slots__ = ("headers", "level", "method", "name", "precedence", "rules", "uid")

    def __init__(self, name: str, uid: str, spec: Any, level: Level) -> None:
        self.name = name
        self.uid = uid
        self.level = level
        self.precedence: int = spec.matching_precedence
        self.method: str = spec.distinguisher_method.type if spec.distinguisher_method is not None else ""
        self.rules = spec.rules
        self.headers = (("X-Kubernetes-PF-FlowSchema-UID", uid), ("X-Kubernetes-PF-PriorityLevel-UID", level.uid))

    def matches(self, user: User, info: RequestInfo) -> bool:
        return any(
            any(_is(subject, user) for subject in rule.subjects)
            and (
                any(_covers(one, info) for one in rule.resource_rules)
                if info.is_resource
                else any(_covers_path(one, info) for one in rule.non_resource_rules)
            )
            for rule in self.rules
        )


class Flow:
    """The requests that take turns as one."""

    __slots__ = ("distinguisher", "hand", "level", "schema")

    def __init__(self, schema: Schema, distinguisher: str) -> None:
        self.schema = schema
        self.level = schema.level
        self.distinguisher = distinguisher
        limits = schema.level.limits
        self.hand: tuple[int, ...] = ()
        if limits.queues:
            self.hand = hand(flow_hash(schema.name, distinguisher), limits.queues, limits.hand_size)


class Classifier:
    """Schemas in order of precedence. The last matches everything."""

    def __init__(self, schemas: Sequence[Schema]) -> None:
        self.schemas = sorted(schemas, key=lambda one: (one.precedence, one.name))
        self._known: dict[tuple[object, ...], Flow] = {}

    def flow(self, user: User, info: RequestInfo) -> Flow:
        key = (
            user.name, user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace,
            "" if info.is_resource else info.path,
        )  # fmt: skip
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._find(user, info)
        return known

    def _find(self, user: User, info: RequestInfo) -> Flow:
        for schema in self.schemas:
            if schema.matches(user, info):
                break
        distinguisher = ""
        if schema.method == "ByUser":
            distinguisher = user.name
        elif schema.method == "ByNamespace":
            distinguisher = info.namespace
        return Flow(schema, distinguisher)


def _is(subject: Any, user: User) -> bool:
    if subject.kind == "User":
        return subject.user is not None and subject.user.name in ("*", user.name)
    if subject.kind == "Group":
        return subject.group is not None and (subject.group.name == "*" or subject.group.name in user.groups)
    account = subject.service_account
    found = split_service_account(user.name) if account is not None else None
    return found is not None and account.namespace == found[0] and account.name in ("*", found[1])


def _has(stated: Sequence[str], value: str) -> bool:
    return "*" in stated or value in stated


def _covers(rule: Any, info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if not (_has(rule.verbs, info.verb) and _has(rule.resources, resource) and _has(rule.api_groups, info.group)):
        return False
    if not info.namespace:
        return bool(rule.cluster_scope)
    return _has(rule.namespaces, info.namespace)


def _covers_path(rule: Any, info: RequestInfo) -> bool:
    if not _has(rule.verbs, info.verb):
        return False
    for pattern in rule.non_resource_ur_ls:
        if pattern in ("*", info.path) or (pattern.endswith("/*") and info.path.startswith(pattern[:-1])):
            return True
    return False
