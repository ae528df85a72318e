"""Keeps one ClusterTrustBundle of the signer `kubernetes.io/kube-apiserver-serving`, with the CA of the API servers.

Woken by: bundles of that signer; the start. Writes: ClusterTrustBundles (create, update, delete those of another CA).
The bundle is named after its content, so that a new CA is a new bundle: there is never a moment without one.
Runs only where the API is served (`--runtime-config`), as upstream behind its gate.
Source: pkg/controller/certificates/clustertrustbundlepublisher/publisher.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kind import new
from tiphys.api.kinds import CLUSTERTRUSTBUNDLE
from tiphys.api.kinds.certificates.clustertrustbundle import ClusterTrustBundle
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, Create, Delete, Update
from tiphys.controllers._measures import CounterOf, HistogramOf, Measured, Turn, exponential
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

SIGNER = "kubernetes.io/kube-apiserver-serving"
_KEY = Key("", SIGNER)
_PREFIX = "clustertrustbundle_publisher"
SYNCS = CounterOf(
    f"{_PREFIX}_sync_total", "Number of syncs that occurred in cluster trust bundle publisher.", ("code",)
)
SYNC_S = HistogramOf(
    f"{_PREFIX}_sync_duration_seconds",
    "The time it took to sync a cluster trust bundle.",
    exponential(0.001, 2, 15),
    ("code",),
)


@dataclass(frozen=True)
class World:
    root_ca: str
    bundles: tuple[ClusterTrustBundle, ...]
    """Of the signer."""


def read(listers: Listers, _key: Key, _now: datetime) -> World | None:
    root_ca = listers.settings.root_ca
    if not root_ca:
        return None
    bundles = (each for each in listers.list(CLUSTERTRUSTBUNDLE) if each.spec.signer_name == SIGNER)
    return World(root_ca, tuple(sorted(bundles, key=lambda each: each.metadata.name)))


def bundle_name(root_ca: str) -> str:
    return f"{SIGNER.replace('/', ':')}:{hashlib.sha256(root_ca.encode()).hexdigest()[:24]}"


def plan(_key: Key, world: World) -> Sequence[Action]:
    name = bundle_name(world.root_ca)
    actions: list[Action] = []
    known = next((each for each in world.bundles if each.metadata.name == name), None)
    if known is None:
        made = new(CLUSTERTRUSTBUNDLE, name)
        made.spec.signer_name, made.spec.trust_bundle = SIGNER, world.root_ca
        actions.append(Create(CLUSTERTRUSTBUNDLE, made, exists_ok=True))
    elif known.spec.trust_bundle != world.root_ca:
        changed = copy_of(known)
        changed.spec.trust_bundle = world.root_ca
        actions.append(Update(CLUSTERTRUSTBUNDLE, changed))
    actions += [
        Delete(CLUSTERTRUSTBUNDLE, each.metadata.name, "", each.metadata.uid)
        for each in world.bundles
        if each is not known and each.metadata.deletion_timestamp is None
    ]
    return actions


def measure(turn: Turn[World]) -> Iterable[Measured]:
    return Measured(SYNCS, (turn.code,)), Measured(SYNC_S, (turn.code,), turn.seconds)


def _signers_key(_listers: Listers, bundle: ClusterTrustBundle) -> Iterable[Key]:
    if bundle.spec.signer_name == SIGNER:
        yield _KEY


SPEC = ControllerSpec(
    name="kube-apiserver-serving-clustertrustbundle-publisher-controller",
    primary=None,
    read=read,
    plan=plan,
    watches=(Watch(CLUSTERTRUSTBUNDLE, _signers_key),),
    workers=1,
    resync_s=3600.0,
    resync_keys=(_KEY,),
    metrics=(SYNCS, SYNC_S),
    measure=measure,
)
