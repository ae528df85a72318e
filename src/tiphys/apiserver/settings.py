"""Everything that can be set on the API server, in one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tiphys.apiserver.security import SecuritySettings


class Bind(msgspec.Struct, frozen=True):
    """An address to listen on."""

    host: str = "127.0.0.1"
    port: int = 6443
    """0: any free port."""


class PkiPaths(msgspec.Struct, frozen=True):
    """The files of the server's identity, all under one directory. Names as kubeadm has them."""

    directory: Path

    @property
    def ca_cert(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.directory / "ca.key"

    @property
    def server_cert(self) -> Path:
        return self.directory / "apiserver.crt"

    @property
    def server_key(self) -> Path:
        return self.directory / "apiserver.key"

    @property
    def kubelet_client_cert(self) -> Path:
        return self.directory / "kube-apiserver-kubelet-client.crt"

    @property
    def kubelet_client_key(self) -> Path:
        return self.directory / "kube-apiserver-kubelet-client.key"

    @property
    def service_account_key(self) -> Path:
        return self.directory / "sa.key"

    @property
    def front_proxy_ca_cert(self) -> Path:
        return self.directory / "front-proxy-ca.crt"

    @property
    def front_proxy_ca_key(self) -> Path:
        return self.directory / "front-proxy-ca.key"

    @property
    def front_proxy_client_cert(self) -> Path:
        return self.directory / "front-proxy-client.crt"

    @property
    def front_proxy_client_key(self) -> Path:
        return self.directory / "front-proxy-client.key"


class ApiServerSettings(msgspec.Struct, frozen=True):
    """Flag names in the descriptions are upstream's kube-apiserver's."""

    pki_dir: Path
    """--cert-dir. Missing keys and certificates are made on start."""
    binds: tuple[Bind, ...] = (Bind(),)
    """--bind-address, --secure-port. The first one is `ApiServer.url`."""
    advertise_address: str = ""
    """--advertise-address: where the `kubernetes` Service leads. Empty: the first bind address that is no wildcard."""
    server_names: tuple[str, ...] = ()
    """Further names and addresses in the serving certificate."""
    service_cidr: str = "10.96.0.0/16"
    """--service-cluster-ip-range"""
    node_port_first: int = 30000
    node_port_last: int = 32767
    """--service-node-port-range"""
    cluster_domain: str = "cluster.local"
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    """--service-account-issuer, the first of them"""
    accepted_issuers: tuple[str, ...] = ()
    """--service-account-issuer, the others: issuers of tokens that are still good."""
    jwks_uri: str = ""
    """--service-account-jwks-uri: where others find the keys; empty: at this server."""
    service_account_key_files: tuple[Path, ...] = ()
    """--service-account-key-file: further keys that may have signed tokens."""
    api_audiences: tuple[str, ...] = ()
    """--api-audiences; empty: the issuer."""
    max_token_expiration_s: int = 365 * 24 * 3600
    """--service-account-max-token-expiration"""
    extend_token_expiration: bool = True
    """--service-account-extend-token-expiration: kubelet's one-hour tokens live a year, with a warning date inside."""
    token_file: Path | None = None
    """--token-auth-file: CSV of token,user,uid,"group1,group2"."""
    admin_token: str = ""
    """A bearer token of group system:masters, for the machine's own administrator; empty: none."""
    anonymous: bool = True
    """--anonymous-auth"""
    authorization: tuple[str, ...] = ("Node", "RBAC")
    """--authorization-mode, in order; `AlwaysAllow` is for tests."""
    runtime_config: tuple[str, ...] = ()
    """--runtime-config: `api/beta=true`, `GROUP/VERSION=true`, ..."""
    feature_gates: tuple[str, ...] = ()
    """--feature-gates: `Name=true`, ...; what they turn on holds for the whole process."""
    enabled_admission: frozenset[str] = frozenset()
    """--enable-admission-plugins: in addition to those that are on by default."""
    disabled_admission: frozenset[str] = frozenset()
    """--disable-admission-plugins"""
    admission_config_file: Path | None = None
    """--admission-control-config-file"""
    security: SecuritySettings = SecuritySettings()
    """Authenticators, authorizers, audit, encryption, priority and fairness."""
    max_body_bytes: int = 3 * 1024 * 1024
    """As upstream's limit on request bodies."""
    request_timeout_s: float = 60.0
    """--request-timeout; watches and tunnels are exempt."""
    min_watch_timeout_s: float = 1800.0
    """--min-request-timeout: a watch without its own timeout ends after this, plus up to as much again."""
    bookmark_interval_s: float = 60.0
    max_reads_in_flight: int = 400
    """--max-requests-inflight"""
    max_writes_in_flight: int = 200
    """--max-mutating-requests-inflight"""
    max_connections: int = 20_000
    drain_s: float = 5.0
    """How long a stop waits for requests under way."""
    kubelet_port: int = 10250
    """Where a Node's status names no port."""
    gzip_threshold_bytes: int = 128 * 1024
    """Answers at least this long are compressed when asked for, as upstream."""

    inside: Mapping[tuple[str, str], Any] = {}
    """(namespace, name) of a Service -> the `Handler` that answers in this process for APIServices that lead to it, for
    as long as there is no such Service."""

    @property
    def pki(self) -> PkiPaths:
        return PkiPaths(self.pki_dir)

    @property
    def issuers(self) -> tuple[str, ...]:
        return (self.issuer, *self.accepted_issuers)

    @property
    def audiences(self) -> tuple[str, ...]:
        return self.api_audiences or self.issuers

    def __repr__(self) -> str:
        return f"ApiServerSettings({self.pki_dir}, {self.binds})"  # the admin's token stays out of logs
