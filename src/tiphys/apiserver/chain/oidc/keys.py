"""An issuer's public keys: found through its discovery document, kept, and fetched anew when a token names another.

Source: staging/src/k8s.io/apiserver/plugin/pkg/authenticator/token/oidc (which rests on coreos/go-oidc).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any

import msgspec

from tiphys.apiserver.chain.tokens import InvalidToken
from tiphys.apiserver.streaming.backend import Backend
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
_MAX_BYTES = 1024 * 1024
_REFETCH_S = 10.0
"""The least time between two looks at the keys because of a token whose key is not known."""


class IssuerKeys:
    """Keys by id. Nothing is fetched before the first token of the issuer comes."""

    def __init__(
        self, url: str, discovery_url: str, certificate_authority: str, backend: Backend, clock: Clock
    ) -> None:
        """Raises ssl.SSLError, ValueError for an authority that is none."""
        self._url = url
        self._discovery_url = discovery_url or url.rstrip("/") + "/.well-known/openid-configuration"
        self._tls = ssl.create_default_context(cadata=certificate_authority or None)
        self._backend = backend
        self._clock = clock
        self._jwks_url = ""
        self._keys: dict[str, Any] = {}
        self._fetched_at_s = float("-inf")
        self._lock = asyncio.Lock()

    async def candidates(self, key_id: str) -> list[Any]:
        """The key with this id, or all where the token names none. Raises InvalidToken."""
        found = self._chosen(key_id)
        if found:
            return found
        async with self._lock:
            found = self._chosen(key_id)
            now = self._clock.monotonic()
            if not found and now - self._fetched_at_s >= _REFETCH_S:
                self._fetched_at_s = now
                await self._fetch()
                found = self._chosen(key_id)
        if not found:
            raise InvalidToken("oidc: verify token: failed to verify signature: no key of the issuer matches")
        return found

    def _chosen(self, key_id: str) -> list[Any]:
        if not key_id:
            return list(self._keys.values())
        return [self._keys[key_id]] if key_id in self._keys else []

    async def _fetch(self) -> None:
        import jwt

        if not self._jwks_url:
            document = await self._get(self._discovery_url)
            if document.get("issuer") != self._url:
                raise InvalidToken(
                    f"oidc: issuer did not match the issuer returned by provider, expected "
                    f'"{self._url}" got "{document.get("issuer")}"'
                )
            self._jwks_url = str(document.get("jwks_uri") or "")
        shown = await self._get(self._jwks_url)
        keys: dict[str, Any] = {}
        for index, shape in enumerate(shown.get("keys") or ()):
            if not isinstance(shape, dict) or shape.get("use", "sig") != "sig":
                continue
            try:
                key = jwt.PyJWK(shape)
            except jwt.PyJWTError as error:
                log.info("%s: a key is left out: %s", self._jwks_url, error)
                continue
            if key.key_type != "oct":
                keys[str(shape.get("kid") or f"#{index}")] = key.key
        self._keys = keys

    async def _get(self, url: str) -> dict[str, Any]:
        """Raises InvalidToken."""
        if not url.startswith("https://"):
            raise InvalidToken(f"oidc: authenticator not initialized: {url or 'no jwks_uri'} is not https")
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                response = await self._backend.open("GET", url, tls=self._tls)
                async with response:
                    body = b""
                    while len(body) < _MAX_BYTES and (piece := await response.content.read(_MAX_BYTES)):
                        body += piece
                    status = response.status
        except (OSError, TimeoutError) as error:
            log.error("oidc authenticator: %s cannot be read: %s", url, error)
            raise InvalidToken("oidc: authenticator not initialized") from error
        try:
            document = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise InvalidToken(f"oidc: {url} is no JSON") from error
        if status != 200 or not isinstance(document, dict):
            raise InvalidToken(f"oidc: {url} answered {status}")
        return document
