"""Tokens that a remote service knows: TokenReview, with its answers remembered.

Source: staging/src/k8s.io/apiserver/plugin/pkg/authenticator/token/webhook.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

from tiphys.apiserver.chain.tokens import Found, InvalidToken, agnostic
from tiphys.apiserver.request import User
from tiphys.apiserver.webhook import Webhook, WebhookError
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)
_MAX_REMEMBERED = 4096

_Answer = Found | str | None
"""Found, not known, or the service's words on why not."""


class WebhookTokens:
    """Answers of either kind are remembered for `ttl_s`; failures to ask are not."""

    def __init__(self, webhook: Webhook, version: str, audiences: Sequence[str], clock: Clock, ttl_s: float) -> None:
        self._webhook = webhook
        self._api_version = f"authentication.k8s.io/{version}"
        self._ours = tuple(audiences)
        self._clock = clock
        self._ttl_s = ttl_s
        self._known: dict[tuple[bytes, tuple[str, ...]], tuple[_Answer, float]] = {}

    async def find(self, token: str, audiences: Sequence[str]) -> Found | None:
        key = (hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest(), tuple(audiences))
        known = self._known.get(key)
        now = self._clock.monotonic()
        if known is None or known[1] <= now:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            known = self._known[key] = (await self._ask(token, audiences), now + self._ttl_s)
        answer = known[0]
        if isinstance(answer, str):
            raise InvalidToken(answer)
        return answer

    async def _ask(self, token: str, audiences: Sequence[str]) -> _Answer:
        review = {
            "kind": "TokenReview", "apiVersion": self._api_version, "metadata": {},
            "spec": {"token": token, "audiences": list(audiences)},
        }  # fmt: skip
        try:
            answer = await self._webhook.post(review)
        except WebhookError as error:
            log.error("Failed to make webhook authenticator request: %s", error)
            raise InvalidToken(str(error)) from error
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            raise InvalidToken("the token webhook's answer has no status")
        if not status.get("authenticated"):
            return str(status.get("error") or "") or None
        user = _user(status.get("user"))
        stated = status.get("audiences")
        if not stated:
            # A service that knows no audiences speaks for ours alone.
            return agnostic(user, audiences, self._ours)
        common = tuple(audience for audience in audiences if audience in stated)
        return Found(user, common) if common else None


def _user(found: Any) -> User:
    """Raises InvalidToken for what is no user."""
    if not isinstance(found, dict):
        raise InvalidToken("the token webhook named no user")
    extra = found.get("extra") or {}
    return User(
        str(found.get("username") or ""),
        str(found.get("uid") or ""),
        tuple(str(group) for group in found.get("groups") or ()),
        {str(key): tuple(str(value) for value in values) for key, values in extra.items()},
    )
