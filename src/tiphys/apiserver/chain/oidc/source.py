"""Identity tokens of one issuer, as a source of users.

Source: staging/src/k8s.io/apiserver/plugin/pkg/authenticator/token/oidc/oidc.go.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tiphys.apiserver.chain.certificates import CREDENTIAL_ID
from tiphys.apiserver.chain.oidc.claims import ClaimMapper
from tiphys.apiserver.chain.oidc.config import AuthenticationConfiguration, JwtAuthenticator
from tiphys.apiserver.chain.oidc.keys import IssuerKeys
from tiphys.apiserver.chain.serviceaccounts import issuer_of
from tiphys.apiserver.chain.tokens import Found, InvalidToken, agnostic
from tiphys.apiserver.configfile import refuse
from tiphys.apiserver.streaming.backend import Backend
from tiphys.base.clock import Clock

ASYMMETRIC = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")


class OidcTokens:
    """A `TokenSource` for tokens whose `iss` is the configured issuer."""

    def __init__(
        self,
        config: JwtAuthenticator,
        mapper: ClaimMapper,
        keys: IssuerKeys,
        audiences: Sequence[str],
        algorithms: Sequence[str],
        clock: Clock,
    ) -> None:
        self._issuer = config.issuer
        self._mapper = mapper
        self._keys = keys
        self._ours = tuple(audiences)
        self._algorithms = [algorithm for algorithm in algorithms if algorithm in ASYMMETRIC]
        self._clock = clock

    async def find(self, token: str, audiences: Sequence[str]) -> Found | None:
        if issuer_of(token) != self._issuer.url:
            return None
        claims = await self._verified(token)
        user = self._mapper.user(claims)
        token_id = claims.get("jti")
        if isinstance(token_id, str) and token_id and CREDENTIAL_ID not in user.extra:
            user = _with_credential(user, token_id)
        return agnostic(user, audiences, self._ours)

    async def _verified(self, token: str) -> dict[str, Any]:
        """Raises InvalidToken."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise InvalidToken(f"oidc: verify token: malformed jwt: {error}") from error
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            allowed = " ".join(f'"{one}"' for one in self._algorithms)
            raise InvalidToken(
                f"oidc: verify token: oidc: id token signed with unsupported algorithm, expected [{allowed}] "
                f'got "{algorithm}"'
            )
        claims = await self._signed(token, str(header.get("kid") or ""))
        self._check_audience(claims)
        self._check_times(claims)
        return claims

    async def _signed(self, token: str, key_id: str) -> dict[str, Any]:
        import jwt

        unjudged: Any = {
            "verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_iss": False,
            "verify_sub": False, "verify_jti": False,
        }  # fmt: skip
        failure: Exception | None = None
        for key in await self._keys.candidates(key_id):
            try:
                claims: dict[str, Any] = jwt.decode(token, key, algorithms=self._algorithms, options=unjudged)
            except (jwt.PyJWTError, TypeError, ValueError) as error:
                failure = error
            else:
                return claims
        raise InvalidToken("oidc: verify token: failed to verify signature: failed to verify id token signature") from (
            failure
        )

    def _check_audience(self, claims: dict[str, Any]) -> None:
        stated = claims.get("aud") or []
        stated = [stated] if isinstance(stated, str) else stated
        wanted = self._issuer.audiences
        if not any(audience in stated for audience in wanted):
            if len(wanted) == 1:
                raise InvalidToken(
                    f'oidc: verify token: oidc: expected audience "{wanted[0]}" got {json.dumps(list(stated))}'
                )
            raise InvalidToken(
                f"oidc: verify token: oidc: expected audience in {json.dumps(wanted)} got {json.dumps(list(stated))}"
            )

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock.now().timestamp()
        expires = claims.get("exp")
        if not isinstance(expires, int | float) or expires <= now:
            raise InvalidToken("oidc: verify token: oidc: token is expired")
        not_before = claims.get("nbf")
        if isinstance(not_before, int | float) and not_before > now + 300:
            raise InvalidToken("oidc: verify token: oidc: current time before the nbf (not before) time")


def _with_credential(user: Any, token_id: str) -> Any:
    import msgspec

    return msgspec.structs.replace(user, extra={**user.extra, CREDENTIAL_ID: (f"JTI={token_id}",)})


def sources(
    config: AuthenticationConfiguration,
    where: str,
    audiences: Sequence[str],
    algorithms: Sequence[str],
    backend: Backend,
    clock: Clock,
) -> list[OidcTokens]:
    """A source per issuer. Raises ConfigError for expressions that do not compile."""
    found = []
    for index, one in enumerate(config.jwt):
        mapper = ClaimMapper(one, f"jwt[{index}]")
        refuse(where, mapper.errors)
        keys = IssuerKeys(
            one.issuer.url, one.issuer.discovery_url, one.issuer.certificate_authority, backend, clock
        )  # fmt: skip
        found.append(OidcTokens(one, mapper, keys, audiences, algorithms, clock))
    return found
