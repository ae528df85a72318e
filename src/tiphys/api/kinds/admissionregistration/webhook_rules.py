"""Defaults and validation of webhook configurations.

Source: pkg/apis/admissionregistration/{v1/defaults.go,validation/validation.go},
staging/src/k8s.io/apiserver/pkg/util/webhook/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, invalid, not_supported, required
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import each, validate_selector

_VERSIONS = ("v1", "v1beta1")
_FAILURES, _MATCHES, _REINVOCATIONS = ("Fail", "Ignore"), ("Equivalent", "Exact"), ("IfNeeded", "Never")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_OLD_SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_FORM = "; desired format: https://host[/path]"


def default(obj: Any) -> None:
    for hook in obj.webhooks:
        hook.failure_policy = hook.failure_policy or "Fail"
        hook.match_policy = hook.match_policy or "Equivalent"
        if hook.namespace_selector is None:
            hook.namespace_selector = LabelSelector()
        if hook.object_selector is None:
            hook.object_selector = LabelSelector()
        if hook.timeout_seconds is None:
            hook.timeout_seconds = 10
        if getattr(hook, "reinvocation_policy", "Never") is None:
            hook.reinvocation_policy = "Never"
        service = hook.client_config.service
        if service is not None and service.port is None:
            service.port = 443
        for rule in hook.rules:
            if rule.scope is None:
                rule.scope = "*"


def validate(obj: Any, old: Any) -> Iterator[FieldError]:
    """What an old configuration was allowed, it stays allowed."""
    before = old.webhooks if old is not None else []
    strict_effects = all(hook.side_effects in _SIDE_EFFECTS for hook in before)
    strict_versions = all(set(hook.admission_review_versions) & set(_VERSIONS) for hook in before)
    strict_names = len({hook.name for hook in before}) == len(before)
    known = [condition for hook in before for condition in hook.match_conditions]
    seen: set[str] = set()
    for index, hook in enumerate(obj.webhooks):
        path = f"webhooks[{index}]"
        yield from _hook(path, hook, _SIDE_EFFECTS if strict_effects else _OLD_SIDE_EFFECTS, known)
        yield from _versions(f"{path}.admissionReviewVersions", hook.admission_review_versions, strict_versions)
        if strict_names and hook.name:
            if hook.name in seen:
                yield duplicate(f"{path}.name", hook.name)
            seen.add(hook.name)


def _hook(path: str, hook: Any, effects: Sequence[str], known: Sequence[Any]) -> Iterator[FieldError]:
    yield from _full_name(f"{path}.name", hook.name)
    for index, rule in enumerate(hook.rules):
        yield from validate_rule(f"{path}.rules[{index}]", rule)
    for field, stated, supported in (
        ("failurePolicy", hook.failure_policy, _FAILURES), ("matchPolicy", hook.match_policy, _MATCHES),
    ):  # fmt: skip
        if stated is not None and stated not in supported:
            yield not_supported(f"{path}.{field}", stated, sorted(supported))
    if hook.side_effects is None:
        yield required(f"{path}.sideEffects", f"must specify one of {', '.join(effects)}")
    elif hook.side_effects not in effects:
        yield not_supported(f"{path}.sideEffects", hook.side_effects, effects)
    if hook.timeout_seconds is not None and not 1 <= hook.timeout_seconds <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        yield invalid(f"{path}.timeoutSeconds", hook.timeout_seconds, text)
    yield from validate_selector(hook.namespace_selector, f"{path}.namespaceSelector")
    yield from validate_selector(hook.object_selector, f"{path}.objectSelector")
    reinvocation = getattr(hook, "reinvocation_policy", None)
    if reinvocation is not None and reinvocation not in _REINVOCATIONS:
        yield not_supported(f"{path}.reinvocationPolicy", reinvocation, _REINVOCATIONS)
    yield from validate_client(f"{path}.clientConfig", hook.client_config)
    yield from _conditions(f"{path}.matchConditions", hook.match_conditions, known)


def _full_name(path: str, name: str) -> Iterator[FieldError]:
    if not name:
        yield required(path)
        return
    wrong = names.dns_subdomain(name)
    yield from each(path, name, wrong)
    if not wrong and len(name.split(".")) < 3:
        yield invalid(path, name, "should be a domain with at least three segments separated by dots")


def _versions(path: str, versions: list[str], strict: bool) -> Iterator[FieldError]:
    if not versions:
        yield required(path, f"must specify one of {', '.join(_VERSIONS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        yield from each(f"{path}[{index}]", version, names.dns_label_1035(version))
    if strict and not set(versions) & set(_VERSIONS):
        yield invalid(path, versions, f"must include at least one of {', '.join(_VERSIONS)}")


def validate_rule(path: str, rule: Any, operations: Sequence[str] = _OPERATIONS) -> Iterator[FieldError]:
    """A rule with operations, of a webhook or of a policy."""
    if not rule.operations:
        yield required(f"{path}.operations")
    if len(rule.operations) > 1 and "*" in rule.operations:
        text = "if '*' is present, must not specify other operations"
        yield invalid(f"{path}.operations", rule.operations, text)
    for index, operation in enumerate(rule.operations):
        if operation not in operations:
            yield not_supported(f"{path}.operations[{index}]", operation, operations)
    for field, stated, word in (
        ("apiGroups", rule.api_groups, "API groups"), ("apiVersions", rule.api_versions, "API versions"),
    ):  # fmt: skip
        if not stated:
            yield required(f"{path}.{field}")
        if len(stated) > 1 and "*" in stated:
            yield invalid(f"{path}.{field}", stated, f"if '*' is present, must not specify other {word}")
    for index, version in enumerate(rule.api_versions):
        if not version:
            yield required(f"{path}.apiVersions[{index}]")
    yield from _resources(f"{path}.resources", rule.resources)
    if rule.scope is not None and rule.scope not in _SCOPES:
        yield not_supported(f"{path}.scope", rule.scope, _SCOPES)


def _resources(path: str, resources: list[str]) -> Iterator[FieldError]:
    if not resources:
        yield required(path)
    of_resource: set[str] = set()
    of_all: set[str] = set()
    plain = False
    for index, text in enumerate(resources):
        at = f"{path}[{index}]"
        if not text:
            yield required(at)
            continue
        resource, slash, sub = text.partition("/")
        if not slash:
            plain = text != "*"
            continue
        if resource in of_resource:
            yield invalid(at, text, f"if '{resource}/*' is present, must not specify {text}")
        if sub in of_all:
            yield invalid(at, text, f"if '*/{sub}' is present, must not specify {text}")
        if sub == "*":
            of_resource.add(resource)
        if resource == "*":
            of_all.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        yield invalid(path, resources, "if '*/*' is present, must not specify other resources")
    if "*" in resources and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        yield invalid(path, resources, text)


def validate_client(path: str, client: Any) -> Iterator[FieldError]:
    """A WebhookClientConfig: one of URL and Service, each as it should be."""
    if (client.url is None) == (client.service is None):
        yield required(path, "exactly one of url or service is required")
    elif client.url is not None:
        yield from _url(f"{path}.url", client.url)
    else:
        yield from _service(f"{path}.service", client.service)


def _url(path: str, url: str) -> Iterator[FieldError]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        yield required(path, f"url must be a valid URL: {error}{_FORM}")
        return
    if parts.scheme != "https":
        yield invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    if not host:
        yield invalid(path, host, f"host must be specified{_FORM}")
    if "@" in parts.netloc:
        yield invalid(path, parts.netloc.rpartition("@")[0], "user information is not permitted in the URL")
    if parts.fragment:
        yield invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid(path, parts.query, "query parameters are not permitted in the URL")


def _service(path: str, service: Any) -> Iterator[FieldError]:
    for field, value in (("name", service.name), ("namespace", service.namespace)):
        if not value:
            yield required(f"{path}.{field}")
    if service.port is not None:
        for problem in names.port_number(service.port):
            yield invalid(f"{path}.port", service.port, f"port is not valid: {problem}")
    text = service.path
    if not text or text == "/":
        return
    at = f"{path}.path"
    if text == "//":
        yield invalid(at, text, "segment[0] may not be empty")
        return
    if not text.startswith("/"):
        yield invalid(at, text, "must start with a '/'")
    for index, segment in enumerate(text[1:].removesuffix("/").split("/")):
        if not segment:
            yield invalid(at, text, f"segment[{index}] may not be empty")
            continue
        for problem in names.dns_subdomain(segment):
            yield invalid(at, text, f"segment[{index}]: {problem}")


def _conditions(path: str, conditions: list[Any], known: Sequence[Any]) -> Iterator[FieldError]:
    if conditions:
        from tiphys.api.kinds.admissionregistration.policy_rules import match_conditions

        yield from match_conditions(conditions, False, path, known)
