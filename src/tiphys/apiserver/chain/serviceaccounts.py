"""Service-account tokens: JWTs signed RS256 with the cluster's key, bound to an object, expiring, for an audience.

A token is checked against the live cache: it dies with its service account and with the pod, secret or node it is bound
to. Source: pkg/serviceaccount/claims.go, jwt.go.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tiphys.api.kinds import NODE, POD, SECRET, SERVICEACCOUNT
from tiphys.api.meta.resource import Resource
from tiphys.apiserver.authz.rbac import Caches, groups_of_service_account
from tiphys.apiserver.chain import legacytokens
from tiphys.apiserver.chain.certificates import AUTHENTICATED, CREDENTIAL_ID
from tiphys.apiserver.chain.tokens import Found, InvalidToken
from tiphys.apiserver.request import User
from tiphys.base.clock import Clock, parse_rfc3339

LEEWAY = timedelta(seconds=60)
"""How long a token outlives the deletionTimestamp of what it is bound to."""
_ALGORITHM = "RS256"


class Bound(msgspec.Struct, frozen=True):
    """What a token is bound to, as its claims name it."""

    kind: str
    """`pod`, `secret` or `node`."""
    name: str
    uid: str


class TokenSigner:
    """Signs with one key and checks signatures with it and `others` (PEM, private or public, several in one file).

    The cryptography is imported when the first token is met.
    """

    def __init__(self, key_pem: bytes, others: Sequence[bytes] = ()) -> None:
        self._pem = key_pem
        self._others = tuple(others)
        self._key: Any = None
        self._key_id = ""
        self._public: dict[str, Any] = {}
        """By key id, our own first."""

    def _load(self) -> Any:
        """Raises ValueError for what is no key."""
        if self._key is None:
            from cryptography.hazmat.primitives import serialization as s

            key = s.load_pem_private_key(self._pem, None)
            public = [key.public_key(), *[found for pem in self._others for found in _public_keys(pem)]]
            self._public = {_key_id(found): found for found in public}
            self._key_id = next(iter(self._public))
            self._key = key
        return self._key

    def sign(self, claims: dict[str, Any]) -> str:
        """About 0.8 ms."""
        import jwt

        key = self._load()
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": self._key_id})

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that carries our signature, unjudged. Raises InvalidToken."""
        import jwt

        self._load()
        failure: Exception | None = None
        for key in self._candidates(token):
            try:
                found: dict[str, Any] = jwt.decode(token, key, algorithms=list(_algorithms(key)), options=_UNJUDGED)
            except jwt.PyJWTError as error:
                failure = error
            else:
                return found
        raise InvalidToken("invalid bearer token") from failure

    def _candidates(self, token: str) -> list[Any]:
        """The key that the token names, else all."""
        import jwt

        try:
            named = self._public.get(str(jwt.get_unverified_header(token).get("kid", "")))
        except jwt.PyJWTError as error:
            raise InvalidToken("invalid bearer token") from error
        return [named] if named is not None else list(self._public.values())

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set."""
        import jwt.algorithms as known

        self._load()
        keys = []
        for key_id, key in self._public.items():
            algorithm = _algorithms(key)[0]
            rsa = algorithm.startswith("RS")
            shape = json.loads((known.RSAAlgorithm if rsa else known.ECAlgorithm).to_jwk(key))
            members = ("n", "e") if rsa else ("crv", "x", "y")
            keys.append(
                {"use": "sig", "kty": shape["kty"], "kid": key_id, "alg": algorithm, **{m: shape[m] for m in members}}
            )
        return {"keys": keys}

    def algorithms(self) -> list[str]:
        """Those of our keys, each once."""
        self._load()
        return sorted({_algorithms(key)[0] for key in self._public.values()})


_UNJUDGED: Any = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
_CURVES = {256: "ES256", 384: "ES384", 521: "ES512"}


def _algorithms(key: Any) -> tuple[str, ...]:
    """What a public key may have signed with."""
    curve = getattr(key, "curve", None)
    return (_ALGORITHM,) if curve is None else (_CURVES[curve.key_size],)


def _key_id(public: Any) -> str:
    from cryptography.hazmat.primitives import serialization as s

    der = public.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def _public_keys(pem: bytes) -> Iterable[Any]:
    """Every key of a PEM file. Raises ValueError."""
    from cryptography.hazmat.primitives import serialization as s

    for block in re.findall(rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----", pem, re.S):
        if b"PRIVATE KEY" in block[:64]:
            yield s.load_pem_private_key(block, None).public_key()
        else:
            yield s.load_pem_public_key(block)


def issuer_of(token: str) -> str | None:
    """Who made a JWT, as it says itself, unverified; None where it is no JWT. Other sources may know the rest."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        body = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, UnicodeDecodeError, RecursionError):
        return None
    issuer = body.get("iss") if isinstance(body, dict) else None
    return issuer if isinstance(issuer, str) else None


class ServiceAccountTokens:
    """Issues in the name of `issuer`, and validates tokens of it and of `others` that were issuers before."""

    def __init__(
        self,
        signer: TokenSigner,
        issuer: str,
        caches: Caches,
        clock: Clock,
        *,
        others: Sequence[str] = (),
        audiences: Sequence[str] = (),
        used: legacytokens.Used | None = None,
    ) -> None:
        self.signer = signer
        self.issuer = issuer
        self._issuers = (issuer, *others)
        self._caches = caches
        self._clock = clock
        self._audiences = tuple(audiences)
        self._used = used

    async def find(self, token: str, audiences: Sequence[str]) -> Found | None:
        """A `TokenSource`: tokens of our issuers, and those that legacy Secrets hold."""
        stated = issuer_of(token)
        if stated == legacytokens.ISSUER:
            return self._legacy(token, audiences)
        if stated is None or stated not in self._issuers:
            return None
        user, common, _ = self.validate(token, audiences)
        return Found(user, common)

    def _legacy(self, token: str, audiences: Sequence[str]) -> Found | None:
        common = tuple(audience for audience in audiences if audience in self._audiences)
        if not common:
            return None
        user, secret = legacytokens.user_of(self.signer.claims(token), token, self._live, self._clock.now())
        if self._used is not None:
            self._used(secret)
        return Found(user, common)

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
        if claims.get("iss") not in self._issuers:
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
