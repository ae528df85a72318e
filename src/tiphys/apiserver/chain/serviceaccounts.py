"""Service-account tokens: JWTs signed RS256 with the cluster's key, bound to an object, expiring, for an audience.

A token is checked against the live cache: it dies with its service account and with the pod, secret or node it is bound
to. Source: pkg/serviceaccount/claims.go, jwt.go.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tiphys.api.kinds import NODE, POD, SECRET, SERVICEACCOUNT
from tiphys.api.meta.resource import Resource
from tiphys.apiserver.authz.rbac import Caches, groups_of_service_account
from tiphys.apiserver.chain.certificates import AUTHENTICATED, CREDENTIAL_ID
from tiphys.apiserver.request import User
from tiphys.base.clock import Clock, parse_rfc3339

LEEWAY = timedelta(seconds=60)
"""How long a token outlives the deletionTimestamp of what it is bound to."""
_ALGORITHM = "RS256"


class InvalidToken(Exception):
    """A token of our issuer that is not, or no longer, good. The text is safe to show."""


class Bound(msgspec.Struct, frozen=True):
    """What a token is bound to, as its claims name it."""

    kind: str
    """`pod`, `secret` or `node`."""
    name: str
    uid: str


class TokenSigner:
    """Signs and checks signatures. The cryptography is imported when the first token is met."""

    def __init__(self, key_pem: bytes) -> None:
        self._pem = key_pem
        self._key: Any = None
        self._key_id = ""

    def _load(self) -> Any:
        if self._key is None:
            from cryptography.hazmat.primitives import serialization as s

            self._key = s.load_pem_private_key(self._pem, None)
            public = self._key.public_key().public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
            self._key_id = base64.urlsafe_b64encode(hashlib.sha256(public).digest()).rstrip(b"=").decode()
        return self._key

    def sign(self, claims: dict[str, Any]) -> str:
        """About 0.8 ms."""
        import jwt

        key = self._load()
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": self._key_id})

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that carries our signature, unjudged. Raises InvalidToken."""
        import jwt

        try:
            found: dict[str, Any] = jwt.decode(
                token,
                self._load().public_key(),
                algorithms=[_ALGORITHM],
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise InvalidToken("invalid bearer token") from error
        return found

    def jwks(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        import jwt.algorithms

        key = self._load()
        shape = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        return {
            "keys": [
                {"use": "sig", "kty": "RSA", "kid": self._key_id, "alg": _ALGORITHM, "n": shape["n"], "e": shape["e"]}
            ]
        }


def is_ours(token: str, issuer: str) -> bool:
    """Whether an unverified token says that `issuer` made it; other authenticators may know the rest."""
    parts = token.split(".")
    if len(parts) != 3:
        return False
    try:
        body = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, UnicodeDecodeError):
        return False
    return isinstance(body, dict) and body.get("iss") == issuer


class ServiceAccountTokens:
    """Issues and validates."""

    def __init__(self, signer: TokenSigner, issuer: str, caches: Caches, clock: Clock) -> None:
        self.signer = signer
        self.issuer = issuer
        self._caches = caches
        self._clock = clock

    def issue(
        self,
        account: Resource,
        audiences: Sequence[str],
        lifetime_s: int,
        bound: Iterable[Bound] = (),
        warn_after_s: int = 0,
    ) -> str:
        now = int(self._clock.now().timestamp())
        private: dict[str, Any] = {
            "namespace": account.metadata.namespace,
            "serviceaccount": {"name": account.metadata.name, "uid": account.metadata.uid},
        }
        for ref in bound:
            private[ref.kind] = {"name": ref.name, "uid": ref.uid} if ref.uid else {"name": ref.name}
        if warn_after_s:
            private["warnafter"] = now + warn_after_s
        claims = {
            "aud": list(audiences), "exp": now + lifetime_s, "iat": now, "iss": self.issuer, "jti": str(uuid.uuid4()),
            "kubernetes.io": private, "nbf": now,
            "sub": f"system:serviceaccount:{account.metadata.namespace}:{account.metadata.name}",
        }  # fmt: skip
        return self.signer.sign(claims)

    def validate(self, token: str, audiences: Sequence[str]) -> tuple[User, tuple[str, ...], float]:
        """(user, the audiences that both sides named, end of life as a Unix time). Raises InvalidToken. No I/O."""
        claims = self.signer.claims(token)
        if claims.get("iss") != self.issuer:
            raise InvalidToken(f'token issuer "{claims.get("iss")}" is invalid')
        stated = claims.get("aud") or []
        stated = [stated] if isinstance(stated, str) else stated
        common = tuple(audience for audience in audiences if audience in stated)
        if not common:
            raise InvalidToken(
                f"token audiences {_quoted(stated)} is invalid for the target audiences {_quoted(audiences)}"
            )
        now = self._clock.now()
        expires = self._check_times(claims, now)
        private = claims.get("kubernetes.io")
        if not isinstance(private, dict) or not isinstance(private.get("serviceaccount"), dict):
            raise InvalidToken("service account token claims could not be validated due to unexpected validation error")
        return self._user(private, str(claims.get("jti", "")), now), common, expires

    @staticmethod
    def _check_times(claims: dict[str, Any], now: datetime) -> float:
        moment, leeway = now.timestamp(), LEEWAY.total_seconds()
        expires = claims.get("exp")
        if isinstance(expires, int | float) and moment > expires + leeway:
            raise InvalidToken("service account token has expired")
        if not isinstance(expires, int | float):
            expires = float("inf")
        if moment + leeway < float(claims.get("nbf") or 0):
            raise InvalidToken("service account token is not valid yet")
        if moment + leeway < float(claims.get("iat") or 0):
            raise InvalidToken("service account token is issued in the future")
        return float(expires)

    def _user(self, private: dict[str, Any], token_id: str, now: datetime) -> User:
        namespace = str(private.get("namespace", ""))
        account_ref = private["serviceaccount"]
        account = self._live(SERVICEACCOUNT, namespace, account_ref.get("name", ""))
        if account is None:
            raise InvalidToken(f'serviceaccounts "{account_ref.get("name", "")}" not found')
        if account.metadata.uid != account_ref.get("uid"):
            raise InvalidToken(
                f"service account UID ({account.metadata.uid}) does not match claim ({account_ref.get('uid', '')})"
            )
        if _gone(account, now):
            raise InvalidToken(f"service account {namespace}/{account.metadata.name} has been deleted")
        extra: dict[str, tuple[str, ...]] = {}
        if token_id:
            extra[CREDENTIAL_ID] = (f"JTI={token_id}",)
        secret, pod, node = private.get("secret"), private.get("pod"), private.get("node")
        if secret:
            self._check_bound(SECRET, namespace, secret, now, "secret", "secret ref")
        if pod:
            self._check_bound(POD, namespace, pod, now, "pod", "pod ref")
            extra["authentication.kubernetes.io/pod-name"] = (pod.get("name", ""),)
            extra["authentication.kubernetes.io/pod-uid"] = (pod.get("uid", ""),)
        elif node:
            self._check_bound(NODE, "", node, now, "node", "node ref")
        if node:
            extra["authentication.kubernetes.io/node-name"] = (node.get("name", ""),)
            if node.get("uid"):
                extra["authentication.kubernetes.io/node-uid"] = (node["uid"],)
        name = f"system:serviceaccount:{namespace}:{account.metadata.name}"
        groups = (*groups_of_service_account(namespace), AUTHENTICATED)
        return User(name, account.metadata.uid, groups, extra)

    def _check_bound(
        self, kind: Any, namespace: str, ref: dict[str, Any], now: datetime, what: str, claim: str
    ) -> None:
        found = self._live(kind, namespace, ref.get("name", ""))
        if found is None or (found.metadata.uid == ref.get("uid") and _gone(found, now)):
            raise InvalidToken("service account token has been invalidated")
        if found.metadata.uid != ref.get("uid"):
            raise InvalidToken(
                f"{what} UID ({found.metadata.uid}) does not match service account {claim} claim ({ref.get('uid', '')})"
            )

    def _live(self, kind: Any, namespace: str, name: str) -> Any:
        entry = self._caches.cache_of(kind).get(namespace, name)
        return None if entry is None else entry.obj


def _gone(obj: Resource, now: datetime) -> bool:
    deleted = obj.metadata.deletion_timestamp
    return deleted is not None and parse_rfc3339(deleted) < now - LEEWAY


def _quoted(values: Iterable[object]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
