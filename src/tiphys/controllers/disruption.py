"""Keeps the status of PodDisruptionBudgets: how many pods are healthy, how many should be, how many may go.

Woken by: budgets; pods that one covers or covered; what controls these pods, when it is scaled (custom kinds are asked
at each look); time. Writes: the
budget's status; the condition DisruptionTarget of pods that were marked for eviction and then not evicted.
Races: evictions count down `disruptionsAllowed` themselves, under the budget's resource version, and note the pod in
`disruptedPods`; it counts as gone until it is, or for two minutes.
Source: pkg/controller/disruption/disruption.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import (
    DEPLOYMENT,
    KINDS,
    POD,
    PODDISRUPTIONBUDGET,
    REPLICASET,
    REPLICATIONCONTROLLER,
    STATEFULSET,
)
from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_schema import CrossVersionObjectReference
from tiphys.api.kinds.core.pod.facts import condition, is_ready, is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.policy.budgets import SYNC_FAILED, note_allowed, set_allowed_condition
from tiphys.api.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from tiphys.api.labels import selector_of, text_of
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import IntOrString, copy_of
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.client.interface import Client
from tiphys.controllers._actions import Action, Event, Patch, Remember, RequeueAfter, UpdateStatus
from tiphys.controllers._metrics_client import read_scale
from tiphys.controllers._shares import share
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

DELETION_TIMEOUT_S = 120.0
"""How long an evicted pod counts as gone while it is still there."""
STALE_CONDITION_S = 120.0
"""How long a pod may be marked for eviction and not be evicted."""
SCALED: tuple[Kind[Any], ...] = (REPLICATIONCONTROLLER, REPLICASET, STATEFULSET)


@dataclass(frozen=True)
class World:
    budget: PodDisruptionBudget
    pods: tuple[Pod, ...]
    """Those that it selects, by name."""
    scales: Mapping[str, tuple[str, int] | None]
    """By UID of the pods' controllers: who really scales them (a deployment, not its replica set), and to how many.
    None: nothing that is known to have a scale."""
    torn: tuple[Pod, ...]
    """Pods that other budgets select, too, where this is the first of them by name."""
    told: frozenset[str]
    """UIDs of such pods that were told of it."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    budget = listers.get(PODDISRUPTIONBUDGET, key.name, key.namespace)
    if budget is None:
        return None
    selector = selector_of(budget.spec.selector)
    found = [pod for pod in listers.list(POD, key.namespace) if selector.matches(pod.metadata.labels)]
    pods = tuple(sorted(found, key=lambda pod: pod.metadata.name))
    scales: dict[str, tuple[str, int] | None] = {}
    for pod in pods:
        owner = controller_of(pod)
        if owner is not None and owner.uid not in scales:
            scales[owner.uid] = _scale(listers, pod)
    torn = tuple(_torn(listers, key, pods))
    return World(budget, pods, scales, torn, listers.remembered(key) or frozenset(), now)


def _torn(listers: Listers, key: Key, pods: Iterable[Pod]) -> Iterable[Pod]:
    """Pods of this budget and of others, but of none before it by name."""
    others = [each for each in listers.list(PODDISRUPTIONBUDGET, key.namespace) if each.metadata.name != key.name]
    selectors = [(each.metadata.name, selector_of(each.spec.selector)) for each in others]
    for pod in pods if selectors else ():
        names = [name for name, selector in selectors if selector.matches(pod.metadata.labels)]
        if names and min(names) > key.name:
            yield pod


def _scale(listers: Listers, pod: Pod) -> tuple[str, int] | None:
    """Who scales the pod, and to how many; through its replica set to the deployment."""
    owner: Resource | None = pod
    for kinds in (SCALED, (DEPLOYMENT,)):
        reference = controller_of(owner) if owner is not None else None
        found = None
        for kind in kinds:
            if reference is not None and (reference.kind, reference.api_version) == (kind.kind, kind.api_version):
                candidate = listers.get(kind, reference.name, pod.metadata.namespace)
                found = candidate if candidate is not None and candidate.metadata.uid == reference.uid else None
        if found is None:
            break
        owner = found
    if owner is None or owner is pod:
        return None
    replicas = getattr(owner, "spec").replicas  # noqa: B009 - each of these kinds has it
    return owner.metadata.uid, 1 if replicas is None else replicas


async def observe(client: Client, key: Key, world: World) -> World:
    """How many pods owners of custom kinds ask for: they say so at `/scale`."""
    spec = world.budget.spec
    if spec.max_unavailable is None and not isinstance(spec.min_available, str):
        return world
    owners = {owner.uid: owner for pod in world.pods if (owner := controller_of(pod)) is not None}
    scales = dict(world.scales)
    for uid, owner in owners.items():
        if scales.get(uid) is None and (owner.api_version, owner.kind) not in _built_in():
            target = CrossVersionObjectReference(kind=owner.kind, name=owner.name, api_version=owner.api_version)
            found = await read_scale(client, target, key.namespace)
            if not isinstance(found, str) and found.body.get("metadata", {}).get("uid") == uid:
                scales[uid] = uid, found.replicas
    return replace(world, scales=scales)


@cache
def _built_in() -> frozenset[tuple[str, str]]:
    return frozenset((kind.api_version, kind.kind) for kind in KINDS)


def plan(key: Key, world: World) -> Sequence[Action]:
    budget, events = world.budget, list[Action]()
    if not world.pods:
        events.append(Event(budget, "Normal", "NoPods", "No matching pods found"))
    try:
        expected, desired, unmanaged = _expected(world)
    except ValueError as error:
        text = f"Failed to calculate the number of expected pods: {error}"
        return [Event(budget, "Warning", "CalculateExpectedPodCountFailed", text), *_failed(world, str(error))]
    if unmanaged:
        text = (
            f"Pods selected by this PodDisruptionBudget (selector: {text_of(budget.spec.selector)}) were found to be "
            "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in "
            'undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an '
            "integer value."
        )
        events.append(Event(budget, "Warning", "UnmanagedPods", text))
    disrupted, recheck_s, late = _disrupted(world)
    for pod in late:
        text = f"Pod was expected by PDB {key.namespace}/{key.name} to be deleted but it wasn't"
        events.append(Event(pod, "Warning", "NotDeleted", text))
    healthy = sum(
        is_ready(pod)
        for pod in world.pods
        if pod.metadata.deletion_timestamp is None and pod.metadata.name not in disrupted
    )
    changed = copy_of(budget)
    status = changed.status
    status.current_healthy, status.desired_healthy, status.expected_pods = healthy, desired, expected
    status.disruptions_allowed = max(0, healthy - desired) if expected > 0 else 0
    status.disrupted_pods, status.observed_generation = disrupted, budget.metadata.generation
    note_allowed(changed, rfc3339(world.now))
    # Events are told with the change that they explain: what is as it was is not told again.
    writes: list[Action] = [*events, UpdateStatus(PODDISRUPTIONBUDGET, changed)] if status != budget.status else []
    return [*writes, *_tell_torn(world), *_unmark(world), *_waits(world, recheck_s)]


def _tell_torn(world: World) -> Iterable[Action]:
    """Pods of several budgets, which cannot be evicted, are told once."""
    torn = frozenset(pod.metadata.uid for pod in world.torn)
    for pod in world.torn:
        if pod.metadata.uid not in world.told:
            where = f'"{pod.metadata.namespace}"/"{pod.metadata.name}"'
            text = (
                f'Pod {where} matches multiple PodDisruptionBudgets.  Chose "{world.budget.metadata.name}" arbitrarily.'
            )
            yield Event(pod, "Warning", "MultiplePodDisruptionBudgets", text)
    if torn != world.told:
        yield Remember(torn)


def _expected(world: World) -> tuple[int, int, list[str]]:
    """How many pods there should be, how many of them healthy, and the names of those that nobody controls.

    Raises ValueError where it cannot be told.
    """
    spec = world.budget.spec
    if spec.max_unavailable is not None:
        expected, unmanaged = _total(world)
        return expected, max(0, expected - _share(spec.max_unavailable, expected)), unmanaged
    if isinstance(spec.min_available, int):
        return len(world.pods), spec.min_available, []
    if spec.min_available is not None:
        expected, unmanaged = _total(world)
        return expected, _share(spec.min_available, expected), unmanaged
    return 0, 0, []


def _share(value: IntOrString, of: int) -> int:
    if isinstance(value, str) and not (value.endswith("%") and value[:-1].isdigit()):
        raise ValueError(f'invalid value for IntOrString: invalid type: string is not a percentage: "{value}"')
    return share(value, of, up=True)


def _total(world: World) -> tuple[int, list[str]]:
    scales: dict[str, int] = {}
    unmanaged = []
    for pod in world.pods:
        owner = controller_of(pod)
        if owner is None:
            unmanaged.append(pod.metadata.name)
            continue
        known = world.scales.get(owner.uid)
        if known is None:
            raise ValueError(f'found no controllers for pod "{pod.metadata.name}"')
        scales[known[0]] = known[1]
    return sum(scales.values()), unmanaged


def _failed(world: World, message: str) -> list[Action]:
    """Where nothing can be computed, nothing may go."""
    changed = copy_of(world.budget)
    changed.status.disruptions_allowed = 0
    set_allowed_condition(changed, "False", SYNC_FAILED, message, rfc3339(world.now))
    return [UpdateStatus(PODDISRUPTIONBUDGET, changed)] if changed.status != world.budget.status else []


def _disrupted(world: World) -> tuple[dict[str, str | None], float | None, list[Pod]]:
    """Evicted pods that are still there; when to look again; and those that should be gone by now."""
    noted, found, late = world.budget.status.disrupted_pods, dict[str, str | None](), list[Pod]()
    waits_s = []
    for pod in world.pods:
        since = noted.get(pod.metadata.name)
        if since is None or pod.metadata.deletion_timestamp is not None:
            continue
        left_s = DELETION_TIMEOUT_S - (world.now - parse_rfc3339(since)).total_seconds()
        if left_s <= 0:
            late.append(pod)
        else:
            found[pod.metadata.name] = since
            waits_s.append(left_s)
    return found, min(waits_s, default=None), late


# --- pods marked in vain


def _marked_since(pod: Pod) -> datetime | None:
    """Since when a pod that lives is said to be about to go."""
    mark = condition(pod, "DisruptionTarget")
    if mark is None or mark.status != "True" or mark.reason == "TerminationByKubelet":
        return None
    if pod.metadata.deletion_timestamp is not None or is_terminal(pod) or not mark.last_transition_time:
        return None
    return parse_rfc3339(mark.last_transition_time)


def _unmark(world: World) -> list[Action]:
    """Takes the mark back from pods that were not evicted after all."""
    stale = timedelta(seconds=STALE_CONDITION_S)
    actions: list[Action] = []
    for pod in world.pods:
        since = _marked_since(pod)
        if since is not None and world.now - since >= stale:
            mark = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": rfc3339(world.now)}
            patch = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [mark]}}
            actions.append(
                Patch(POD, pod.metadata.name, pod.metadata.namespace, patch, "strategic", subresource="status")
            )
    return actions


def _waits(world: World, recheck_s: float | None) -> list[Action]:
    waits_s = [] if recheck_s is None else [recheck_s]
    for pod in world.pods:
        since = _marked_since(pod)
        if since is not None and (left_s := STALE_CONDITION_S - (world.now - since).total_seconds()) > 0:
            waits_s.append(left_s)
    return [RequeueAfter(min(waits_s))] if waits_s else []


# --- what wakes a budget


def _covering(listers: Listers, pod: Pod) -> Iterable[Key]:
    namespace, labels = pod.metadata.namespace, pod.metadata.labels
    for budget in listers.list(PODDISRUPTIONBUDGET, namespace):
        if selector_of(budget.spec.selector).matches(labels):
            yield Key(namespace, budget.metadata.name)


def _of_owner(listers: Listers, owner: Resource) -> Iterable[Key]:
    """Budgets over the pods of what was scaled, found by its template's labels."""
    namespace = owner.metadata.namespace
    template = getattr(owner, "spec").template  # noqa: B009 - each of these kinds has it
    labels = template.metadata.labels if template is not None else {}
    for budget in listers.list(PODDISRUPTIONBUDGET, namespace):
        if selector_of(budget.spec.selector).matches(labels):
            yield Key(namespace, budget.metadata.name)


def _scaled(old: Any, new: Any) -> bool:
    return old is None or new is None or old.spec.replicas != new.spec.replicas


SPEC = ControllerSpec(
    name="disruption-controller",
    alias="disruption",
    component="controllermanager",
    primary=PODDISRUPTIONBUDGET,
    read=read,
    observe=observe,
    plan=plan,
    watches=(
        Watch(POD, _covering),
        *(Watch(kind, _of_owner, when=_scaled) for kind in (*SCALED, DEPLOYMENT)),
    ),
    workers=2,
)
