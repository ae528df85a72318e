"""PodTopologySpread: keep a group's pods apart, by the pod's own constraints or else by default.

A pod without constraints spreads from the pods of its Services and its controller: over hosts (maxSkew 3) and zones
(maxSkew 5), as a preference. DoNotSchedule constraints filter, ScheduleAnyway constraints score.

Counts per node come ready from `table.count_of`; a domain's count is one `bincount` over the label's column.
Source: pkg/scheduler/framework/plugins/podtopologyspread/{common,filtering,scoring,plugin}.go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiphys.api.kinds.core.pod.placement import TopologySpreadConstraint
from tiphys.api.labels import NOTHING, selector_of, selector_of_map
from tiphys.scheduler.columns import ABSENT, Bools, Ids, Ints
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.nodematch import node_mask, node_matches, required_terms
from tiphys.scheduler.plugin import SCORE_MAX, PluginSpec
from tiphys.scheduler.pods import Group, PodRecord
from tiphys.scheduler.table import NodeTable
from tiphys.scheduler.tolerance import per_node, untolerated

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
HARD, SOFT = "DoNotSchedule", "ScheduleAnyway"
DEFAULTS = ((HOSTNAME, 3), (ZONE, 5))

MISMATCH = "node(s) didn't match pod topology spread constraints"
LABEL_MISSING = MISMATCH + " (missing required label)"


@dataclass(frozen=True, slots=True)
class Constraint:
    key: str
    max_skew: int
    group: Group
    domains_min: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


def constraints(pod: PodRecord, when: str) -> Sequence[Constraint]:
    """The pod's constraints of one kind; the cluster's defaults when it states none at all."""
    if pod.shape.spread:
        return [_constraint(pod, stated) for stated in pod.shape.spread if stated.when_unsatisfiable == when]
    if when == SOFT and pod.group is not None:
        return [Constraint(key, skew, pod.group) for key, skew in DEFAULTS]
    return ()


def _constraint(pod: PodRecord, stated: TopologySpreadConstraint) -> Constraint:
    try:
        selector = selector_of(stated.label_selector)
    except ValueError:  # validation lets none through; an object from elsewhere spreads from nothing
        selector = NOTHING
    same = {key: pod.labels[key] for key in stated.match_label_keys if key in pod.labels}
    selectors = (selector, selector_of_map(same)) if same else (selector,)
    return Constraint(
        key=stated.topology_key,
        max_skew=stated.max_skew,
        group=Group(pod.namespace, selectors),
        domains_min=stated.min_domains or 1,
        honor_affinity=stated.node_affinity_policy != "Ignore",
        honor_taints=stated.node_taints_policy == "Honor",
    )


def _included(table: NodeTable, pod: PodRecord, constraint: Constraint) -> Bools:
    """bool[high]: nodes whose pods count, by the constraint's inclusion policies."""
    every = slice(0, table.high)
    mask = table.live[every]
    if constraint.honor_affinity and (pod.shape.node_selector or required_terms(pod.shape) is not None):
        mask = mask & node_mask(table, pod.shape, every)
    if constraint.honor_taints:
        mask = mask & (per_node(table, pod.shape, every, "TaintToleration/filter", untolerated) == 0)
    return mask


def _domain_counts(table: NodeTable, constraint: Constraint, ids: Ids, counted: Bools) -> Ints:
    """Matching pods per domain id: int64[texts]."""
    counts = table.count_of(constraint.group)[: table.high]
    size = len(table.label(constraint.key).texts)
    return np.bincount(ids[counted], weights=counts[counted], minlength=size).astype(np.int64)


def _all_keys(table: NodeTable, chosen: Sequence[Constraint]) -> Bools:
    mask = table.live[: table.high].copy()
    for constraint in chosen:
        mask &= table.label(constraint.key).ids[: table.high] != ABSENT
    return mask


def filter_among(table: NodeTable, pod: PodRecord, _feasible: Bools) -> Bools:
    """bool[high]: putting the pod there keeps every hard constraint's skew within bounds. O(N) per constraint."""
    hard = constraints(pod, HARD)
    passed = np.ones(table.high, dtype=np.bool_)
    if not hard:
        return passed
    labelled = _all_keys(table, hard)
    for constraint in hard:
        ids = table.label(constraint.key).ids[: table.high]
        counted = labelled & _included(table, pod, constraint)
        counts = _domain_counts(table, constraint, ids, counted)
        known = np.zeros(len(counts), dtype=np.bool_)
        known[ids[counted]] = True
        domains = int(np.count_nonzero(known))
        smallest = int(counts[known].min()) if domains and domains >= constraint.domains_min else 0
        self_count = int(constraint.group.matches(pod.labels))
        skew = counts + self_count - smallest
        allowed = np.append(skew <= constraint.max_skew, False)  # -1, a missing label, looks at the last entry
        passed &= allowed[ids]
    return passed


def explain(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Mapping[str, int]:
    missing = int(np.count_nonzero(~_labelled(table, pod, rows)))
    return {LABEL_MISSING: missing, MISMATCH: len(rows) - missing}


def _labelled(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Bools:
    return _all_keys(table, constraints(pod, HARD))[rows]


def applies(pod: PodRecord) -> bool:
    return any(stated.when_unsatisfiable == HARD for stated in pod.shape.spread)


def scores(pod: PodRecord) -> bool:
    return pod.group is not None or any(stated.when_unsatisfiable == SOFT for stated in pod.shape.spread)


def score_among(table: NodeTable, pod: PodRecord, feasible: Bools) -> Ints:
    """int64[high] in 0..100: fewer of the group's pods in the node's domains is better. O(N) per constraint."""
    soft = constraints(pod, SOFT)
    candidates = feasible
    if pod.shape.spread:  # the pod's own constraints count only nodes that have all their labels
        candidates = feasible & _all_keys(table, soft)
    total = np.zeros(table.high, dtype=np.float64)
    for constraint in soft:
        _add_score(table, pod, constraint, candidates, total)
    raw = np.floor(total + 0.5).astype(np.int64)
    return _normalized(raw, candidates)


def _add_score(
    table: NodeTable, pod: PodRecord, constraint: Constraint, candidates: Bools, total: npt.NDArray[np.float64]
) -> None:
    ids = table.label(constraint.key).ids[: table.high]
    has_label = ids != ABSENT
    if constraint.key == HOSTNAME:
        counts = table.count_of(constraint.group)[: table.high]
        domains = int(np.count_nonzero(candidates))
    else:
        # A domain counts when a candidate is in it; nodes without the label form one of their own for the weight.
        domains = int(np.count_nonzero(np.bincount(ids[candidates] + 1)))
        counted = _included(table, pod, constraint) & has_label
        if pod.shape.spread:
            counted &= _all_keys(table, constraints(pod, SOFT))
        by_domain = np.append(_domain_counts(table, constraint, ids, counted), 0)
        counts = by_domain[ids]
    weight = math.log(domains + 2)
    total += np.where(has_label, counts * weight + (constraint.max_skew - 1), 0.0)


def _normalized(raw: Ints, candidates: Bools) -> Ints:
    scored = raw[candidates]
    result = np.zeros(len(raw), dtype=np.int64)
    if not len(scored):
        return result
    low, high = int(scored.min()), int(scored.max())
    result[candidates] = SCORE_MAX if high == 0 else SCORE_MAX * (high + low - scored) // high
    return result


def resolvable(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Bools:
    return _labelled(table, pod, rows)


def _same_group(pod: PodRecord, change: Change) -> bool:
    other = change.pod
    return other is None or any(
        other.namespace == c.group.namespace and c.group.matches(other.labels) for c in constraints(pod, HARD)
    )


def _has_labels(pod: PodRecord, change: Change) -> bool:
    node = change.node
    return node is None or (
        all(c.key in node.metadata.labels for c in constraints(pod, HARD))
        and node_matches(pod.shape, node.metadata.name, node.metadata.labels)
    )


SPEC = PluginSpec(
    name="PodTopologySpread",
    reason=MISMATCH,
    applies=applies,
    filter_among=filter_among,
    explain=explain,
    resolvable=resolvable,
    scores=scores,
    score_among=score_among,
    weight=2,
    wakes={
        Wake.NODE_ADDED: _has_labels,
        Wake.NODE_LABELS: None,
        Wake.NODE_TAINTS: None,
        Wake.POD_ADDED: _same_group,
        Wake.POD_REMOVED: _same_group,
        Wake.POD_CHANGED: None,
    },
)
