"""What controllers that make pods share: a pod from a template, whose pods are whose, which pod goes first.

Source: pkg/controller/controller_utils.go, pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cmp_to_key
from typing import Any

from tiphys.api.kind import Kind, new
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.facts import is_ready, is_terminal, ready_condition
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.meta.owners import controller_of, owner_reference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import OwnerReference
from tiphys.base.clock import parse_rfc3339
from tiphys.base.selectors import LabelSelector
from tiphys.controllers._actions import Alive, Patch
from tiphys.controllers._spec import Index

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
NAME_MAX = 253

ORPHANS = Index(POD, "orphans", lambda pod: () if controller_of(pod) else (pod.metadata.namespace,))
"""Pods without a controller, by namespace: those that may be adopted."""


def label_pairs(namespace: str, labels: Mapping[str, str]) -> list[str]:
    """Each label with its namespace, as indexes file them."""
    return [f"{namespace}/{name}={value}" for name, value in labels.items()]


def is_active(pod: Pod) -> bool:
    """Neither finished nor being deleted."""
    return not is_terminal(pod) and pod.metadata.deletion_timestamp is None


def pod_from_template(template: PodTemplateSpec, owner_kind: Kind[Any], owner: Resource) -> Pod:
    """A pod as `template` says, named after and controlled by `owner`."""
    pod = new(POD, "", owner.metadata.namespace)
    prefix = f"{owner.metadata.name}-"
    pod.metadata.generate_name = prefix if len(prefix) <= NAME_MAX else owner.metadata.name
    pod.metadata.labels = dict(template.metadata.labels)
    pod.metadata.annotations = dict(template.metadata.annotations)
    pod.metadata.finalizers = list(template.metadata.finalizers)
    pod.metadata.owner_references = [owner_reference(owner_kind, owner)]
    pod.spec = copy_of(template.spec)
    return pod


@dataclass(frozen=True, slots=True)
class Claim:
    """Who belongs to an owner, and what must be written to make that so."""

    owned: tuple[Any, ...]
    """Objects that are, or with `actions` become, the owner's."""
    actions: tuple[Patch, ...]


def claim(
    kind: Kind[Any], owner_kind: Kind[Any], owner: Resource, selector: LabelSelector, candidates: Iterable[Resource]
) -> Claim:
    """Adopts matching orphans and releases what no longer matches.

    Objects that another controller owns are left alone. An owner that is being deleted adopts nothing, and adoption
    looks at the live owner first: one that is gone in truth but not in our cache must not collect dependents.
    """
    mine = owner.metadata
    owned: list[Resource] = []
    actions: list[Patch] = []
    for obj in candidates:
        reference = controller_of(obj)
        matches = selector.matches(obj.metadata.labels)
        if reference is not None:
            if reference.uid != mine.uid:
                continue
            if matches:
                owned.append(obj)
            elif mine.deletion_timestamp is None:
                actions.append(_release(kind, obj, mine.uid))
        elif matches and mine.deletion_timestamp is None and obj.metadata.deletion_timestamp is None:
            actions.append(_adopt(kind, obj, owner_kind, owner))
            owned.append(obj)
    return Claim(tuple(owned), tuple(actions))


def _adopt(kind: Kind[Any], obj: Resource, owner_kind: Kind[Any], owner: Resource) -> Patch:
    reference = _as_json(owner_reference(owner_kind, owner))
    metadata = {"uid": obj.metadata.uid, "ownerReferences": [reference]}
    alive = Alive(owner_kind, owner.metadata.name, owner.metadata.namespace, owner.metadata.uid)
    return Patch(kind, obj.metadata.name, obj.metadata.namespace, {"metadata": metadata}, guards=(alive,))


def _release(kind: Kind[Any], obj: Resource, owner_uid: str) -> Patch:
    return Patch(kind, obj.metadata.name, obj.metadata.namespace, without_owners(obj, (owner_uid,)))


def without_owners(obj: Resource, owner_uids: Sequence[str]) -> dict[str, Any]:
    """A strategic patch that takes these owners from `obj`, and from no successor of its name."""
    removals = [{"$patch": "delete", "uid": uid} for uid in owner_uids]
    return {"metadata": {"uid": obj.metadata.uid, "ownerReferences": removals}}


def _as_json(reference: OwnerReference) -> dict[str, Any]:
    return {
        "apiVersion": reference.api_version,
        "kind": reference.kind,
        "name": reference.name,
        "uid": reference.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


# --- which pods to delete first

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def first_to_delete(pods: Iterable[Pod], related: Iterable[Pod], now: datetime) -> list[Pod]:
    """`pods`, those that should be deleted first in front.

    In this order: not on a node; earlier in its life; not ready; lower deletion cost; more ready pods of `related` on
    the same node; ready for a shorter time; restarted more often; newer. Times are compared by their logarithm, so that
    among pods of about one age the choice is spread (by UID) over nodes and zones.
    """
    per_node: dict[str, int] = {}
    for pod in related:
        if is_ready(pod):
            per_node[pod.spec.node_name] = per_node.get(pod.spec.node_name, 0) + 1

    def compare(a: Pod, b: Pod) -> int:
        return _compare(a, b, per_node, now)

    return sorted(pods, key=cmp_to_key(compare))


def _compare(a: Pod, b: Pod, per_node: Mapping[str, int], now: datetime) -> int:
    simple: tuple[Callable[[Pod], int], ...] = (
        lambda pod: bool(pod.spec.node_name),
        lambda pod: _PHASES.get(pod.status.phase, 0),
        is_ready,
        deletion_cost,
        lambda pod: -per_node.get(pod.spec.node_name, 0),
    )
    for rank in simple:
        if difference := rank(a) - rank(b):
            return difference
    if is_ready(a) and is_ready(b) and (order := _by_age(a, b, _ready_since(a), _ready_since(b), now)):
        return order
    if order := _restarts(b)[0] - _restarts(a)[0] or _restarts(b)[1] - _restarts(a)[1]:
        return order
    return _by_age(a, b, a.metadata.creation_timestamp, b.metadata.creation_timestamp, now)


def _by_age(a: Pod, b: Pod, since_a: str | None, since_b: str | None, now: datetime) -> int:
    """The later one first; no time counts as latest."""
    if since_a == since_b:
        return 0
    if not since_a or not since_b:
        return -1 if not since_a else 1
    if difference := _age_rank(since_a, now) - _age_rank(since_b, now):
        return difference
    return -1 if a.metadata.uid < b.metadata.uid else 1


def _age_rank(since: str, now: datetime) -> int:
    age_s = (now - parse_rfc3339(since)).total_seconds()
    return int(math.log2(age_s * 1e9)) if age_s > 0 else -1


def _ready_since(pod: Pod) -> str | None:
    condition = ready_condition(pod)
    return condition.last_transition_time if condition is not None else None


def _restarts(pod: Pod) -> tuple[int, int]:
    """The most restarts of any container, and of any sidecar."""
    sidecars = {container.name for container in pod.spec.init_containers if container.restart_policy == "Always"}
    regular = max((status.restart_count for status in pod.status.container_statuses), default=0)
    sidecar = max(
        (status.restart_count for status in pod.status.init_container_statuses if status.name in sidecars), default=0
    )
    return regular, sidecar


def deletion_cost(pod: Pod) -> int:
    """The annotation's value, 0 where it is absent or not a 32-bit integer in plain form."""
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or (len(digits) > 1 and digits[0] == "0"):
        return 0
    cost = int(text)
    return cost if -(2**31) <= cost < 2**31 else 0
