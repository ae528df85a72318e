"""Marks tokens of the old kind that nobody used for a year, and removes them after another.

Only those that the cluster once made by itself (their account lists them) and that no pod mounts. When they were used
last, the API server notes on the Secret; since when it does so, in kube-system/kube-apiserver-legacy-service-account-
token-tracking. Woken by: these Secrets, and once a day. Writes: a label of the Secret; deletes.
Source: pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tiphys.api.kinds import CONFIGMAP, POD, SECRET, SERVICEACCOUNT
from tiphys.api.kinds.core.secret import Secret
from tiphys.api.meta.resource import Resource
from tiphys.controllers._actions import Action, Delete, Patch, RequeueAfter
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch
from tiphys.controllers.serviceaccount_token import TYPE

TRACKING = Key("kube-system", "kube-apiserver-legacy-service-account-token-tracking")
LAST_USED, INVALID_SINCE = "kubernetes.io/legacy-token-last-used", "kubernetes.io/legacy-token-invalid-since"
PERIOD = timedelta(days=365)
_DAY_S = 86400.0
_DATE = "%Y-%m-%d"


@dataclass(frozen=True)
class World:
    secret: Secret = field(repr=False)
    since: datetime
    """Since when uses are noted."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    secret = listers.get(SECRET, key.name, key.namespace)
    tracking = listers.get(CONFIGMAP, TRACKING.name, TRACKING.namespace)
    if secret is None or secret.type != TYPE or tracking is None:
        return None
    since = _date(tracking.data.get("since", ""))
    account = listers.get(
        SERVICEACCOUNT, secret.metadata.annotations.get("kubernetes.io/service-account.name", ""), key.namespace
    )
    if since is None or account is None or key.name not in [reference.name for reference in account.secrets]:
        return None
    for pod in listers.list(POD, key.namespace):
        if any(v.secret is not None and v.secret.secret_name == key.name for v in pod.spec.volumes):
            return None
    return World(secret, since, now)


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _DATE).replace(tzinfo=UTC)
    except ValueError:
        return None


def plan(key: Key, world: World) -> Sequence[Action]:
    metadata, now = world.secret.metadata, world.now
    later = RequeueAfter(_DAY_S)
    used = _date(metadata.labels.get(LAST_USED, ""))
    invalid = _date(metadata.labels.get(INVALID_SINCE, ""))
    made = datetime.fromisoformat(metadata.creation_timestamp) if metadata.creation_timestamp else now
    idle_since = max(moment for moment in (world.since, used, made) if moment is not None)
    if now < idle_since + PERIOD:
        return [later]
    if invalid is None:
        labels = {INVALID_SINCE: now.strftime(_DATE)}
        return [Patch(SECRET, key.name, key.namespace, {"metadata": {"uid": metadata.uid, "labels": labels}}), later]
    if now < invalid + PERIOD:
        return [later]
    return [Delete(SECRET, key.name, key.namespace, metadata.uid, metadata.resource_version)]


def _keys(_listers: Listers, secret: Resource) -> Iterable[Key]:
    if getattr(secret, "type", "") == TYPE:
        yield Key(secret.metadata.namespace, secret.metadata.name)


SPEC = ControllerSpec(
    name="legacy-serviceaccount-token-cleaner-controller",
    alias="legacy-service-account-token-cleaner",
    primary=None,
    read=read,
    plan=plan,
    watches=(Watch(SECRET, _keys),),
    reads=(CONFIGMAP, POD, SERVICEACCOUNT),
    workers=1,
)
