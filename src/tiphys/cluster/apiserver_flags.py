"""The API server's flags about identities, rights, audit, encryption and fairness: upstream's names, into settings.

Source: cmd/kube-apiserver/app/options, pkg/kubeapiserver/options, staging/src/k8s.io/apiserver/pkg/server/options.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tiphys.apiserver.security import SecuritySettings


class _Flag(NamedTuple):
    name: str
    help: str
    sort: str = "text"
    """`text`, `path`, `list` (separated by commas), `number`, `seconds` (a Go duration), `bool`, `pairs` (k=v)."""
    default: Any = None


_FLAGS: tuple[_Flag, ...] = (
    _Flag("--client-ca-file", "whose client certificates name users (the server's own CA)", "path"),
    _Flag("--requestheader-client-ca-file", "whose certificates may name others in headers", "path"),
    _Flag("--requestheader-allowed-names", "their common names; empty: any", "list", ("front-proxy-client",)),
    _Flag("--requestheader-username-headers", "headers with the user's name", "list", ("X-Remote-User",)),
    _Flag("--requestheader-uid-headers", "headers with the user's UID", "list", ("X-Remote-Uid",)),
    _Flag("--requestheader-group-headers", "headers with the groups", "list", ("X-Remote-Group",)),
    _Flag("--requestheader-extra-headers-prefix", "what extra headers begin with", "list", ("X-Remote-Extra-",)),
    _Flag("--enable-bootstrap-token-auth", "accept bootstrap tokens", "bool", True),
    _Flag("--authentication-config", "file with JWT issuers and anonymous access", "path"),
    _Flag("--oidc-issuer-url", "an OpenID Connect issuer", "text", ""),
    _Flag("--oidc-client-id", "the audience that its tokens must have", "text", ""),
    _Flag("--oidc-ca-file", "the CA that its server has", "path"),
    _Flag("--oidc-username-claim", "the claim with the user's name", "text", "sub"),
    _Flag("--oidc-username-prefix", "put before the name; - is none", "text", ""),
    _Flag("--oidc-groups-claim", "the claim with the groups", "text", ""),
    _Flag("--oidc-groups-prefix", "put before each group", "text", ""),
    _Flag("--oidc-required-claim", "claim=value that tokens must have", "pairs", ()),
    _Flag("--oidc-signing-algs", "accepted algorithms", "list", ("RS256",)),
    _Flag("--authentication-token-webhook-config-file", "kubeconfig of a service that knows tokens", "path"),
    _Flag("--authentication-token-webhook-version", "version of TokenReview", "text", "v1"),
    _Flag("--authentication-token-webhook-cache-ttl", "how long its answers are remembered", "seconds", 120.0),
    _Flag("--authorization-mode", "authorizers, in order", "list", ("Node", "RBAC")),
    _Flag("--authorization-config", "file with the authorizers", "path"),
    _Flag("--authorization-webhook-config-file", "kubeconfig of a service that authorizes", "path"),
    _Flag("--authorization-webhook-version", "version of SubjectAccessReview", "text", "v1"),
    _Flag("--authorization-webhook-cache-authorized-ttl", "how long a yes is remembered", "seconds", 300.0),
    _Flag("--authorization-webhook-cache-unauthorized-ttl", "how long a no is remembered", "seconds", 30.0),
    _Flag("--authorization-policy-file", "policies of the mode ABAC", "path"),
    _Flag("--runtime-config", "versions to serve or not: api/all=true, GROUP/VERSION=false, ...", "list", ()),
    _Flag("--feature-gates", "what to turn on or off: Name=true, ...", "list", ()),
    _Flag("--enable-admission-plugins", "admission plugins beside those on by default", "list", ()),
    _Flag("--disable-admission-plugins", "admission plugins that are off", "list", ()),
    _Flag("--admission-control-config-file", "what the plugins are told: PodSecurity", "path"),
    _Flag("--anonymous-auth", "let requests without a name in", "bool", True),
    _Flag("--audit-policy-file", "what is recorded", "path"),
    _Flag("--audit-log-path", "where events are written; - is the standard output", "path"),
    _Flag("--audit-log-format", "json or legacy", "text", "json"),
    _Flag("--audit-log-maxsize", "MiB after which the log is rotated", "number", 100),
    _Flag("--audit-log-maxage", "days that old logs are kept", "number", 0),
    _Flag("--audit-log-maxbackup", "how many old logs are kept", "number", 0),
    _Flag("--audit-log-compress", "gzip old logs", "bool", False),
    _Flag("--audit-webhook-config-file", "kubeconfig of a service that gets events", "path"),
    _Flag("--audit-webhook-batch-buffer-size", "events that may wait for it", "number", 10_000),
    _Flag("--audit-webhook-batch-max-size", "events in one request", "number", 400),
    _Flag("--audit-webhook-batch-max-wait", "how long events wait for company", "seconds", 30.0),
    _Flag("--audit-webhook-initial-backoff", "pause after the first failure", "seconds", 10.0),
    _Flag("--encryption-provider-config", "which resources are encrypted, with which keys", "path"),
    _Flag("--encryption-provider-config-automatic-reload", "read that file again when it changes", "bool", False),
    _Flag("--enable-priority-and-fairness", "share the server fairly; else two fixed limits", "bool", True),
    _Flag("--max-requests-inflight", "reads at once (seats, with priority and fairness)", "number", 400),
    _Flag("--max-mutating-requests-inflight", "writes at once", "number", 200),
    _Flag("--service-account-issuer", "issuers of tokens; the first issues", "list", ()),
    _Flag("--service-account-jwks-uri", "where others find the keys of tokens (this server)", "text", ""),
    _Flag("--service-account-key-file", "files with further keys that may have signed tokens", "list", ()),
    _Flag("--service-account-extend-token-expiration", "let pods' tokens live a year", "bool", True),
    _Flag("--service-account-max-token-expiration", "the longest life of a token", "seconds", 365 * 24 * 3600.0),
    _Flag("--api-audiences", "audiences of tokens for this API", "list", ()),
)


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise argparse.ArgumentTypeError(f'invalid argument "{text}": must be true or false')


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _seconds(text: str) -> float:
    from tiphys.apiserver.configfile import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for item in _list(text):
        key, equals, value = item.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"{item} must be formatted as key=value")
        found.append((key, value))
    return tuple(found)


_SORTS: dict[str, Any] = {
    "text": str, "path": Path, "list": _list, "number": int, "seconds": _seconds, "bool": _boolean, "pairs": _pairs,
}  # fmt: skip


def add_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("identities, rights, audit, encryption, fairness")
    for flag in _FLAGS:
        more: dict[str, Any] = {"nargs": "?", "const": True} if flag.sort == "bool" else {}
        text = flag.help.replace("%", "%%")
        group.add_argument(flag.name, type=_SORTS[flag.sort], default=flag.default, help=text, **more)


def security(options: argparse.Namespace) -> SecuritySettings:
    """What the flags say. Raises ValueError for flags that exclude each other."""
    from tiphys.apiserver import security as s

    o = options
    if o.authorization_config is not None and o.authorization_webhook_config_file is not None:
        raise ValueError("--authorization-config can not be specified when --authorization-webhook-* flags are set")
    if o.service_account_jwks_uri and not o.service_account_jwks_uri.startswith("https://"):
        raise ValueError(f"service-account-jwks-uri requires https scheme, parsed as: {o.service_account_jwks_uri}")
    return s.SecuritySettings(
        authentication=s.AuthenticationSettings(
            client_ca_file=o.client_ca_file, requestheader_ca_file=o.requestheader_client_ca_file,
            requestheader_allowed_names=o.requestheader_allowed_names,
            requestheader_username_headers=o.requestheader_username_headers,
            requestheader_uid_headers=o.requestheader_uid_headers,
            requestheader_group_headers=o.requestheader_group_headers,
            requestheader_extra_headers_prefixes=o.requestheader_extra_headers_prefix,
            bootstrap_tokens=o.enable_bootstrap_token_auth, config_file=o.authentication_config,
            oidc=s.OidcFlags(
                issuer_url=o.oidc_issuer_url, client_id=o.oidc_client_id, ca_file=o.oidc_ca_file,
                username_claim=o.oidc_username_claim, username_prefix=o.oidc_username_prefix,
                groups_claim=o.oidc_groups_claim, groups_prefix=o.oidc_groups_prefix,
                required_claims=o.oidc_required_claim, signing_algorithms=o.oidc_signing_algs,
            ),
            webhook_config_file=o.authentication_token_webhook_config_file,
            webhook_version=o.authentication_token_webhook_version,
            webhook_cache_ttl_s=o.authentication_token_webhook_cache_ttl,
        ),
        authorization=s.AuthorizationSettings(
            config_file=o.authorization_config, webhook_config_file=o.authorization_webhook_config_file,
            webhook_version=o.authorization_webhook_version,
            webhook_authorized_ttl_s=o.authorization_webhook_cache_authorized_ttl,
            webhook_unauthorized_ttl_s=o.authorization_webhook_cache_unauthorized_ttl,
            policy_file=o.authorization_policy_file,
        ),
        audit=s.AuditSettings(
            policy_file=o.audit_policy_file, log_path=o.audit_log_path, log_format=o.audit_log_format,
            log_max_bytes=o.audit_log_maxsize * 1024 * 1024, log_max_age_days=o.audit_log_maxage,
            log_max_backups=o.audit_log_maxbackup, log_compress=o.audit_log_compress,
            webhook_config_file=o.audit_webhook_config_file, webhook_buffer=o.audit_webhook_batch_buffer_size,
            webhook_batch=o.audit_webhook_batch_max_size, webhook_batch_wait_s=o.audit_webhook_batch_max_wait,
            webhook_initial_backoff_s=o.audit_webhook_initial_backoff,
        ),
        encryption=s.EncryptionSettings(
            o.encryption_provider_config, o.encryption_provider_config_automatic_reload
        ),
        priority_and_fairness=o.enable_priority_and_fairness,
    )  # fmt: skip


def others(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of `ApiServerSettings` itself, by their names."""
    o = options
    found: dict[str, Any] = {
        "authorization": o.authorization_mode, "anonymous": o.anonymous_auth,
        "max_reads_in_flight": o.max_requests_inflight, "max_writes_in_flight": o.max_mutating_requests_inflight,
        "service_account_key_files": tuple(Path(path) for path in o.service_account_key_file),
        "api_audiences": o.api_audiences,
        "enabled_admission": frozenset(o.enable_admission_plugins),
        "disabled_admission": frozenset(o.disable_admission_plugins),
        "admission_config_file": o.admission_control_config_file,
        "runtime_config": tuple(o.runtime_config), "feature_gates": tuple(o.feature_gates),
        "jwks_uri": o.service_account_jwks_uri,
        "extend_token_expiration": o.service_account_extend_token_expiration,
        "max_token_expiration_s": int(o.service_account_max_token_expiration),
    }  # fmt: skip
    if o.service_account_issuer:
        found["issuer"], found["accepted_issuers"] = o.service_account_issuer[0], o.service_account_issuer[1:]
    return found
