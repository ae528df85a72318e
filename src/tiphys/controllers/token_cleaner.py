"""Removes bootstrap tokens that have expired.

Woken by: Secrets of kube-system, and the time of their expiration. Writes: deletes. Off unless chosen, as upstream.
Source: pkg/controller/bootstrap/tokencleaner.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tiphys.api.kinds import SECRET
from tiphys.api.kinds.core.secret import Secret
from tiphys.api.meta.resource import Resource
from tiphys.controllers._actions import Action, Delete, RequeueAfter
from tiphys.controllers._bootstrap_tokens import NAMESPACE, TYPE, expiration
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch


@dataclass(frozen=True)
class World:
    secret: Secret = field(repr=False)
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    secret = listers.get(SECRET, key.name, key.namespace)
    if secret is None or secret.type != TYPE:
        return None
    return World(secret, now)


def plan(key: Key, world: World) -> Sequence[Action]:
    ends = expiration(world.secret)
    if ends is None:
        return ()
    if ends <= world.now:
        return [Delete(SECRET, key.name, key.namespace, world.secret.metadata.uid)]
    return [RequeueAfter((ends - world.now).total_seconds() + 1)]


def _keys(_listers: Listers, secret: Resource) -> Iterable[Key]:
    if secret.metadata.namespace == NAMESPACE and getattr(secret, "type", "") == TYPE:
        yield Key(NAMESPACE, secret.metadata.name)


SPEC = ControllerSpec(
    name="token-cleaner-controller",
    alias="tokencleaner",
    primary=None,
    read=read,
    plan=plan,
    watches=(Watch(SECRET, _keys),),
    workers=1,
    on_by_default=False,
)
