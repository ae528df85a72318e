"""The authorizers that the settings ask for. Source: pkg/kubeapiserver/authorizer/config.go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tiphys.apiserver.authz import config as configuration
from tiphys.apiserver.authz.config import AuthorizerConfiguration
from tiphys.apiserver.authz.decision import Part
from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.authz.rbac import Caches, Rbac
from tiphys.apiserver.authz.rules import compiled
from tiphys.apiserver.authz.simple import AlwaysAllow, AlwaysDeny, read_abac
from tiphys.apiserver.authz.webhook import WebhookAuthorizer
from tiphys.apiserver.authz.webhook import compiled as conditions_of
from tiphys.apiserver.configfile import ConfigError, refuse, seconds
from tiphys.apiserver.security import AuthorizationSettings
from tiphys.apiserver.streaming.backend import Backend
from tiphys.apiserver.webhook import Webhook
from tiphys.base.clock import Clock


class AuthorizerParts:
    """Makes the parts; RBAC and Node are made once, for they count what is in the caches."""

    def __init__(
        self,
        modes: Sequence[str],
        settings: AuthorizationSettings,
        caches: Caches,
        backend: Backend,
        clock: Clock,
    ) -> None:
        self._modes = tuple(modes)
        self._settings = settings
        self._caches = caches
        self._backend = backend
        self._clock = clock
        self._kept: dict[str, Part] = {}

    @property
    def watched(self) -> Path | None:
        """The file whose change means that `make` gives something else."""
        return self._settings.config_file

    def make(self) -> list[Part | WebhookAuthorizer]:
        """In order. Raises ConfigError."""
        path = self._settings.config_file
        config = configuration.from_flags(self._modes, self._settings) if path is None else configuration.load(path)
        where = str(path) if path is not None else "authorization-mode"
        return [self._part(one, where, index) for index, one in enumerate(config.authorizers)]

    def _part(self, one: AuthorizerConfiguration, where: str, index: int) -> Part | WebhookAuthorizer:
        if one.type == "Webhook" and one.webhook is not None:
            programs, errors = conditions_of(one.webhook, f"authorizers[{index}].webhook")
            refuse(where, errors)
            file = one.webhook.connection_info.kube_config_file
            if not file:
                raise ConfigError(f"{where}: authorizers[{index}]: InClusterConfig needs a pod to run in")
            webhook = Webhook(Path(file), self._backend, self._clock, timeout_s=seconds(one.webhook.timeout))
            return WebhookAuthorizer(one.name, one.webhook, webhook, programs, self._clock)
        known = self._kept.get(one.type)
        if known is None:
            known = self._kept[one.type] = self._local(one.type)
        return known

    def _local(self, kind: str) -> Part:
        if kind == "RBAC":
            return Rbac(self._caches)
        if kind == "Node":
            # The rules are read from the bootstrap tables, which know the roles.
            from tiphys.apiserver.bootstrap import policy

            return NodeAuthorizer(self._caches, compiled(policy.node_rules()))
        if kind == "ABAC" and self._settings.policy_file is not None:
            return read_abac(self._settings.policy_file)
        if kind == "AlwaysAllow":
            return AlwaysAllow()
        if kind == "AlwaysDeny":
            return AlwaysDeny()
        raise ConfigError(f"authorizer {kind} lacks its policy file")
