"""The authenticator that the settings ask for. Source: pkg/kubeapiserver/authenticator/config.go."""

from __future__ import annotations

import ssl
from pathlib import Path

from tiphys.apiserver.authz.authorizer import MASTERS
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.chain.authn import Anonymous, Authenticator
from tiphys.apiserver.chain.bootstraptokens import BootstrapTokens
from tiphys.apiserver.chain.certificates import AUTHENTICATED
from tiphys.apiserver.chain.oidc import config as oidc_config
from tiphys.apiserver.chain.oidc import source as oidc
from tiphys.apiserver.chain.oidc.config import AuthenticationConfiguration
from tiphys.apiserver.chain.requestheader import RequestHeaders
from tiphys.apiserver.chain.serviceaccounts import ServiceAccountTokens
from tiphys.apiserver.chain.tokens import StaticTokens, TokenSource, read_token_file
from tiphys.apiserver.chain.webhooktokens import WebhookTokens
from tiphys.apiserver.configfile import ConfigError
from tiphys.apiserver.request import User
from tiphys.apiserver.settings import ApiServerSettings
from tiphys.apiserver.streaming.backend import Backend
from tiphys.apiserver.webhook import Webhook
from tiphys.base.clock import Clock


class Identities:
    """Makes the authenticator; `reload` gives it what the configuration file says now."""

    def __init__(
        self,
        settings: ApiServerSettings,
        accounts: ServiceAccountTokens,
        caches: Caches,
        backend: Backend,
        clock: Clock,
    ) -> None:
        """Raises ConfigError, OSError, ValueError for files that are not what they should be."""
        self._settings = settings
        self._wanted = settings.security.authentication
        self._backend = backend
        self._clock = clock
        config, self._where = self._config()
        local: list[TokenSource] = [StaticTokens(self._static(), settings.audiences), accounts]
        if self._wanted.bootstrap_tokens:
            local.append(BootstrapTokens(caches, settings.audiences, clock))
        self._before, self._after = local, self._webhook()
        self.authenticator = Authenticator(
            [*self._before, *self._issuers(config), *self._after], accounts, settings.audiences, clock,
            anonymous=self._anonymous(config), request_headers=self._headers(),
        )  # fmt: skip

    @property
    def watched(self) -> Path | None:
        """The file that `reload` reads."""
        return self._wanted.config_file

    def reload(self) -> None:
        """Raises ConfigError and changes nothing where the file is no good."""
        config, self._where = self._config()
        sources = [*self._before, *self._issuers(config), *self._after]
        self.authenticator.sources = sources
        self.authenticator.anonymous = self._anonymous(config)
        self.authenticator.forget()

    def _config(self) -> tuple[AuthenticationConfiguration, str]:
        path = self._wanted.config_file
        if path is None:
            return oidc_config.from_flags(self._wanted.oidc), "oidc-issuer-url"
        if self._wanted.oidc.issuer_url:
            raise ConfigError("authentication-config file and oidc-* flags are mutually exclusive")
        return oidc_config.load(path, self._settings.issuers), str(path)

    def _issuers(self, config: AuthenticationConfiguration) -> list[oidc.OidcTokens]:
        algorithms = self._wanted.oidc.signing_algorithms if self._wanted.config_file is None else oidc.ASYMMETRIC
        try:
            return oidc.sources(
                config, self._where, self._settings.audiences, algorithms, self._backend, self._clock
            )  # fmt: skip
        except ssl.SSLError as error:
            raise ConfigError(f"{self._where}: certificateAuthority: {error}") from error

    def _anonymous(self, config: AuthenticationConfiguration) -> Anonymous:
        stated = config.anonymous
        if stated is None:
            return Anonymous(self._settings.anonymous)
        return Anonymous(stated.enabled, frozenset(condition.path for condition in stated.conditions))

    def _headers(self) -> RequestHeaders:
        wanted = self._wanted
        return RequestHeaders(
            wanted.requestheader_username_headers, wanted.requestheader_uid_headers,
            wanted.requestheader_group_headers, wanted.requestheader_extra_headers_prefixes,
            wanted.requestheader_allowed_names,
        )  # fmt: skip

    def _webhook(self) -> list[TokenSource]:
        file = self._wanted.webhook_config_file
        if file is None:
            return []
        webhook = Webhook(file, self._backend, self._clock)
        return [
            WebhookTokens(
                webhook, self._wanted.webhook_version, self._settings.audiences, self._clock,
                self._wanted.webhook_cache_ttl_s,
            )
        ]  # fmt: skip

    def _static(self) -> dict[str, User]:
        settings = self._settings
        tokens = read_token_file(settings.token_file) if settings.token_file is not None else {}
        if settings.admin_token:
            tokens[settings.admin_token] = User("kubernetes-admin", groups=(MASTERS, AUTHENTICATED))
        return tokens
