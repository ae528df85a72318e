"""Who asks: a front proxy's headers, the client's certificate, a bearer token, or nobody in particular.

A token that was good is remembered for ten seconds, as upstream does, so that an RSA check is paid once per client and
not once per request; one bound to something deleted may live that much longer.
Source: pkg/kubeapiserver/authenticator/config.go.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tiphys.api.errors import Unauthorized
from tiphys.apiserver.chain.certificates import AUTHENTICATED, FrontProxy
from tiphys.apiserver.chain.exchange import Exchange
from tiphys.apiserver.chain.requestheader import RequestHeaders
from tiphys.apiserver.chain.serviceaccounts import ServiceAccountTokens
from tiphys.apiserver.chain.tokens import Found, InvalidToken, TokenSource
from tiphys.apiserver.request import ANONYMOUS, User
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)

_REMEMBER_S = 10.0
_MAX_REMEMBERED = 4096
_MAX_TOKEN_BYTES = 32 * 1024
_UNAUTHENTICATED = "system:unauthenticated"


class Anonymous(msgspec.Struct, frozen=True):
    """Who may come without a name: everybody, nobody, or whoever asks for one of `paths`."""

    enabled: bool = True
    paths: frozenset[str] = frozenset()

    def allows(self, path: str) -> bool:
        return self.enabled and (not self.paths or path in self.paths)


class _Known(NamedTuple):
    user: User
    until: float


class Authenticator:
    """`sources` of tokens are asked in order; the first that knows a token decides, errors count when none does."""

    def __init__(
        self,
        sources: Sequence[TokenSource],
        accounts: ServiceAccountTokens,
        audiences: Sequence[str],
        clock: Clock,
        *,
        anonymous: Anonymous,
        request_headers: RequestHeaders | None = None,
    ) -> None:
        self.sources = list(sources)
        self.accounts = accounts
        self.audiences = tuple(audiences)
        self._clock = clock
        self.anonymous = anonymous
        """Replaced when the configuration file changes."""
        self._headers = request_headers
        self._known: dict[bytes, _Known] = {}

    async def authenticate(self, exchange: Exchange) -> User:
        """Raises Unauthorized: bad credentials are refused even where anonymous requests are welcome."""
        user = exchange.client_user
        if user is not None and type(user) is FrontProxy:
            named = self._headers.user(user, exchange) if self._headers is not None else None
            user = grouped(named) if named is not None else user.client
        if user is not None:
            return user
        token = _bearer(exchange)
        if token:
            return await self._by_token(token)
        if not self.anonymous.allows(exchange.path):
            raise Unauthorized("Unauthorized")
        return ANONYMOUS

    async def _by_token(self, token: str) -> User:
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        now = self._clock.monotonic()
        known = self._known.get(digest)
        if known is not None and known.until > now:
            return known.user
        try:
            user, _ = await self.review(token, self.audiences)
        except InvalidToken as error:
            log.info("Unable to authenticate the request: %s", error)
            raise Unauthorized("Unauthorized") from error
        if len(self._known) >= _MAX_REMEMBERED:
            self._known.clear()
        self._known[digest] = _Known(user, now + _REMEMBER_S)
        return user

    async def review(self, token: str, audiences: Sequence[str]) -> Found:
        """Whose the token is. Raises InvalidToken. Remembers nothing."""
        if len(token) > _MAX_TOKEN_BYTES:
            raise InvalidToken("invalid bearer token")
        errors: list[str] = []
        for source in self.sources:
            try:
                found = await source.find(token, audiences)
            except InvalidToken as error:
                errors.append(str(error))
                continue
            if found is not None:
                return Found(grouped(found.user), found.audiences)
        unique = list(dict.fromkeys(errors))
        if not unique:
            raise InvalidToken("invalid bearer token")
        raise InvalidToken(unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]")

    def forget(self) -> None:
        """What was known may hold no longer: the configuration changed."""
        self._known.clear()


def grouped(user: User) -> User:
    """The user with the group that every authenticated one has."""
    if AUTHENTICATED in user.groups or _UNAUTHENTICATED in user.groups or user.name == ANONYMOUS.name:
        return user
    return msgspec.structs.replace(user, groups=(*user.groups, AUTHENTICATED))


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
