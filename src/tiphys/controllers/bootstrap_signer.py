"""Keeps the signatures in the ConfigMap kube-public/cluster-info: one per bootstrap token that may sign.

With its token a new node checks that the cluster's address and CA are the true ones. Woken by: that ConfigMap, Secrets
of kube-system. Writes: ConfigMap. Off unless chosen, as upstream.
Source: pkg/controller/bootstrap/bootstrapsigner.go, staging/src/k8s.io/cluster-bootstrap/token/jws.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tiphys.api.kinds import CONFIGMAP, SECRET
from tiphys.api.kinds.core.configmap import ConfigMap
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, RequeueAfter, Update
from tiphys.controllers._bootstrap_tokens import NAMESPACE, TYPE, expiration, signing_token
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

CLUSTER_INFO = Key("kube-public", "cluster-info")
_PREFIX = "jws-kubeconfig-"


@dataclass(frozen=True)
class World:
    info: ConfigMap
    tokens: dict[str, str] = field(repr=False)
    """id -> secret"""
    next_expiry_s: float | None
    """Until the first of them ends."""


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    info = listers.get(CONFIGMAP, key.name, key.namespace)
    if info is None:
        return None
    found = [(signing_token(secret, now), expiration(secret)) for secret in listers.list(SECRET, NAMESPACE)]
    tokens = dict(token for token, _ in found if token is not None)
    ends = [(end - now).total_seconds() for token, end in found if token is not None and end is not None]
    return World(info, tokens, min(ends, default=None))


def signature(content: str, token_id: str, token_secret: str) -> str:
    """A JWS (HS256) of `content` whose middle part is left out."""

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    header = encoded(json.dumps({"alg": "HS256", "kid": token_id}, separators=(",", ":")).encode())
    signed = f"{header}.{encoded(content.encode())}".encode()
    return f"{header}..{encoded(hmac.new(token_secret.encode(), signed, hashlib.sha256).digest())}"


def plan(_key: Key, world: World) -> Sequence[Action]:
    content = world.info.data.get("kubeconfig")
    if content is None:
        return ()
    wanted = {name: text for name, text in world.info.data.items() if not name.startswith(_PREFIX)}
    wanted |= {f"{_PREFIX}{name}": signature(content, name, secret) for name, secret in world.tokens.items()}
    actions: list[Action] = []
    if wanted != world.info.data:
        changed = copy_of(world.info)
        changed.data = wanted
        actions.append(Update(CONFIGMAP, changed))
    if world.next_expiry_s is not None:
        actions.append(RequeueAfter(max(world.next_expiry_s, 0.0) + 1))
    return actions


def _info_key(_listers: Listers, obj: Resource) -> Iterable[Key]:
    if (obj.metadata.namespace, obj.metadata.name) == (CLUSTER_INFO.namespace, CLUSTER_INFO.name):
        yield CLUSTER_INFO


def _secret_key(_listers: Listers, secret: Resource) -> Iterable[Key]:
    if secret.metadata.namespace == NAMESPACE and getattr(secret, "type", "") == TYPE:
        yield CLUSTER_INFO


SPEC = ControllerSpec(
    name="bootstrap-signer-controller",
    alias="bootstrapsigner",
    primary=None,
    read=read,
    plan=plan,
    watches=(Watch(CONFIGMAP, _info_key), Watch(SECRET, _secret_key)),
    workers=1,
    on_by_default=False,
)
