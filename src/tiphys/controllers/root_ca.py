"""Keeps a ConfigMap `kube-root-ca.crt` with the cluster's CA in every active namespace: what pods trust the API by.

Woken by: namespaces; config maps of that name (changed or deleted ones are put back). Writes: ConfigMap.
Races: as the service account controller's. A map that a user changed is overwritten only where it differs in `data`.
Source: pkg/controller/certificates/rootcacertpublisher/publisher.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, NAMESPACE
from tiphys.api.kinds.core.configmap import ConfigMap
from tiphys.api.kinds.core.namespace import Namespace
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, Create, Update
from tiphys.controllers._measures import CounterOf, HistogramOf, Measured, Turn, exponential
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

NAME = "kube-root-ca.crt"
DESCRIPTION = "kubernetes.io/description"
DESCRIPTION_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)
"""Upstream's annotation, which its conformance tests read."""


@dataclass(frozen=True)
class World:
    namespace: Namespace
    published: ConfigMap | None
    root_ca: str


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    namespace = listers.get(NAMESPACE, key.name)
    if namespace is None or not listers.settings.root_ca:
        return None
    return World(namespace, listers.get(CONFIGMAP, NAME, key.name), listers.settings.root_ca)


def plan(_key: Key, world: World) -> Sequence[Action]:
    if world.namespace.status.phase not in ("", "Active") or world.namespace.metadata.deletion_timestamp:
        return ()
    wanted = {"ca.crt": world.root_ca}
    if world.published is None:
        config_map = new(CONFIGMAP, NAME, world.namespace.metadata.name, data=wanted)
        config_map.metadata.annotations = {DESCRIPTION: DESCRIPTION_TEXT}
        return [Create(CONFIGMAP, config_map, exists_ok=True)]
    if world.published.data == wanted and DESCRIPTION in world.published.metadata.annotations:
        return ()
    changed = copy_of(world.published)
    changed.data = wanted
    changed.metadata.annotations = changed.metadata.annotations | {DESCRIPTION: DESCRIPTION_TEXT}
    return [Update(CONFIGMAP, changed)]


def _namespace_key(_listers: Listers, config_map: Resource) -> Iterable[Key]:
    if config_map.metadata.name == NAME:
        yield Key("", config_map.metadata.namespace)


_HELP = "Number of namespace syncs happened in root ca cert publisher."
SYNCS = CounterOf("root_ca_cert_publisher_sync_total", _HELP, ("code",))
SYNC_S = HistogramOf("root_ca_cert_publisher_sync_duration_seconds", _HELP, exponential(0.001, 2, 15), ("code",))


def measure(turn: Turn[World]) -> Iterable[Measured]:
    return Measured(SYNCS, (turn.code,)), Measured(SYNC_S, (turn.code,), turn.seconds)


SPEC = ControllerSpec(
    name="root-ca-certificate-publisher-controller",
    alias="root-ca-cert-publisher",
    primary=NAMESPACE,
    read=read,
    plan=plan,
    watches=(Watch(CONFIGMAP, _namespace_key),),
    workers=1,
    metrics=(SYNCS, SYNC_S),
    measure=measure,
)
