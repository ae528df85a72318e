"""Terms of pod affinity and anti-affinity, read once per shape, and the labels of namespaces that they select by.

`matchLabelKeys` and `mismatchLabelKeys` are part of the selector by the time a pod is stored (`pod/strategy.py`).
Source: staging/src/k8s.io/kube-scheduler/framework/types.go (AffinityTerm).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiphys.api.kinds.core.pod.placement import Affinity, PodAffinityTerm, WeightedPodAffinityTerm
from tiphys.api.labels import NOTHING, selector_of
from tiphys.api.meta import types
from tiphys.base.selectors import LabelSelector

if TYPE_CHECKING:
    from tiphys.scheduler.pods import Identity

_NO_LABELS: Mapping[str, str] = {}


class Namespaces:
    """The labels of all namespaces. `version` changes with them."""

    def __init__(self) -> None:
        self._labels: dict[str, Mapping[str, str]] = {}
        self.version = 0

    def labels_of(self, name: str) -> Mapping[str, str]:
        """Empty for a namespace that is not known."""
        return self._labels.get(name, _NO_LABELS)

    def set(self, name: str, labels: Mapping[str, str] | None) -> bool:
        """None: the namespace is gone. Says whether anything changed."""
        if self._labels.get(name) == labels:
            return False
        if labels is None:
            del self._labels[name]
        else:
            self._labels[name] = dict(labels)
        self.version += 1
        return True


@dataclass(frozen=True, slots=True)
class Term:
    """The pods of some namespaces that a selector matches, and what `near` means."""

    key: str
    """The node label whose equal values make a domain."""
    selector: LabelSelector
    namespaces: frozenset[str]
    namespace_selector: LabelSelector = NOTHING

    def matches(self, pod: Identity, namespaces: Namespaces) -> bool:
        if pod.namespace not in self.namespaces and (
            self.namespace_selector.nothing or not self.namespace_selector.matches(namespaces.labels_of(pod.namespace))
        ):
            return False
        return self.selector.matches(pod.labels)


@dataclass(frozen=True, slots=True)
class PodTerms:
    """What a pod says of other pods."""

    affinity: tuple[Term, ...] = ()
    """Required: one and the same pod must match all, in each of their domains."""
    anti: tuple[Term, ...] = ()
    """Required: no pod may match any in its domain."""
    liked: tuple[tuple[int, Term], ...] = ()
    """Preferred, with weights; below zero where pods are disliked."""

    def __bool__(self) -> bool:
        return bool(self.affinity or self.anti or self.liked)


NONE = PodTerms()


@dataclass(frozen=True, slots=True)
class Together:
    """The pods that every one of `terms` matches; those that are about to leave count as well."""

    terms: tuple[Term, ...]
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(self.terms))

    def __hash__(self) -> int:
        return self._hash

    @property
    def scope(self) -> frozenset[str] | None:
        """The only namespaces with such pods; None when that depends on labels."""
        named = [term.namespaces for term in self.terms if term.namespace_selector.nothing]
        return frozenset.intersection(*named) if named else None

    def has(self, pod: Identity, *, leaving: bool, namespaces: Namespaces) -> bool:
        return all(term.matches(pod, namespaces) for term in self.terms)


def pod_terms(affinity: Affinity | None, namespace: str) -> PodTerms:
    """The terms of a pod of `namespace`."""
    if affinity is None or (affinity.pod_affinity is None and affinity.pod_anti_affinity is None):
        return NONE
    near, far = affinity.pod_affinity, affinity.pod_anti_affinity
    liked: list[tuple[int, Term]] = []
    if near is not None:
        liked += _weighted(near.preferred_during_scheduling_ignored_during_execution, namespace, 1)
    if far is not None:
        liked += _weighted(far.preferred_during_scheduling_ignored_during_execution, namespace, -1)
    return PodTerms(
        affinity=_terms(near.required_during_scheduling_ignored_during_execution, namespace) if near else (),
        anti=_terms(far.required_during_scheduling_ignored_during_execution, namespace) if far else (),
        liked=tuple(liked),
    )


def _terms(stated: Iterable[PodAffinityTerm], namespace: str) -> tuple[Term, ...]:
    return tuple(_term(term, namespace) for term in stated)


def _weighted(stated: Sequence[WeightedPodAffinityTerm], namespace: str, sign: int) -> list[tuple[int, Term]]:
    return [(sign * w.weight, _term(w.pod_affinity_term, namespace)) for w in stated]


def _term(stated: PodAffinityTerm, namespace: str) -> Term:
    named = frozenset(stated.namespaces)
    if not named and stated.namespace_selector is None:
        named = frozenset((namespace,))
    return Term(
        key=stated.topology_key,
        selector=_selector(stated.label_selector),
        namespaces=named,
        namespace_selector=_selector(stated.namespace_selector),
    )


def _selector(stated: types.LabelSelector | None) -> LabelSelector:
    try:
        return selector_of(stated)
    except ValueError:  # validation lets none through; an object from elsewhere matches nothing
        return NOTHING
