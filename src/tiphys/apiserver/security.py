"""How the API server knows its callers, judges them and keeps their secrets: the settings of the chain.

Flag names in the descriptions are upstream's kube-apiserver's.
"""

from __future__ import annotations

from pathlib import Path

import msgspec


class OidcFlags(msgspec.Struct, frozen=True):
    """One issuer of identity tokens, by the `--oidc-*` flags. Source: pkg/kubeapiserver/options/authentication.go."""

    issuer_url: str = ""
    """--oidc-issuer-url; empty: no OIDC by flags."""
    client_id: str = ""
    """--oidc-client-id"""
    ca_file: Path | None = None
    """--oidc-ca-file; None: the machine's own trust."""
    username_claim: str = "sub"
    """--oidc-username-claim"""
    username_prefix: str = ""
    """--oidc-username-prefix; `-` is none, empty is the issuer's URL and `#` for claims other than `email`."""
    groups_claim: str = ""
    """--oidc-groups-claim"""
    groups_prefix: str = ""
    """--oidc-groups-prefix"""
    required_claims: tuple[tuple[str, str], ...] = ()
    """--oidc-required-claim, as (claim, value)."""
    signing_algorithms: tuple[str, ...] = ("RS256",)
    """--oidc-signing-algs"""


class AuthenticationSettings(msgspec.Struct, frozen=True):
    """Sources of identities beside client certificates, the token file and service accounts."""

    client_ca_file: Path | None = None
    """--client-ca-file; None: the server's own CA."""
    requestheader_ca_file: Path | None = None
    """--requestheader-client-ca-file; None: the server's own front-proxy CA."""
    requestheader_allowed_names: tuple[str, ...] = ("front-proxy-client",)
    """--requestheader-allowed-names; empty: any name that the CA signed."""
    requestheader_username_headers: tuple[str, ...] = ("X-Remote-User",)
    requestheader_uid_headers: tuple[str, ...] = ("X-Remote-Uid",)
    requestheader_group_headers: tuple[str, ...] = ("X-Remote-Group",)
    requestheader_extra_headers_prefixes: tuple[str, ...] = ("X-Remote-Extra-",)
    bootstrap_tokens: bool = True
    """--enable-bootstrap-token-auth. On, for nodes join with such tokens."""
    config_file: Path | None = None
    """--authentication-config: JWT issuers and anonymous access. Read again when it changes."""
    oidc: OidcFlags = OidcFlags()
    webhook_config_file: Path | None = None
    """--authentication-token-webhook-config-file: a kubeconfig."""
    webhook_version: str = "v1"
    """--authentication-token-webhook-version. Upstream's default is v1beta1, which it calls deprecated."""
    webhook_cache_ttl_s: float = 120.0
    """--authentication-token-webhook-cache-ttl"""


class AuthorizationSettings(msgspec.Struct, frozen=True):
    """Beside `--authorization-mode`, which is a setting of its own."""

    config_file: Path | None = None
    """--authorization-config: excludes the mode and the webhook flags. Read again when it changes."""
    webhook_config_file: Path | None = None
    """--authorization-webhook-config-file: a kubeconfig, for the mode Webhook."""
    webhook_version: str = "v1"
    """--authorization-webhook-version"""
    webhook_authorized_ttl_s: float = 300.0
    """--authorization-webhook-cache-authorized-ttl"""
    webhook_unauthorized_ttl_s: float = 30.0
    """--authorization-webhook-cache-unauthorized-ttl"""
    policy_file: Path | None = None
    """--authorization-policy-file: for the mode ABAC."""


class AuditSettings(msgspec.Struct, frozen=True):
    """Where events go and which. Source: staging/src/k8s.io/apiserver/pkg/server/options/audit.go."""

    policy_file: Path | None = None
    """--audit-policy-file; without one nothing is recorded, but see `log_path`."""
    log_path: Path | None = None
    """--audit-log-path; `-` is the standard output. Without a policy, all requests are written at level Metadata."""
    log_format: str = "json"
    """--audit-log-format: `json` or `legacy`."""
    log_max_bytes: int = 100 * 1024 * 1024
    """--audit-log-maxsize (in MiB there); 0: never rotated."""
    log_max_age_days: int = 0
    """--audit-log-maxage; 0: any age."""
    log_max_backups: int = 0
    """--audit-log-maxbackup; 0: any number."""
    log_compress: bool = False
    """--audit-log-compress"""
    webhook_config_file: Path | None = None
    """--audit-webhook-config-file: a kubeconfig."""
    webhook_buffer: int = 10_000
    """--audit-webhook-batch-buffer-size"""
    webhook_batch: int = 400
    """--audit-webhook-batch-max-size"""
    webhook_batch_wait_s: float = 30.0
    """--audit-webhook-batch-max-wait"""
    webhook_initial_backoff_s: float = 10.0
    """--audit-webhook-initial-backoff"""

    @property
    def enabled(self) -> bool:
        return self.log_path is not None or self.webhook_config_file is not None


class EncryptionSettings(msgspec.Struct, frozen=True):
    """Encryption of stored objects."""

    config_file: Path | None = None
    """--encryption-provider-config"""
    reload: bool = False
    """--encryption-provider-config-automatic-reload"""


class SecuritySettings(msgspec.Struct, frozen=True):
    """All of the above."""

    authentication: AuthenticationSettings = AuthenticationSettings()
    authorization: AuthorizationSettings = AuthorizationSettings()
    audit: AuditSettings = AuditSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    priority_and_fairness: bool = True
    """--enable-priority-and-fairness; off: two fixed limits on what is in flight."""
