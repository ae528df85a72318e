"""Who calls a kubelet's server, and may they: the API is asked (TokenReview, SubjectAccessReview) and remembered.

Source: pkg/kubelet/server/auth.go, cmd/kubelet/app/auth.go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tiphys.api.errors import Forbidden, Unauthorized
from tiphys.api.kinds import SUBJECTACCESSREVIEW, TOKENREVIEW
from tiphys.api.kinds.authentication.tokenreview import TokenReview, TokenReviewSpec
from tiphys.api.kinds.authorization.accessreviews import (
    NonResourceAttributes,
    ResourceAttributes,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from tiphys.base.clock import Clock
from tiphys.client.interface import Client

_MOST = 1000
_TOKEN_S, _ALLOWED_S, _DENIED_S = 120.0, 300.0, 30.0
_SUBRESOURCES = {"stats": "stats", "metrics": "metrics", "logs": "log", "checkpoint": "checkpoint"}
_FINE = {"pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz"}
_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    groups: tuple[str, ...]
    uid: str = ""


class _Remembered(Generic[V]):
    """Answers for a while, at most `_MOST` of them."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Any, tuple[float, V]] = OrderedDict()

    def get(self, key: Any, now_s: float) -> V | None:
        kept = self._answers.get(key)
        return kept[1] if kept is not None and kept[0] > now_s else None

    def put(self, key: Any, answer: V, until_s: float) -> None:
        self._answers[key] = (until_s, answer)
        self._answers.move_to_end(key)
        if len(self._answers) > _MOST:
            self._answers.popitem(last=False)


class KubeletAuth:
    """Answers for the kubelet of one node, or of many."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._tokens: _Remembered[Caller] = _Remembered()
        self._decisions: _Remembered[bool] = _Remembered()

    async def caller(self, certificate: Mapping[str, Any] | None, authorization: str) -> Caller:
        """From the verified peer certificate, else the bearer token. Raises Unauthorized, ApiError."""
        if certificate:
            return of_certificate(certificate)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("Unauthorized")
        token = token.strip()
        known = self._tokens.get(token, self._clock.monotonic())
        if known is not None:
            return known
        answer = await self._client.create(TOKENREVIEW, TokenReview(spec=TokenReviewSpec(token=token)))
        if not answer.status.authenticated:
            raise Unauthorized("Unauthorized")
        user = answer.status.user
        caller = Caller(user.username, tuple(user.groups), user.uid)
        self._tokens.put(token, caller, self._clock.monotonic() + _TOKEN_S)
        return caller

    async def authorize(self, caller: Caller, method: str, path: str, node: str) -> None:
        """May this caller do so on `node`? Raises Forbidden, ApiError."""
        verb = _VERBS.get(method, method.lower())
        first = path.strip("/").partition("/")[0]
        candidates = [_FINE[first], "proxy"] if first in _FINE else [_SUBRESOURCES.get(first, "proxy")]
        for subresource in candidates:
            if await self._allowed(caller, verb, subresource, node):
                return
        raise Forbidden(
            f"Forbidden (user={caller.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(candidates)}])"
        )

    async def authorize_path(self, caller: Caller, method: str, path: str) -> None:
        """May this caller do so at a path that is no resource's? Raises Forbidden, ApiError."""
        verb = _VERBS.get(method, method.lower())
        spec = SubjectAccessReviewSpec(non_resource_attributes=NonResourceAttributes(path=path, verb=verb))
        if not await self._decided((caller, verb, path), caller, spec):
            raise Forbidden(f'forbidden: User "{caller.name}" cannot {verb} path "{path}"')

    async def _allowed(self, caller: Caller, verb: str, subresource: str, node: str) -> bool:
        asked = ResourceAttributes(verb=verb, version="v1", resource="nodes", subresource=subresource, name=node)
        spec = SubjectAccessReviewSpec(resource_attributes=asked)
        return await self._decided((caller, verb, subresource, node), caller, spec)

    async def _decided(self, key: tuple[object, ...], caller: Caller, spec: SubjectAccessReviewSpec) -> bool:
        """The API's answer about the caller; `key` is what it is remembered by."""
        now_s = self._clock.monotonic()
        known = self._decisions.get(key, now_s)
        if known is not None:
            return known
        spec.user, spec.groups, spec.uid = caller.name, list(caller.groups), caller.uid
        answer = await self._client.create(SUBJECTACCESSREVIEW, SubjectAccessReview(spec=spec))
        allowed = answer.status.allowed
        self._decisions.put(key, allowed, now_s + (_ALLOWED_S if allowed else _DENIED_S))
        return allowed


def of_certificate(certificate: Mapping[str, Any]) -> Caller:
    """The subject's common name and organizations, from the form that ssl's getpeercert() has. Raises Unauthorized."""
    pairs = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in pairs if key == "commonName"]
    if not names:
        raise Unauthorized("Unauthorized")
    return Caller(names[0], tuple(value for key, value in pairs if key == "organizationName"))
