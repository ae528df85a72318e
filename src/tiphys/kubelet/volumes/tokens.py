"""ServiceAccount tokens for projected volumes: asked for per pod, kept, renewed in time.

Source: pkg/kubelet/token/token_manager.go, pkg/volume/projected/projected.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.api.kinds import SERVICEACCOUNT
from tiphys.api.kinds.authentication.tokenrequest import BoundObjectReference, TokenRequest, TokenRequestSpec
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import ServiceAccountTokenProjection
from tiphys.base.clock import Clock, parse_rfc3339
from tiphys.client.interface import Client

_DAY_S = 86400.0
_RENEW_SHARE = 0.8
_DEFAULT_EXPIRATION_S = 3600


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and when it ends (RFC 3339)."""

    text: str
    expires: str
    renew_at_s: float
    """Wall time, seconds since 1970."""


class Tokens:
    """Tokens by pod, audience and wanted lifetime."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._tokens: dict[tuple[str, str, int], Token] = {}

    async def token(self, pod: Pod, projection: ServiceAccountTokenProjection) -> str:
        """A token that is good for a while yet. Raises ApiError."""
        return (await self.for_audience(pod, projection.audience, projection.expiration_seconds)).text

    async def for_audience(self, pod: Pod, audience: str, expiration_s: int | None) -> Token:
        """The same for any audience (empty: the API server's). Raises ApiError."""
        wanted_s = expiration_s or _DEFAULT_EXPIRATION_S
        key = (pod.metadata.uid, audience, wanted_s)
        kept = self._tokens.get(key)
        if kept is not None and self._clock.now().timestamp() < kept.renew_at_s:
            return kept
        request = TokenRequest(
            spec=TokenRequestSpec(
                audiences=[audience] if audience else [],
                expiration_seconds=wanted_s,
                bound_object_ref=BoundObjectReference(
                    kind="Pod", api_version="v1", name=pod.metadata.name, uid=pod.metadata.uid
                ),
            )
        )
        account = pod.spec.service_account_name or "default"
        answer = await self._client.create_subresource(
            SERVICEACCOUNT, account, pod.metadata.namespace, "token", request, TokenRequest
        )
        made = Token(answer.status.token, answer.status.expiration_timestamp or "", self._renewal(answer))
        self._tokens[key] = made
        return made

    def _renewal(self, answer: TokenRequest) -> float:
        """At 80 % of its life, or after a day if that is sooner."""
        now = self._clock.now().timestamp()
        expires = answer.status.expiration_timestamp
        life_s = parse_rfc3339(expires).timestamp() - now if expires else float(_DEFAULT_EXPIRATION_S)
        return now + min(life_s * _RENEW_SHARE, _DAY_S)

    def next_renewal_s(self, uid: str) -> float | None:
        """Seconds until a token of the pod is due; None: it has none."""
        due = [token.renew_at_s for (pod, _, _), token in self._tokens.items() if pod == uid]
        return max(0.0, min(due) - self._clock.now().timestamp()) if due else None

    def forget(self, uid: str) -> None:
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]
