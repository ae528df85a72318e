"""Tokens of the old kind: they never expire, name no audience, and are good as long as their Secret holds them.

Source: pkg/serviceaccount/legacy.go.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tiphys.api.errors import AlreadyExists, ApiError
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, SECRET, SERVICEACCOUNT
from tiphys.api.meta.schema import copy_of
from tiphys.apiserver.authz.rbac import groups_of_service_account
from tiphys.apiserver.chain.tokens import InvalidToken
from tiphys.apiserver.registry.interface import Registry, WriteOptions
from tiphys.apiserver.request import User
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)

ISSUER = "kubernetes/serviceaccount"
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TRACKING_CONFIG = "kube-apiserver-legacy-service-account-token-tracking"
_CLAIM = "kubernetes.io/serviceaccount/"
_OPTIONS = WriteOptions(user=User("system:apiserver", groups=("system:masters",)), field_manager="kube-apiserver")

Used = Callable[[Any], None]
"""Told of each Secret whose token was used."""
Live = Callable[[Any, str, str], Any]
"""(kind, namespace, name) -> the object now, or None."""


def user_of(claims: dict[str, Any], token: str, live: Live, _now: datetime) -> tuple[User, Any]:
    """(user, the Secret) of a token whose signature is good. Raises InvalidToken."""
    subject = str(claims.get("sub", ""))
    namespace, secret_name, account_name, account_uid = (
        str(claims.get(_CLAIM + key, "")) for key in ("namespace", "secret.name", "service-account.name",
                                                      "service-account.uid")
    )  # fmt: skip
    for value, name in ((subject, "sub"), (namespace, "namespace"), (secret_name, "secretName"),
                        (account_name, "serviceAccountName"), (account_uid, "serviceAccountUID")):  # fmt: skip
        if not value:
            raise InvalidToken(f"{name} claim is missing")
    if subject != f"system:serviceaccount:{namespace}:{account_name}":
        raise InvalidToken("sub claim is invalid")
    secret = live(SECRET, namespace, secret_name)
    if secret is None or secret.metadata.deletion_timestamp is not None:
        raise InvalidToken("Token has been invalidated")
    if not hmac.compare_digest(bytes(secret.data.get("token", b"")), token.encode()):
        raise InvalidToken("Token does not match server's copy")
    if INVALID_SINCE in secret.metadata.labels:
        raise InvalidToken(
            f"the token in secret {namespace}/{secret_name} for service account {namespace}/{account_name} has been "
            f"marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove "
            f"the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
        )
    account = live(SERVICEACCOUNT, namespace, account_name)
    if account is None or account.metadata.deletion_timestamp is not None:
        raise InvalidToken(f"ServiceAccount {namespace}/{account_name} has been deleted")
    if account.metadata.uid != account_uid:
        raise InvalidToken(f"ServiceAccount UID ({account.metadata.uid}) does not match claim ({account_uid})")
    return User(subject, account_uid, groups_of_service_account(namespace)), secret


class Tracking:
    """Notes on each Secret the day on which its token was used last, and since when that is done.

    Source: pkg/serviceaccount/legacy.go, pkg/controlplane/controller/legacytokentracking.
    """

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, secret: Any) -> None:
        today = self._clock.now().strftime("%Y-%m-%d")
        if secret.metadata.labels.get(LAST_USED) != today:
            task = asyncio.create_task(self._note(secret.metadata.namespace, secret.metadata.name, today))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _note(self, namespace: str, name: str, today: str) -> None:
        def noted(current: Any) -> Any:
            changed = copy_of(current)
            changed.metadata.labels = {**changed.metadata.labels, LAST_USED: today}
            return changed

        try:
            await self._registry.update(SECRET, namespace, name, noted, _OPTIONS)
        except ApiError as error:
            log.info("Secret %s/%s: its use cannot be noted: %s", namespace, name, error)

    async def begin(self) -> None:
        """Write down since when, once."""
        config = new(CONFIGMAP, TRACKING_CONFIG, "kube-system")
        config.data = {"since": self._clock.now().strftime("%Y-%m-%d")}
        try:
            await self._registry.create(CONFIGMAP, "kube-system", config, _OPTIONS)
        except AlreadyExists:
            return
        except ApiError as error:
            log.warning("ConfigMap %s cannot be made: %s", TRACKING_CONFIG, error)
