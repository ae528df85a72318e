"""Keeps a ServiceAccount `default` in every active namespace.

Woken by: namespaces; service accounts named `default` (so that a deleted one comes back). Writes: ServiceAccount.
Races: the API may have made it meanwhile (that is as good); in a namespace that begins to end, creation is refused with
the cause NamespaceTerminating, which the runtime takes as done.
Source: pkg/controller/serviceaccount/serviceaccounts_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kind import new
from tiphys.api.kinds import NAMESPACE, SERVICEACCOUNT
from tiphys.api.kinds.core.namespace import Namespace
from tiphys.api.meta.resource import Resource
from tiphys.controllers._actions import Action, Create
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

NAMES = ("default",)
"""The accounts that every namespace has."""


@dataclass(frozen=True)
class World:
    namespace: Namespace
    missing: tuple[str, ...]
    """Of NAMES, those that the namespace lacks."""


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    namespace = listers.get(NAMESPACE, key.name)
    if namespace is None:
        return None
    missing = tuple(name for name in NAMES if listers.get(SERVICEACCOUNT, name, key.name) is None)
    return World(namespace, missing)


def plan(_key: Key, world: World) -> Sequence[Action]:
    if world.namespace.status.phase not in ("", "Active") or world.namespace.metadata.deletion_timestamp:
        return ()
    inside = world.namespace.metadata.name
    return [Create(SERVICEACCOUNT, new(SERVICEACCOUNT, name, inside), exists_ok=True) for name in world.missing]


def _namespace_key(_listers: Listers, account: Resource) -> Iterable[Key]:
    if account.metadata.name in NAMES:
        yield Key("", account.metadata.namespace)


SPEC = ControllerSpec(
    name="serviceaccount-controller",
    alias="serviceaccount",
    primary=NAMESPACE,
    read=read,
    plan=plan,
    watches=(Watch(SERVICEACCOUNT, _namespace_key),),
    workers=1,
)
