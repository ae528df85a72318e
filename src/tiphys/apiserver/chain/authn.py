"""Who asks: the client's certificate, then the bearer token, then nobody in particular.

A token that was good is remembered for ten seconds, as upstream does, so that an RSA check is paid once per client and
not once per request; one bound to something deleted may live that much longer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from tiphys.api.errors import Unauthorized
from tiphys.apiserver.chain.exchange import Exchange
from tiphys.apiserver.chain.serviceaccounts import InvalidToken, ServiceAccountTokens, is_ours
from tiphys.apiserver.chain.tokens import StaticTokens
from tiphys.apiserver.request import ANONYMOUS, User
from tiphys.base.clock import Clock

_REMEMBER_S = 10.0
_MAX_REMEMBERED = 4096
_MAX_TOKEN_BYTES = 32 * 1024


class _Known(NamedTuple):
    user: User
    until: float


class Authenticator:
    """`authenticate` is synchronous: everything it looks at is in memory."""

    def __init__(
        self,
        static: StaticTokens,
        accounts: ServiceAccountTokens,
        audiences: Sequence[str],
        clock: Clock,
        *,
        anonymous: bool,
    ) -> None:
        self._static = static
        self.accounts = accounts
        self.audiences = tuple(audiences)
        self._clock = clock
        self._anonymous = anonymous
        self._known: dict[bytes, _Known] = {}

    def authenticate(self, exchange: Exchange) -> User:
        """Raises Unauthorized: bad credentials are refused even where anonymous requests are welcome."""
        if exchange.client_user is not None:
            return exchange.client_user
        token = _bearer(exchange)
        if token:
            return self._by_token(token)
        if not self._anonymous:
            raise Unauthorized("Unauthorized")
        return ANONYMOUS

    def _by_token(self, token: str) -> User:
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        now = self._clock.monotonic()
        known = self._known.get(digest)
        if known is not None and known.until > now:
            return known.user
        try:
            user, _ = self.review(token, self.audiences)
        except InvalidToken as error:
            raise Unauthorized("Unauthorized") from error
        if len(self._known) >= _MAX_REMEMBERED:
            self._known.clear()
        self._known[digest] = _Known(user, now + _REMEMBER_S)
        return user

    def review(self, token: str, audiences: Sequence[str]) -> tuple[User, tuple[str, ...]]:
        """(user, audiences of ours that the token is for). Raises InvalidToken. Remembers nothing."""
        if len(token) > _MAX_TOKEN_BYTES:
            raise InvalidToken("invalid bearer token")
        user = self._static.user(token)
        if user is not None:
            return user, tuple(a for a in audiences if a in self.audiences) or self.audiences
        if not is_ours(token, self.accounts.issuer):
            raise InvalidToken("invalid bearer token")
        user, common, _ = self.accounts.validate(token, audiences)
        return user, common


def _bearer(exchange: Exchange) -> str:
    """The token of the Authorization header, or of a browser's WebSocket sub-protocol."""
    header = exchange.headers.get("Authorization", "")
    if header:
        scheme, _, token = header.strip().partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    if exchange.headers.get("Upgrade", "").lower() == "websocket":
        return _websocket_bearer(exchange)
    return ""


_PROTOCOL_PREFIX = "base64url.bearer.authorization.k8s.io."


def _websocket_bearer(exchange: Exchange) -> str:
    import base64
    import binascii

    for header in exchange.all_values("Sec-WebSocket-Protocol"):
        for protocol in header.split(","):
            encoded = protocol.strip()
            if encoded.startswith(_PROTOCOL_PREFIX):
                encoded = encoded[len(_PROTOCOL_PREFIX) :]
                try:
                    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
                except (binascii.Error, UnicodeDecodeError) as error:
                    raise Unauthorized("Unauthorized") from error
    return ""
