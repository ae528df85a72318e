"""What flow schemas and priority levels may say. Source: pkg/apis/flowcontrol/validation/validation.go."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required

_VERBS = frozenset({"get", "list", "create", "update", "delete", "deletecollection", "patch", "watch", "proxy"})
_MAX_PRECEDENCE = 10000
_MAX_QUEUES = 10_000_000
_HASH_BITS = 60
_NAMESPACE = "each member of this list must be '*' or a DNS-1123 label; "

_SUBJECTS = {
    "ServiceAccount": ("service_account", "serviceAccount"), "User": ("user", "user"), "Group": ("group", "group"),
}  # fmt: skip
EXEMPT = "exempt"


def flow_schema(obj: Any, _old: Any) -> Iterator[FieldError]:
    spec = obj.spec
    precedence = spec.matching_precedence
    if precedence <= 0:
        yield invalid("spec.matchingPrecedence", precedence, "must be a positive value")
    if precedence > _MAX_PRECEDENCE:
        yield invalid("spec.matchingPrecedence", precedence, f"must not be greater than {_MAX_PRECEDENCE}")
    if precedence == 1 and obj.metadata.name != EXEMPT:
        why = "only the schema named 'exempt' may have matchingPrecedence 1"
        yield invalid("spec.matchingPrecedence", precedence, why)
    method = spec.distinguisher_method
    if method is not None and method.type not in ("ByNamespace", "ByUser"):
        yield not_supported("spec.distinguisherMethod.type", {"Type": method.type}, ["ByNamespace", "ByUser"])
    level = spec.priority_level_configuration.name
    if not level:
        yield required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    else:
        for why in names.dns_subdomain(level):
            yield invalid("spec.priorityLevelConfiguration.name", level, why)
    for index, rule in enumerate(spec.rules):
        yield from _rule(rule, f"spec.rules[{index}]")
    from tiphys.api.kinds.flowcontrol import mandatory

    fixed = mandatory.flow_schema_spec(obj.metadata.name)
    if fixed is not None and fixed != spec:
        yield invalid("spec", spec, f"spec of '{obj.metadata.name}' must equal the fixed value")


def _rule(rule: Any, at: str) -> Iterator[FieldError]:
    if not rule.subjects:
        yield required(f"{at}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(rule.subjects):
        yield from _subject(subject, f"{at}.subjects[{index}]")
    if not rule.resource_rules and not rule.non_resource_rules:
        yield required(at, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, one in enumerate(rule.resource_rules):
        yield from _resource_rule(one, f"{at}.resourceRules[{index}]")
    for index, one in enumerate(rule.non_resource_rules):
        yield from _path_rule(one, f"{at}.nonResourceRules[{index}]")


def _subject(subject: Any, at: str) -> Iterator[FieldError]:
    if subject.kind not in _SUBJECTS:
        yield not_supported(f"{at}.kind", subject.kind, sorted(_SUBJECTS))
        return
    attribute, wire = _SUBJECTS[subject.kind]
    stated = getattr(subject, attribute)
    if stated is None:
        yield required(f"{at}.{wire}", f"{wire} is required when subject kind is '{subject.kind}'")
    elif not stated.name:
        yield required(f"{at}.{wire}.name")
    if subject.kind == "ServiceAccount" and stated is not None:
        if stated.name and stated.name != "*":
            for why in names.dns_subdomain(stated.name):
                yield invalid(f"{at}.{wire}.name", stated.name, why)
        if not stated.namespace:
            yield required(f"{at}.{wire}.namespace", "must specify namespace for service account")
        else:
            for why in names.dns_label(stated.namespace):
                yield invalid(f"{at}.{wire}.namespace", stated.namespace, why)
    for kind, (other, other_wire) in _SUBJECTS.items():
        if kind != subject.kind and getattr(subject, other) is not None:
            yield forbidden(f"{at}.{other_wire}", f"{other_wire} is forbidden when subject kind is not '{kind}'")


def _verbs(verbs: Sequence[str], at: str) -> Iterator[FieldError]:
    if not verbs:
        yield required(f"{at}.verbs", "verbs must contain at least one value")
    elif "*" in verbs:
        if len(verbs) > 1:
            yield invalid(f"{at}.verbs", list(verbs), "if '*' is present, must not specify other verbs")
    elif not _VERBS.issuperset(verbs):
        yield not_supported(f"{at}.verbs", list(verbs), sorted(_VERBS))


def _alone(values: Sequence[str], at: str, what: str) -> Iterator[FieldError]:
    if len(values) > 1 and "*" in values:
        yield invalid(at, list(values), f"if '*' is present, must not specify other {what}")


def _resource_rule(rule: Any, at: str) -> Iterator[FieldError]:
    yield from _verbs(rule.verbs, at)
    if not rule.api_groups:
        yield required(f"{at}.apiGroups", "resource rules must supply at least one api group")
    yield from _alone(rule.api_groups, f"{at}.apiGroups", "api groups")
    if not rule.resources:
        yield required(f"{at}.resources", "resource rules must supply at least one resource")
    yield from _alone(rule.resources, f"{at}.resources", "resources")
    if not rule.namespaces and not rule.cluster_scope:
        why = "resource rules that are not cluster scoped must supply at least one namespace"
        yield required(f"{at}.namespaces", why)
    elif "*" in rule.namespaces:
        yield from _alone(rule.namespaces, f"{at}.namespaces", "namespaces")
    else:
        for index, namespace in enumerate(rule.namespaces):
            for why in names.dns_label(namespace):
                yield invalid(f"{at}.namespaces[{index}]", namespace, _NAMESPACE + why)


def _path_rule(rule: Any, at: str) -> Iterator[FieldError]:
    yield from _verbs(rule.verbs, at)
    urls = rule.non_resource_ur_ls
    path = f"{at}.nonResourceURLs"
    if not urls:
        yield required(path, "nonResourceURLs must contain at least one value")
    elif "*" in urls:
        yield from _alone(urls, path, "non-resource URLs")
    else:
        for index, url in enumerate(urls):
            yield from _url(url, f"{path}[{index}]")


def _url(url: str, at: str) -> Iterator[FieldError]:
    if not url:
        yield invalid(at, url, "must not be empty")
    elif not url.startswith("/"):
        yield invalid(at, url, "must start with slash")
    elif " " in url:
        yield invalid(at, url, "must not contain white-space")
    elif "//" in url:
        yield invalid(at, url, "must not contain double slash")
    elif "*" in url and (url.index("*") != len(url) - 1 or not url.endswith("/*")):
        yield invalid(at, url, "wildcard can only do suffix matching")


def priority_level(obj: Any, _old: Any) -> Iterator[FieldError]:
    spec = obj.spec
    if (obj.metadata.name == EXEMPT) != (spec.type == "Exempt"):
        yield invalid("spec.type", spec.type, "must be 'Exempt' if and only if `name` is 'exempt'")
    if spec.type == "Exempt":
        if spec.limited is not None:
            yield forbidden("spec.limited", "must be nil if the type is not Limited")
        if spec.exempt is not None:
            yield from _shares(spec.exempt, "spec.exempt")
    elif spec.type == "Limited":
        if spec.exempt is not None:
            yield forbidden("spec.exempt", "must be nil if the type is Limited")
        if spec.limited is None:
            yield required("spec.limited", "must not be empty when type is Limited")
        else:
            yield from _limited(spec.limited, "spec.limited")
    else:
        yield not_supported("spec.type", spec.type, ["Exempt", "Limited"])
    from tiphys.api.kinds.flowcontrol import mandatory

    yield from mandatory.priority_level_errors(obj)


def _shares(part: Any, at: str) -> Iterator[FieldError]:
    shares, lendable = part.nominal_concurrency_shares, part.lendable_percent
    if shares is not None and shares < 0:
        yield invalid(f"{at}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    if lendable is not None and not 0 <= lendable <= 100:
        yield invalid(f"{at}.lendablePercent", lendable, "must be between 0 and 100, inclusive")


def _limited(limited: Any, at: str) -> Iterator[FieldError]:
    yield from _shares(limited, at)
    borrowing = limited.borrowing_limit_percent
    if borrowing is not None and borrowing < 0:
        yield invalid(f"{at}.borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer")
    response = limited.limit_response
    here = f"{at}.limitResponse"
    if response.type == "Reject":
        if response.queuing is not None:
            yield forbidden(f"{here}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif response.type == "Queue":
        if response.queuing is None:
            yield required(f"{here}.queuing", "must not be empty if limited.limitResponse.type is Limited")
        else:
            yield from _queuing(response.queuing, f"{here}.queuing")
    else:
        yield not_supported(f"{here}.type", response.type, ["Queue", "Reject"])


def _queuing(queuing: Any, at: str) -> Iterator[FieldError]:
    if queuing.queue_length_limit <= 0:
        yield invalid(f"{at}.queueLengthLimit", queuing.queue_length_limit, "must be positive")
    if queuing.queues <= 0:
        yield invalid(f"{at}.queues", queuing.queues, "must be positive")
    elif queuing.queues > _MAX_QUEUES:
        yield invalid(f"{at}.queues", queuing.queues, f"must not be greater than {_MAX_QUEUES}")
    hand = queuing.hand_size
    if hand <= 0:
        yield invalid(f"{at}.handSize", hand, "must be positive")
    elif hand > queuing.queues:
        yield invalid(f"{at}.handSize", hand, f"should not be greater than queues ({queuing.queues})")
    else:
        bits = math.ceil(sum(math.log2(queuing.queues - dealt) for dealt in range(min(hand, 64))))
        if bits > _HASH_BITS:
            why = (
                f"required entropy bits of deckSize {queuing.queues} and handSize {hand} should not be greater than "
                f"{_HASH_BITS}"
            )
            yield invalid(f"{at}.handSize", hand, why)


def status(obj: Any, _old: Any) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, condition in enumerate(obj.status.conditions):
        at = f"status.conditions[{index}].type"
        if condition.type in seen:
            yield duplicate(at, condition.type)
        seen.add(condition.type)
        if not condition.type:
            yield required(at)
