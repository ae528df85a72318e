"""Keeps the status of each resource quota at what the objects of its namespace use.

Woken by: quotas; objects that a quota of their namespace counts, when they come, go, or use another amount.
Writes: the status of quotas.
Races: admission charges a quota before it stores an object, so a recount may find less than is charged. The API server
refuses to lower what is used while a charged write is under way (a conflict, and the key is planned again); the version
in the update refuses a count that an older charge has overtaken.
Source: pkg/controller/resourcequota/resource_quota_controller.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import CUSTOMRESOURCEDEFINITION, KINDS, POD, RESOURCEQUOTA
from tiphys.api.kinds.core.pod import facts
from tiphys.api.kinds.core.resourcequota import ResourceQuota
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.api.quota.amounts import Amounts, read_all, write_all
from tiphys.api.quota.charge import used_by
from tiphys.api.quota.evaluators import Evaluator, evaluator_of
from tiphys.base.clock import parse_rfc3339
from tiphys.controllers._actions import Action, RequeueAfter, UpdateStatus
from tiphys.controllers._spec import ControllerSpec, CustomPart, Key, Listers, Watch

_NEVER_LESS_S = 1.0


def _counted() -> dict[Kind[Any], Evaluator]:
    """The kinds that quotas may count. Of versions that are stored alike one is enough."""
    found: dict[str, tuple[Kind[Any], Evaluator]] = {}
    for kind in KINDS:
        evaluator = evaluator_of(kind.group_resource)
        if kind.namespaced and kind.stored and {"list", "watch"} <= set(kind.verbs) and evaluator is not None:
            found.setdefault(kind.storage_key, (kind, evaluator))
    return dict(found.values())


COUNTED = _counted()


def _custom(kinds: Iterable[Kind[Any]]) -> Iterable[tuple[Kind[Any], Evaluator]]:
    for kind in kinds:
        evaluator = evaluator_of(kind.group_resource)
        if kind.namespaced and evaluator is not None:
            yield kind, evaluator


@dataclass(frozen=True)
class World:
    quota: ResourceQuota
    used: Amounts
    """What is counted, by the names of the hard limits. Limits that nobody can count are absent."""
    next_change_s: float | None
    """When time alone changes what is used: a pod should be gone by then, and counts no more."""


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    quota = listers.get(RESOURCEQUOTA, key.name, key.namespace)
    if quota is None:
        return None
    hard = quota.spec.hard
    counted = (*COUNTED.items(), *_custom(listers.custom))
    wanted = [(kind, evaluator) for kind, evaluator in counted if evaluator.matching(hard)]
    objects = [(evaluator, list(listers.list(kind, key.namespace))) for kind, evaluator in wanted]
    used = used_by(quota, objects, now)
    pods = listers.list(POD, key.namespace) if any(kind is POD for kind, _ in wanted) else ()
    ends = [end for pod in pods if (end := _end_of_grace(pod)) is not None and end >= now]
    delay = max((min(ends) - now).total_seconds(), 0.0) + _NEVER_LESS_S if ends else None
    return World(quota, used, delay)


def _end_of_grace(pod: Any) -> datetime | None:
    meta = pod.metadata
    if not meta.deletion_timestamp or meta.deletion_grace_period_seconds is None or facts.is_terminal(pod):
        return None
    return parse_rfc3339(meta.deletion_timestamp) + timedelta(seconds=meta.deletion_grace_period_seconds)


def plan(_key: Key, world: World) -> Sequence[Action]:
    spec, status = world.quota.spec, world.quota.status
    later = [RequeueAfter(world.next_change_s)] if world.next_change_s is not None else []
    known = read_all(status.used)
    used = {name: number for name, number in {**known, **world.used}.items() if name in spec.hard}
    if status.hard == spec.hard and known == used:
        return later
    changed = copy_of(world.quota)
    changed.status.hard = dict(spec.hard)
    changed.status.used = write_all(used)
    return [UpdateStatus(RESOURCEQUOTA, changed), *later]


def _wakes(evaluator: Evaluator) -> Callable[[Listers, Resource], Iterable[Key]]:
    def keys(listers: Listers, obj: Resource) -> Iterable[Key]:
        namespace = obj.metadata.namespace
        for quota in listers.list(RESOURCEQUOTA, namespace):
            if evaluator.matching(quota.spec.hard):
                yield Key(namespace, quota.metadata.name)

    return keys


def _newly_countable(listers: Listers, definition: Resource) -> Iterable[Key]:
    """Quotas that count the objects of a custom kind, which may have come this moment."""
    name = f"count/{definition.metadata.name}"
    for quota in listers.list(RESOURCEQUOTA):
        if name in quota.spec.hard:
            yield Key(quota.metadata.namespace, quota.metadata.name)


def _comes_or_goes(old: Any, new: Any) -> bool:
    return old is None or new is None


def _custom_part(kind: Kind[Any]) -> CustomPart:
    evaluator = evaluator_of(kind.group_resource)
    return CustomPart(Watch(kind, _wakes(evaluator) if evaluator is not None else _nobody, when=_comes_or_goes))


def _nobody(_listers: Listers, _obj: Resource) -> Iterable[Key]:
    return ()


def _matters(kind: Kind[Any]) -> Callable[[Any, Any], bool]:
    """Whether a change may be one of what is used."""

    def pods(old: Any, new: Any) -> bool:
        if old is None or new is None:
            return True
        return (
            facts.is_terminal(old) != facts.is_terminal(new)
            or old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
            or old.spec != new.spec
            or old.status.container_statuses != new.status.container_statuses
        )

    def measured(old: Any, new: Any) -> bool:
        if old is None or new is None or old.spec != new.spec:
            return True
        return kind.plural == "persistentvolumeclaims" and old.status != new.status

    evaluator = COUNTED[kind]
    if kind is POD:
        return pods
    return _comes_or_goes if type(evaluator) is Evaluator else measured


SPEC = ControllerSpec(
    name="resourcequota-controller",
    alias="resourcequota",
    primary=RESOURCEQUOTA,
    read=read,
    plan=plan,
    watches=(
        Watch(RESOURCEQUOTA),
        Watch(CUSTOMRESOURCEDEFINITION, _newly_countable),
        *(Watch(kind, _wakes(evaluator), when=_matters(kind)) for kind, evaluator in COUNTED.items()),
    ),
    custom=_custom_part,
)
