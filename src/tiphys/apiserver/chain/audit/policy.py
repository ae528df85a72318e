"""The audit policy: the first rule that matches a request decides what is recorded of it.

Source: staging/src/k8s.io/apiserver/pkg/audit/policy/{checker.go,reader.go}, pkg/apis/audit/validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import field

from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.apiserver.configfile import ConfigError, Document, Section, read, refuse
from tiphys.apiserver.request import RequestInfo, User

NONE, METADATA, REQUEST, REQUEST_RESPONSE = range(4)
LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")


class GroupResources(Section, frozen=True, kw_only=True):
    group: str = ""
    resources: list[str] = []
    resource_names: list[str] = []


class PolicyRule(Section, frozen=True, kw_only=True):
    level: str = ""
    users: list[str] = []
    user_groups: list[str] = []
    verbs: list[str] = []
    resources: list[GroupResources] = []
    namespaces: list[str] = []
    non_resource_urls: list[str] = field(name="nonResourceURLs", default_factory=list)
    omit_stages: list[str] = []
    omit_managed_fields: bool | None = None


class PolicyDocument(Document, frozen=True, kw_only=True):
    metadata: dict[str, object] = {}
    rules: list[PolicyRule] = []
    omit_stages: list[str] = []
    omit_managed_fields: bool = False


class Chosen(NamedTuple):
    """What is to be recorded of one request."""

    level: int
    omitted: frozenset[str] = frozenset()
    """Stages."""
    omit_managed_fields: bool = False


_NOTHING = Chosen(NONE)


class Policy:
    """`choose` is called once per request."""

    def __init__(self, document: PolicyDocument) -> None:
        self._rules = [
            (
                rule,
                Chosen(
                    LEVELS.index(rule.level),
                    frozenset((*document.omit_stages, *rule.omit_stages)),
                    document.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields,
                ),
            )
            for rule in document.rules
        ]

    def choose(self, user: User, info: RequestInfo) -> Chosen:
        for rule, chosen in self._rules:
            if _matches(rule, user, info):
                return chosen
        return _NOTHING


def load(path: Path) -> Policy:
    """Raises ConfigError."""
    document = read(path, "Policy", {"audit.k8s.io/v1": PolicyDocument})
    refuse(str(path), validate(document))
    if not document.rules:
        raise ConfigError(f"loaded illegal policy with 0 rules from file {path}")
    return Policy(document)


def validate(document: PolicyDocument) -> Iterator[FieldError]:
    yield from _stages(document.omit_stages, "omitStages")
    for index, rule in enumerate(document.rules):
        at = f"rules[{index}]"
        if not rule.level:
            yield required(f"{at}.level")
        elif rule.level not in LEVELS:
            yield not_supported(f"{at}.level", rule.level, ["Metadata", "None", "Request", "RequestResponse"])
        if rule.non_resource_urls:
            if rule.resources or rule.namespaces:
                yield invalid(
                    f"{at}.nonResourceURLs", rule.non_resource_urls,
                    "rules cannot apply to both regular resources and non-resource URLs",
                )  # fmt: skip
            for number, url in enumerate(rule.non_resource_urls):
                here = f"{at}.nonResourceURLs[{number}]"
                if url != "*" and not url.startswith("/"):
                    yield invalid(here, url, "non-resource URL rules must begin with a '/' character")
                elif "*" in url[:-1]:
                    yield invalid(here, url, "non-resource URL wildcards '*' must be the final character of the rule")
        for number, one in enumerate(rule.resources):
            here = f"{at}.resources[{number}]"
            if one.group.strip("/") != one.group or "/" in one.group:
                yield invalid(f"{here}.group", one.group, "group must not contain a slash")
            if one.resource_names and not one.resources:
                why = "using resourceNames requires at least one resource"
                yield invalid(f"{here}.resourceNames", one.resource_names, why)
            if "" in one.resources and len(one.resources) > 1:
                yield forbidden(f"{here}.resources", "an empty resource matches everything and must stand alone")
        yield from _stages(rule.omit_stages, f"{at}.omitStages")


def _stages(stages: Sequence[str], at: str) -> Iterator[FieldError]:
    for index, stage in enumerate(stages):
        if stage not in STAGES:
            yield invalid(f"{at}[{index}]", stage, f"allowed stages are {','.join(STAGES)}")


def _matches(rule: PolicyRule, user: User, info: RequestInfo) -> bool:
    if rule.users and user.name not in rule.users:
        return False
    if rule.user_groups and not any(group in rule.user_groups for group in user.groups):
        return False
    if rule.verbs and info.verb not in rule.verbs:
        return False
    if rule.namespaces or rule.resources:
        return info.is_resource and _matches_resource(rule, info)
    if rule.non_resource_urls:
        return not info.is_resource and any(_matches_path(url, info.path) for url in rule.non_resource_urls)
    return True


def _matches_resource(rule: PolicyRule, info: RequestInfo) -> bool:
    if rule.namespaces and info.namespace not in rule.namespaces:
        return False
    if not rule.resources:
        return True
    full = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    for one in rule.resources:
        if one.group != info.group:
            continue
        if not one.resources:
            return True
        for stated in one.resources:
            if one.resource_names and info.name not in one.resource_names:
                continue
            if stated in ("*", full):
                return True
            resource, _, subresource = stated.partition("/")
            if subresource and ((resource == "*" and subresource == info.subresource) or
                                (subresource == "*" and resource == info.resource)):  # fmt: skip
                return True
    return False


def _matches_path(pattern: str, path: str) -> bool:
    if pattern == "*":
        return True
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
