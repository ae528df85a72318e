"""The arithmetic of a rollout: how many more, how many fewer, which revision.

Pure functions on numbers and annotations; `deployment.py` puts them together.
Source: pkg/controller/deployment/util/deployment_util.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tiphys.api.kinds.apps.deployment import Deployment, DeploymentCondition, DeploymentStatus
from tiphys.api.kinds.apps.replicaset import ReplicaSet
from tiphys.controllers._shares import share

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    }
)
"""Annotations of a deployment that its replica sets do not get."""
REVISION_HISTORY_MAX = 2000
"""Characters."""
NEVER = 2**31 - 1
"""As a progress deadline or a history limit: none."""


def replicas_of(obj: Deployment | ReplicaSet) -> int:
    return 1 if obj.spec.replicas is None else obj.spec.replicas


def total(sets: Iterable[ReplicaSet]) -> int:
    """Pods that these are asked to have."""
    return sum(map(replicas_of, sets))


def active(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    return [each for each in sets if replicas_of(each) > 0]


def by_age(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Oldest first."""
    return sorted(sets, key=lambda each: (each.metadata.creation_timestamp or "~", each.metadata.name))


def revision_of(replica_set: ReplicaSet) -> int:
    """0 where there is none, or none that can be read."""
    return _natural(replica_set.metadata.annotations.get(REVISION, "")) or 0


def annotated(replica_set: ReplicaSet, annotation: str) -> int | None:
    return _natural(replica_set.metadata.annotations.get(annotation, ""))


def _natural(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def is_rolling(deployment: Deployment) -> bool:
    return deployment.spec.strategy.type == "RollingUpdate"


def _resolve(deployment: Deployment) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers; not both 0, or nothing could ever move."""
    rolling = deployment.spec.strategy.rolling_update
    replicas = replicas_of(deployment)
    surge = share(rolling.max_surge if rolling else 0, replicas, up=True)
    unavailable = share(rolling.max_unavailable if rolling else 0, replicas, up=False)
    return surge, unavailable if surge or unavailable else 1


def max_surge(deployment: Deployment) -> int:
    return _resolve(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Deployment) -> int:
    replicas = replicas_of(deployment)
    if not is_rolling(deployment) or replicas == 0:
        return 0
    return min(_resolve(deployment)[1], replicas)


def new_set_size(deployment: Deployment, all_sets: Iterable[ReplicaSet], size: int) -> int:
    """To how many the new replica set, `size` strong now, may grow."""
    wanted = replicas_of(deployment)
    if not is_rolling(deployment):
        return wanted
    room = wanted + max_surge(deployment) - total(all_sets)
    return size if room <= 0 else size + min(room, wanted - size)


def proportions(deployment: Deployment, sets: Sequence[ReplicaSet]) -> dict[str, int]:
    """New sizes by name, when the deployment is scaled in mid-rollout: each set keeps its share.

    The rest that rounding leaves goes to the largest set.
    """
    wanted = replicas_of(deployment)
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    to_add = allowed - total(sets)
    newest_first = to_add > 0
    ordered = sorted(by_age(sets), key=lambda each: each.metadata.creation_timestamp or "", reverse=newest_first)
    ordered.sort(key=replicas_of, reverse=True)
    added = 0
    sizes: dict[str, int] = {}
    for each in ordered:
        share = _proportion(deployment, each, to_add, added)
        sizes[each.metadata.name] = replicas_of(each) + share
        added += share
    if ordered and to_add:
        first = ordered[0].metadata.name
        sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def _proportion(deployment: Deployment, replica_set: ReplicaSet, to_add: int, added: int) -> int:
    size = replicas_of(replica_set)
    if size == 0 or to_add in (0, added):
        return 0
    left = to_add - added
    share = _fraction(deployment, replica_set, size)
    return min(share, left) if to_add > 0 else max(share, left)


def _fraction(deployment: Deployment, replica_set: ReplicaSet, size: int) -> int:
    wanted = replicas_of(deployment)
    if wanted == 0:
        return -size
    before = annotated(replica_set, MAX_REPLICAS) or deployment.status.replicas
    if before == 0:
        return 0
    # Go rounds halves away from zero; sizes are never negative.
    return math.floor(size * (wanted + max_surge(deployment)) / before + 0.5) - size


def set_revision(replica_set: ReplicaSet, revision: int) -> None:
    """Raises the set's revision to `revision`, keeping the earlier one in its history (a rollback came back to it)."""
    annotations = replica_set.metadata.annotations
    before = annotations.get(REVISION)
    known = _natural(before or "0")
    if known is None or known >= revision:
        return
    annotations[REVISION] = str(revision)
    if before is None:
        return
    history = [entry for entry in annotations.get(REVISION_HISTORY, "").split(",") if entry]
    history.append(before)
    while len(history) > 1 and len(",".join(history)) > REVISION_HISTORY_MAX:
        history.pop(0)
    annotations[REVISION_HISTORY] = ",".join(history)


def copy_annotations(deployment: Deployment, replica_set: ReplicaSet) -> None:
    for name, value in deployment.metadata.annotations.items():
        if name not in NOT_COPIED:
            replica_set.metadata.annotations[name] = value


def set_scale_annotations(deployment: Deployment, replica_set: ReplicaSet) -> None:
    """Remembers for what size the set was scaled; a difference later means that the deployment was scaled since."""
    wanted = replicas_of(deployment)
    replica_set.metadata.annotations[DESIRED_REPLICAS] = str(wanted)
    replica_set.metadata.annotations[MAX_REPLICAS] = str(wanted + max_surge(deployment))


def is_saturated(deployment: Deployment, replica_set: ReplicaSet | None) -> bool:
    """Whether the new set has all the pods, and all are available."""
    wanted = replicas_of(deployment)
    return (
        replica_set is not None
        and replicas_of(replica_set) == wanted
        and annotated(replica_set, DESIRED_REPLICAS) == wanted
        and replica_set.status.available_replicas == wanted
    )


def has_deadline(deployment: Deployment) -> bool:
    return deployment.spec.progress_deadline_seconds not in (None, NEVER)


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    wanted = replicas_of(deployment)
    return (
        status.updated_replicas == status.replicas == status.available_replicas == wanted
        and status.observed_generation >= deployment.metadata.generation
    )


def has_progressed(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    return (
        after.updated_replicas > before.updated_replicas
        or after.replicas - after.updated_replicas < before.replicas - before.updated_replicas
        or after.ready_replicas > before.ready_replicas
        or after.available_replicas > before.available_replicas
    )


def condition_of(conditions: Iterable[DeploymentCondition], kind: str) -> DeploymentCondition | None:
    return next((condition for condition in conditions if condition.type == kind), None)


def set_condition(conditions: list[DeploymentCondition], condition: DeploymentCondition) -> None:
    """Adds or replaces; nothing changes when status and reason are the same already."""
    known = condition_of(conditions, condition.type)
    if known is not None and (known.status, known.reason) == (condition.status, condition.reason):
        return
    if known is not None and known.status == condition.status:
        condition.last_transition_time = known.last_transition_time
    remove_condition(conditions, condition.type)
    conditions.append(condition)


def remove_condition(conditions: list[DeploymentCondition], kind: str) -> None:
    conditions[:] = [condition for condition in conditions if condition.type != kind]
