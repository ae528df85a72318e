"""Bootstrap tokens: `id.secret`, kept as Secrets of kube-system, with which new nodes introduce themselves.

Source: plugin/pkg/auth/authenticator/token/bootstrap, staging/src/k8s.io/cluster-bootstrap/token.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Sequence
from typing import Any

from tiphys.api.kinds import SECRET
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.chain.tokens import Found, agnostic
from tiphys.apiserver.request import User
from tiphys.base.clock import Clock, parse_rfc3339

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"
SECRET_TYPE = "bootstrap.kubernetes.io/token"  # noqa: S105 # a type's name
_PREFIX = "bootstrap-token-"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
DEFAULT_GROUP = "system:bootstrappers"


class BootstrapTokens:
    """Reads the Secrets from the watch cache."""

    def __init__(self, caches: Caches, audiences: Sequence[str], clock: Clock) -> None:
        self._secrets = caches.cache_of(SECRET)
        self._audiences = tuple(audiences)
        self._clock = clock

    async def find(self, token: str, audiences: Sequence[str]) -> Found | None:
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            return None
        entry = self._secrets.get(NAMESPACE, _PREFIX + parts[1])
        if entry is None:
            return None
        why = self._unusable(entry.obj, parts[1], parts[2])
        if why:
            log.info("Secret %s/%s is no good for a bootstrap token: %s", NAMESPACE, entry.name, why)
            return None
        groups = _groups(entry.obj)
        if groups is None:
            log.info("Secret %s/%s: a group of auth-extra-groups is not well formed", NAMESPACE, entry.name)
            return None
        return agnostic(User(f"system:bootstrap:{parts[1]}", "", groups), audiences, self._audiences)

    def _unusable(self, secret: Any, token_id: str, token_secret: str) -> str:
        """Why the token of this Secret is not to be accepted; empty: it is."""
        if secret.metadata.deletion_timestamp is not None:
            return "it is being deleted"
        if secret.type != SECRET_TYPE:
            return f"its type is not {SECRET_TYPE}"
        if not hmac.compare_digest(value(secret, "token-secret").encode(), token_secret.encode()):
            return "token-secret does not match"
        if value(secret, "token-id") != token_id:
            return "token-id does not match"
        expiration = value(secret, "expiration")
        if expiration:
            try:
                if self._clock.now() >= parse_rfc3339(expiration):
                    return "it has expired"
            except ValueError:
                return "expiration is no time"
        if value(secret, "usage-bootstrap-authentication") != "true":
            return "usage-bootstrap-authentication is not true"
        return ""


def value(secret: Any, key: str) -> str:
    """A Secret's datum as text; empty where it is absent or no text."""
    try:
        return bytes(secret.data.get(key, b"")).decode()
    except UnicodeDecodeError:
        return ""


def _groups(secret: Any) -> tuple[str, ...] | None:
    """The token's groups; None where one is not well formed."""
    extra = [group for group in value(secret, "auth-extra-groups").split(",") if group]
    if not all(_GROUP.fullmatch(group) for group in extra):
        return None
    return tuple(sorted({DEFAULT_GROUP, *extra}))
