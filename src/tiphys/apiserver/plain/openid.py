"""/.well-known/openid-configuration and /openid/v1/jwks: how others check our service-account tokens.

Source: pkg/serviceaccount/openidmetadata.go.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply
from tiphys.apiserver.chain.serviceaccounts import TokenSigner

_CACHE = (("Cache-Control", "public, max-age=3600"),)


class OpenId:
    """Both documents; the key is loaded when first asked for."""

    def __init__(self, signer: TokenSigner, issuer: str, jwks_uri: Callable[[], str]) -> None:
        self._signer = signer
        self._issuer = issuer
        self._jwks_uri = jwks_uri

    async def configuration(self, _exchange: Exchange) -> Reply:
        document = {
            "issuer": self._issuer,
            "jwks_uri": self._jwks_uri(),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": self._signer.algorithms(),
        }
        return Answer(msgspec.json.encode(document), headers=_CACHE)

    async def keys(self, _exchange: Exchange) -> Reply:
        return Answer(msgspec.json.encode(self._signer.jwks()), content_type="application/jwk-set+json", headers=_CACHE)
