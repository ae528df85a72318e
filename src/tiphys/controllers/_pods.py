"""What controllers that make pods share: indexes of pods, and which pod goes first.

Source: pkg/controller/controller_utils.go (ActivePodsWithRanks).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cmp_to_key
from typing import Any, NamedTuple

from tiphys.api.kind import Kind
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.facts import is_available, is_ready, is_terminal, ready_condition
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import NOTHING, selector_of, selector_of_map
from tiphys.api.meta.owners import controller_of
from tiphys.base.clock import parse_rfc3339
from tiphys.base.selectors import LabelSelector
from tiphys.controllers._actions import Event
from tiphys.controllers._spec import Index, Key, Listers

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


def _selector_pair(owner: Any) -> Iterable[str]:
    """One label that all pods of the owner bear; a selector of expressions alone is filed under its namespace."""
    namespace, selector = owner.metadata.namespace, owner.spec.selector
    labels = selector if isinstance(selector, dict) else selector.match_labels if selector is not None else {}
    return label_pairs(namespace, labels)[:1] or (namespace,)


def by_selector(kind: Kind[Any]) -> Index[Any]:
    """Owners of pods by what they select, for `selecting`."""
    return Index(kind, "selector", _selector_pair)


def selecting(listers: Listers, kind: Kind[Any], pod: Pod) -> Iterable[Key]:
    """Those of `kind` whose selector matches the pod. Needs the index `by_selector`."""
    namespace, labels = pod.metadata.namespace, pod.metadata.labels
    for pair in (*label_pairs(namespace, labels), namespace):
        if listers.count(kind, "selector", pair):
            for owner in listers.indexed(kind, "selector", pair):
                if selector_in(owner).matches(labels):
                    yield Key(namespace, owner.metadata.name)


def selector_in(owner: Any) -> LabelSelector:
    """The predicate of `spec.selector`, which is a plain map in older kinds; there, an empty one matches nothing."""
    selector = owner.spec.selector
    if isinstance(selector, dict):
        return selector_of_map(selector) if selector else NOTHING
    return selector_of(selector)


def refusal(owner: Any) -> Event | None:
    """What is said, instead of making pods that would be nobody's at once, where the selector and the template of an
    owner disagree. Validation lets no such object in; one that got in all the same must not flood the cluster."""
    template = owner.spec.template
    labels = template.metadata.labels if template is not None else {}
    try:
        if selector_in(owner).matches(labels):
            return None
    except ValueError:
        pass
    return Event(owner, "Warning", "InvalidSelector", "The selector does not match the labels of the pod template.")


def until_available_s(pods: Iterable[Pod], minimum_s: int, now: datetime) -> float | None:
    """When the next ready pod has been ready for long enough; None when none is on its way."""
    if minimum_s <= 0:
        return None
    waits_s = []
    for pod in pods:
        condition = ready_condition(pod)
        if is_ready(pod) and not is_available(pod, minimum_s, now) and condition and condition.last_transition_time:
            waits_s.append(minimum_s - (now - parse_rfc3339(condition.last_transition_time)).total_seconds())
    return max(0.0, min(waits_s)) + 0.001 if waits_s else None


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

    ranked = [(_Rank.of(pod, per_node, now), pod) for pod in pods]
    ranked.sort(key=cmp_to_key(_compare))
    return [pod for _, pod in ranked]


class _Rank(NamedTuple):
    """What the order depends on, worked out once for each pod."""

    simple: tuple[int, int, bool, int, int]
    """What counts before age: lower goes first."""
    ready: _Age | None
    restarts: tuple[int, int]
    """Negative: more go first."""
    created: _Age

    @classmethod
    def of(cls, pod: Pod, per_node: Mapping[str, int], now: datetime) -> _Rank:
        ready, node = is_ready(pod), pod.spec.node_name
        regular, sidecar = _restarts(pod)
        phase = _PHASES.get(pod.status.phase, 0)
        return cls(
            (bool(node), phase, ready, deletion_cost(pod), -per_node.get(node, 0)),
            _age(_ready_since(pod), pod, now) if ready else None,
            (-regular, -sidecar),
            _age(pod.metadata.creation_timestamp, pod, now),
        )


def _compare(a: tuple[_Rank, Pod], b: tuple[_Rank, Pod]) -> int:
    left, right = a[0], b[0]
    if left.simple != right.simple:
        return -1 if left.simple < right.simple else 1
    if left.ready is not None and right.ready is not None and (order := _by_age(left.ready, right.ready)):
        return order
    if left.restarts != right.restarts:
        return -1 if left.restarts < right.restarts else 1
    return _by_age(left.created, right.created)


_Age = tuple[str, int, str]
"""Since when (empty: no time), the logarithm's whole part, the pod's UID."""


def _age(since: str | None, pod: Pod, now: datetime) -> _Age:
    return since or "", _age_rank(since, now) if since else -2, pod.metadata.uid


def _by_age(a: _Age, b: _Age) -> int:
    """The later one first; no time counts as latest."""
    if a[0] == b[0]:
        return 0
    return -1 if a[1:] < b[1:] else 1


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
