"""InterPodAffinity: pods that must, must not, or would like to be in the same domain as others.

It goes both ways: the terms of the pod that is coming count the pods that are there, and the terms of the pods that
are there may refuse, attract or repel the one that is coming. Both are kept per domain of the topology key
(`counts.py`), so that each term costs one look-up per node.

Source: pkg/scheduler/framework/plugins/interpodaffinity/{plugin,filtering,scoring}.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import ABSENT, Bools, Ints
from tiphys.scheduler.config.args import InterPodAffinityArgs
from tiphys.scheduler.counts import ANTI, LIKED, NEAR, Domains
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import SCORE_MAX, PluginSpec
from tiphys.scheduler.pods import PodRecord, Shape
from tiphys.scheduler.table import NodeTable
from tiphys.scheduler.terms import Term, Together

NAME = "InterPodAffinity"
AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"


@dataclass(frozen=True, slots=True)
class _Groups:
    """The sets of pods that a shape's terms speak of."""

    affinity: Together | None
    anti: tuple[tuple[str, Together], ...]
    liked: tuple[tuple[int, str, Together], ...]


def _groups(shape: Shape) -> _Groups:
    known: _Groups | None = shape.memo.get(NAME)
    if known is None:
        terms = shape.terms
        known = shape.memo[NAME] = _Groups(
            affinity=Together(terms.affinity) if terms.affinity else None,
            anti=tuple((term.key, Together((term,))) for term in terms.anti),
            liked=tuple((weight, term.key, Together((term,))) for weight, term in terms.liked),
        )
    return known


def _near(table: NodeTable, pod: PodRecord, group: Together) -> Sequence[Domains] | None:
    """Per required term, the pods that match all of them by domain. None: no pod does, and this one would be the
    first of a series that wants to be together."""
    found = [table.domains_of(group, term.key) for term in group.terms]
    if not any(domains.total for domains in found) and group.has(
        pod.identity, leaving=False, namespaces=table.namespaces
    ):
        return None
    return found


def _affine(table: NodeTable, pod: PodRecord, group: Together) -> Bools:
    near = _near(table, pod, group)
    passed = np.ones(table.high, dtype=np.bool_)
    if near is None:
        for term in group.terms:
            passed &= table.label(term.key).ids[: table.high] != ABSENT
        return passed
    for domains in near:
        passed &= domains.per_row(table.high) > 0
    return passed


def _existing(table: NodeTable, pod: PodRecord) -> list[Domains]:
    """Where pods are that do not want this one near."""
    return [
        tally.domains(tally.term.key, table.label)
        for tally in table.terms.about(pod.identity)
        if tally.kind == ANTI and tally.rows
    ]


def filter_among(table: NodeTable, pod: PodRecord, _feasible: Bools) -> Bools | None:
    """bool[high]: all required terms hold, the pod's and those of pods that are there. O(N) per term."""
    if not pod.shape.terms and not table.terms.about(pod.identity):
        return None
    passed: Bools | None = None
    if pod.shape.terms:
        groups = _groups(pod.shape)
        if groups.affinity is not None:
            passed = _affine(table, pod, groups.affinity)
        for key, group in groups.anti:
            apart = table.domains_of(group, key).per_row(table.high) == 0
            passed = apart if passed is None else passed & apart
    for domains in _existing(table, pod):
        apart = domains.per_row(table.high) == 0
        passed = apart if passed is None else passed & apart
    return passed


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    return not _refusal(table, pod, row)


def _refusal(table: NodeTable, pod: PodRecord, row: int) -> str:
    """Why this row is refused; empty when it is not."""
    groups = _groups(pod.shape)
    if groups.affinity is not None:
        near = _near(table, pod, groups.affinity)
        if near is None:
            if any(table.label(term.key).ids[row] == ABSENT for term in groups.affinity.terms):
                return AFFINITY
        elif any(domains.counts[domains.column.ids[row]] <= 0 for domains in near):
            return AFFINITY
    for key, group in groups.anti:
        domains = table.domains_of(group, key)
        if domains.counts[domains.column.ids[row]] > 0:
            return ANTI_AFFINITY
    if any(domains.counts[domains.column.ids[row]] > 0 for domains in _existing(table, pod)):
        return EXISTING
    return ""


def explain(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Mapping[str, int]:
    groups = _groups(pod.shape)
    left = np.ones(table.high, dtype=np.bool_)
    reasons: dict[str, int] = {}
    if groups.affinity is not None:
        left = _affine(table, pod, groups.affinity)
        reasons[AFFINITY] = int(np.count_nonzero(~left[rows]))
    apart = left.copy()
    for key, group in groups.anti:
        apart &= table.domains_of(group, key).per_row(table.high) == 0
    reasons[ANTI_AFFINITY] = int(np.count_nonzero(left[rows] & ~apart[rows]))
    reasons[EXISTING] = int(np.count_nonzero(apart[rows]))
    return reasons


def resolvable(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Bools:
    """Removing pods never makes others appear: only anti-affinity can be overcome."""
    group = _groups(pod.shape).affinity
    return np.ones(len(rows), dtype=np.bool_) if group is None else _affine(table, pod, group)[rows]


def build(args: InterPodAffinityArgs) -> PluginSpec:
    def score_among(table: NodeTable, pod: PodRecord, feasible: Bools) -> Ints | None:
        """int64[high] in 0..100: sum of the weights of preferences that hold, both ways. O(N) per term."""
        if not pod.shape.terms and not table.terms.about(pod.identity):
            return None
        raw = np.zeros(table.high, dtype=np.int64)
        scored = False
        for weight, key, group in _groups(pod.shape).liked if pod.shape.terms else ():
            domains = table.domains_of(group, key)
            if domains.total and weight:
                raw += weight * domains.per_row(table.high)
                scored = True
        if pod.shape.terms.liked or not args.ignore_preferred_terms_of_existing_pods:
            scored = _add_existing(table, pod, raw, args.hard_pod_affinity_weight) or scored
        return _normalized(raw, feasible) if scored else None

    return PluginSpec(
        name=NAME,
        filter_among=filter_among,
        filter_row=filter_row,
        explain=explain,
        resolvable=resolvable,
        score_among=score_among,
        weight=2,
        wakes={
            Wake.POD_ADDED: _came_near,
            Wake.POD_REMOVED: _went_away,
            Wake.POD_CHANGED: None,
            Wake.NODE_ADDED: _new_domain,
            Wake.NODE_LABELS: _new_domain,
            Wake.NAMESPACE: None,
        },
    )


def _add_existing(table: NodeTable, pod: PodRecord, raw: Ints, hard_weight: int) -> bool:
    """Add what the terms of pods that are there say of this one. Whether any says anything."""
    found = False
    for tally in table.terms.about(pod.identity):
        weight = {NEAR: hard_weight, LIKED: tally.weight}.get(tally.kind, 0)
        if weight and tally.rows:
            raw += weight * tally.domains(tally.term.key, table.label).per_row(table.high)
            found = True
    return found


def _normalized(raw: Ints, feasible: Bools) -> Ints | None:
    """In proportion between the least (0) and the most (100). None when all are equal."""
    scored = raw[feasible]
    if not len(scored):
        return None
    low, high = int(scored.min()), int(scored.max())
    if high == low:
        return None
    result: Ints = (float(SCORE_MAX) * ((raw - low) / (high - low))).astype(np.int64)
    return result


# Hints


def _all_match(terms: Sequence[Term], pod: PodRecord) -> bool:
    """Every term matches `pod` by name and labels; namespace selectors may, so they do."""
    return bool(terms) and all(
        (pod.namespace in term.namespaces or not term.namespace_selector.nothing) and term.selector.matches(pod.labels)
        for term in terms
    )


def _came_near(pod: PodRecord, change: Change) -> bool:
    return change.pod is None or _all_match(pod.shape.terms.affinity, change.pod)


def _went_away(pod: PodRecord, change: Change) -> bool:
    gone = change.pod
    if gone is None:
        return True
    return _any_match(pod.shape.terms.anti, gone) or _any_match(gone.shape.terms.anti, pod)


def _any_match(terms: Sequence[Term], pod: PodRecord) -> bool:
    return any(_all_match((term,), pod) for term in terms)


def _new_domain(pod: PodRecord, change: Change) -> bool:
    """The node brings, or left, a domain that the pod's terms are about; or other pods' terms are the reason."""
    node, old = change.node, change.old_node
    terms = pod.shape.terms
    if node is None or not (terms.affinity or terms.anti):
        return True
    if old is None:
        return bool(terms.anti) or any(term.key in node.metadata.labels for term in terms.affinity)
    return any(
        node.metadata.labels.get(term.key) != old.metadata.labels.get(term.key)
        for term in (*terms.affinity, *terms.anti)
    )


SPEC = build(InterPodAffinityArgs())
