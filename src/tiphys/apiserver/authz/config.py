"""AuthorizationConfiguration: which authorizers, in which order; from a file or from the flags.

Source: staging/src/k8s.io/apiserver/pkg/apis/apiserver/{v1/types.go,validation/validation.go}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import field

from tiphys.api.errors import FieldError, duplicate, invalid, not_supported, required
from tiphys.apiserver.configfile import ConfigError, Document, Section, read, refuse, seconds
from tiphys.apiserver.security import AuthorizationSettings

TYPES = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
_VERSIONS = ("v1", "v1beta1")


class ConnectionInfo(Section, frozen=True, kw_only=True):
    type: str = ""
    kube_config_file: str = ""


class MatchCondition(Section, frozen=True, kw_only=True):
    expression: str = ""


class WebhookConfiguration(Section, frozen=True, kw_only=True):
    """Durations are Go's (`30s`)."""

    authorized_ttl: str = field(name="authorizedTTL", default="5m")
    cache_authorized_requests: bool = True
    unauthorized_ttl: str = field(name="unauthorizedTTL", default="30s")
    cache_unauthorized_requests: bool = True
    timeout: str = ""
    subject_access_review_version: str = ""
    match_condition_subject_access_review_version: str = ""
    failure_policy: str = ""
    connection_info: ConnectionInfo = ConnectionInfo()
    match_conditions: list[MatchCondition] = []


class AuthorizerConfiguration(Section, frozen=True, kw_only=True):
    type: str = ""
    name: str = ""
    webhook: WebhookConfiguration | None = None


class AuthorizationConfiguration(Document, frozen=True, kw_only=True):
    authorizers: list[AuthorizerConfiguration] = []


_SCHEMAS = {
    f"apiserver.config.k8s.io/{version}": AuthorizationConfiguration for version in ("v1", "v1beta1", "v1alpha1")
}


def load(path: Path) -> AuthorizationConfiguration:
    """Raises ConfigError, also for what does not validate."""
    found = read(path, "AuthorizationConfiguration", _SCHEMAS)
    refuse(str(path), validate(found))
    return found


def from_flags(modes: Sequence[str], settings: AuthorizationSettings) -> AuthorizationConfiguration:
    """What `--authorization-mode` and the flags beside it mean. Raises ConfigError."""
    unknown = [mode for mode in modes if mode not in TYPES]
    if unknown:
        raise ConfigError(f"authorization-mode {unknown[0]!r} is not a valid mode, known are {', '.join(TYPES)}")
    if len(set(modes)) != len(modes):
        raise ConfigError("authorization-mode names a mode more than once")
    if not modes:
        raise ConfigError("at least one authorization-mode must be passed")
    found = []
    for mode in modes:
        webhook = None
        if mode == "Webhook":
            if settings.webhook_config_file is None:
                raise ConfigError("authorization-mode Webhook's authorization config file not passed")
            webhook = WebhookConfiguration(
                authorized_ttl=f"{settings.webhook_authorized_ttl_s}s",
                unauthorized_ttl=f"{settings.webhook_unauthorized_ttl_s}s",
                timeout="30s", subject_access_review_version=settings.webhook_version, failure_policy="NoOpinion",
                connection_info=ConnectionInfo(
                    type="KubeConfigFile", kube_config_file=str(settings.webhook_config_file)
                ),
            )  # fmt: skip
        if mode == "ABAC" and settings.policy_file is None:
            raise ConfigError("authorization-mode ABAC's authorization policy file not passed")
        found.append(AuthorizerConfiguration(type=mode, name=mode.lower(), webhook=webhook))
    return AuthorizationConfiguration(authorizers=found)


def validate(config: AuthorizationConfiguration) -> Iterator[FieldError]:
    """Everything but the match conditions' expressions, which `webhook.py` compiles."""
    from tiphys.api import names

    if not config.authorizers:
        yield required("authorizers", "at least one authorization mode must be defined")
    types: set[str] = set()
    seen: set[str] = set()
    for index, one in enumerate(config.authorizers):
        at = f"authorizers[{index}]"
        if not one.type:
            yield required(f"{at}.type")
            continue
        if one.type not in TYPES:
            yield not_supported(f"{at}.type", one.type, TYPES)
        if one.type in types and one.type != "Webhook":
            yield duplicate(f"{at}.type", one.type)
        types.add(one.type)
        if not one.name:
            yield required(f"{at}.name")
        else:
            if one.name in seen:
                yield duplicate(f"{at}.name", one.name)
            for why in names.dns_subdomain(one.name):
                yield invalid(f"{at}.name", one.name, f"authorizer name is invalid: {why}")
        seen.add(one.name)
        if one.type == "Webhook":
            if one.webhook is None:
                yield required(f"{at}.webhook", "required when type=Webhook")
            else:
                yield from _webhook(one.webhook, f"{at}.webhook")
        elif one.webhook is not None:
            yield invalid(f"{at}.webhook", "non-null", "may only be specified when type=Webhook")


def _webhook(webhook: WebhookConfiguration, at: str) -> Iterator[FieldError]:
    yield from _duration(webhook.timeout, f"{at}.timeout", most_s=30.0)
    yield from _duration(webhook.authorized_ttl, f"{at}.authorizedTTL")
    yield from _duration(webhook.unauthorized_ttl, f"{at}.unauthorizedTTL")
    for field_name, version in (
        ("subjectAccessReviewVersion", webhook.subject_access_review_version),
        ("matchConditionSubjectAccessReviewVersion", webhook.match_condition_subject_access_review_version),
    ):
        needed = field_name.startswith("subject") or bool(webhook.match_conditions)
        if not version and needed:
            yield required(f"{at}.{field_name}")
        elif version and version not in (_VERSIONS if field_name.startswith("subject") else ("v1",)):
            yield not_supported(f"{at}.{field_name}", version, ("v1", "v1beta1"))
    if not webhook.failure_policy:
        yield required(f"{at}.failurePolicy")
    elif webhook.failure_policy not in ("NoOpinion", "Deny"):
        yield not_supported(f"{at}.failurePolicy", webhook.failure_policy, ("NoOpinion", "Deny"))
    connection = webhook.connection_info
    if connection.type == "KubeConfigFile":
        if not connection.kube_config_file:
            yield required(f"{at}.connectionInfo.kubeConfigFile")
        elif not Path(connection.kube_config_file).is_absolute():
            why = "must be an absolute path"
            yield invalid(f"{at}.connectionInfo.kubeConfigFile", connection.kube_config_file, why)
        elif not Path(connection.kube_config_file).is_file():
            why = "must be a regular file"
            yield invalid(f"{at}.connectionInfo.kubeConfigFile", connection.kube_config_file, why)
    elif not connection.type:
        yield required(f"{at}.connectionInfo.type")
    else:
        yield not_supported(f"{at}.connectionInfo.type", connection.type, ("InClusterConfig", "KubeConfigFile"))
    expressions: set[str] = set()
    for index, condition in enumerate(webhook.match_conditions):
        here = f"{at}.matchConditions[{index}].expression"
        if not condition.expression.strip():
            yield required(here)
        elif condition.expression in expressions:
            yield duplicate(here, condition.expression)
        expressions.add(condition.expression)


def _duration(text: str, at: str, most_s: float = float("inf")) -> Iterator[FieldError]:
    if not text:
        yield required(at)
        return
    try:
        length_s = seconds(text)
    except ValueError as error:
        yield invalid(at, text, str(error))
        return
    if length_s <= 0:
        yield invalid(at, text, "must be > 0s")
    elif length_s > most_s:
        yield invalid(at, text, f"must be <= {int(most_s)}s")
