"""Fills Secrets of type kubernetes.io/service-account-token, and removes those whose account is gone.

Such a token never expires and is good as long as its Secret holds it; pods use bound tokens instead.
Woken by: these Secrets, service accounts. Writes: Secret.
Races: a Secret that was made just before its account is not in our copy of it: an account is looked for live before a
Secret is deleted. Source: pkg/controller/serviceaccount/tokens_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tiphys.api.kinds import SECRET, SERVICEACCOUNT
from tiphys.api.kinds.core.secret import Secret
from tiphys.api.kinds.core.serviceaccount import ServiceAccount
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, Delete, Gone, Update
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch

TYPE = "kubernetes.io/service-account-token"
_NAME, _UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
_ISSUER = "kubernetes/serviceaccount"
_CLAIM = "kubernetes.io/serviceaccount/"


def _account_of(secret: Secret) -> Iterable[str]:
    if secret.type == TYPE:
        yield f"{secret.metadata.namespace}/{secret.metadata.annotations.get(_NAME, '')}"


BY_ACCOUNT = Index(SECRET, "token-account", _account_of)


@dataclass(frozen=True)
class World:
    secret: Secret = field(repr=False)
    account: ServiceAccount | None
    """Whose token it holds, by name and, where stated, by UID."""
    root_ca: str
    signing_key: str = field(repr=False)


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    secret = listers.get(SECRET, key.name, key.namespace)
    settings = listers.settings
    if secret is None or secret.type != TYPE or not settings.service_account_key:
        return None
    annotations = secret.metadata.annotations
    account = listers.get(SERVICEACCOUNT, annotations.get(_NAME, ""), key.namespace)
    if account is not None and annotations.get(_UID, account.metadata.uid) != account.metadata.uid:
        account = None
    return World(secret, account, settings.root_ca, settings.service_account_key)


def token(secret: Secret, account: ServiceAccount, key_pem: str) -> str:
    """RS256 is deterministic: the same account and Secret always give the same token."""
    import jwt

    namespace, name = account.metadata.namespace, account.metadata.name
    claims: dict[str, Any] = {
        "iss": _ISSUER, f"{_CLAIM}namespace": namespace, f"{_CLAIM}secret.name": secret.metadata.name,
        f"{_CLAIM}service-account.name": name, f"{_CLAIM}service-account.uid": account.metadata.uid,
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }  # fmt: skip
    return jwt.encode(claims, key_pem, algorithm="RS256")


def plan(key: Key, world: World) -> Sequence[Action]:
    secret, account = world.secret, world.account
    if secret.metadata.deletion_timestamp is not None:
        return ()
    if account is None:
        uid = secret.metadata.annotations.get(_UID, "")
        guard = Gone(SERVICEACCOUNT, secret.metadata.annotations.get(_NAME, ""), key.namespace, uid)
        return [Delete(SECRET, key.name, key.namespace, secret.metadata.uid, guards=(guard,))] if uid else ()
    wanted = {"namespace": key.namespace.encode()}
    if world.root_ca:
        wanted["ca.crt"] = world.root_ca.encode()
    if not secret.data.get("token"):
        wanted["token"] = token(secret, account, world.signing_key).encode()
    stated = {_UID: account.metadata.uid, _NAME: account.metadata.name}
    same = all(bytes(secret.data.get(name, b"")) == data for name, data in wanted.items())
    if same and stated.items() <= secret.metadata.annotations.items():
        return ()
    changed = copy_of(secret)
    changed.data = {**changed.data, **wanted}
    changed.metadata.annotations = {**changed.metadata.annotations, **stated}
    return [Update(SECRET, changed)]


def _own(_listers: Listers, secret: Resource) -> Iterable[Key]:
    if getattr(secret, "type", "") == TYPE:
        yield Key(secret.metadata.namespace, secret.metadata.name)


def _of_account(listers: Listers, account: Resource) -> Iterable[Key]:
    for secret in listers.indexed(SECRET, BY_ACCOUNT.name, f"{account.metadata.namespace}/{account.metadata.name}"):
        yield Key(secret.metadata.namespace, secret.metadata.name)


SPEC = ControllerSpec(
    name="serviceaccount-token-controller",
    alias="serviceaccount-token",
    primary=None,
    read=read,
    plan=plan,
    watches=(Watch(SECRET, _own), Watch(SERVICEACCOUNT, _of_account)),
    indexes=(BY_ACCOUNT,),
)
