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
from tiphys.scheduler.config.args import PodTopologySpreadArgs
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.nodematch import node_mask, node_matches, required_terms
from tiphys.scheduler.plugin import SCORE_MAX, PluginSpec
from tiphys.scheduler.pods import Group, PodRecord
from tiphys.scheduler.table import NodeTable, Spread
from tiphys.scheduler.tolerance import UNTOLERATED

NAME = "PodTopologySpread"
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
HARD, SOFT = "DoNotSchedule", "ScheduleAnyway"

MISMATCH = "node(s) didn't match pod topology spread constraints"
LABEL_MISSING = MISMATCH + " (missing required label)"
_MEMO_MAX = 256


@dataclass(frozen=True, slots=True)
class Constraint:
    key: str
    max_skew: int
    group: Group
    domains_min: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for pods that state no constraints of their own."""

    stated: Sequence[TopologySpreadConstraint]
    system: bool
    """Upstream's own: nodes that lack one of the labels still count for the others."""


SYSTEM = Defaults(
    (
        TopologySpreadConstraint(max_skew=3, topology_key=HOSTNAME, when_unsatisfiable=SOFT),
        TopologySpreadConstraint(max_skew=5, topology_key=ZONE, when_unsatisfiable=SOFT),
    ),
    system=True,
)


def constraints(pod: PodRecord, when: str, defaults: Defaults = SYSTEM) -> Sequence[Constraint]:
    """The pod's constraints of one kind; the cluster's defaults when it states none at all."""
    if not pod.shape.spread:
        group = pod.group
        if group is None:
            return ()
        return [_constraint(c, group) for c in defaults.stated if c.when_unsatisfiable == when]
    memo: dict[object, Sequence[Constraint]] = pod.shape.memo.setdefault(NAME, {})
    labels = tuple(pod.labels.get(key) for c in pod.shape.spread for key in c.match_label_keys)
    key = (when, pod.namespace, labels)
    known = memo.get(key)
    if known is None:
        if len(memo) >= _MEMO_MAX:
            memo.clear()
        stated = [c for c in pod.shape.spread if c.when_unsatisfiable == when]
        known = memo[key] = [_constraint(c, _group(pod, c)) for c in stated]
    return known


def _group(pod: PodRecord, stated: TopologySpreadConstraint) -> Group:
    try:
        selector = selector_of(stated.label_selector)
    except ValueError:  # validation lets none through; an object from elsewhere spreads from nothing
        selector = NOTHING
    same = {key: pod.labels[key] for key in stated.match_label_keys if key in pod.labels}
    return Group(pod.namespace, (selector, selector_of_map(same)) if same else (selector,))


def _constraint(stated: TopologySpreadConstraint, group: Group) -> Constraint:
    return Constraint(
        key=stated.topology_key,
        max_skew=stated.max_skew,
        group=group,
        domains_min=stated.min_domains or 1,
        honor_affinity=stated.node_affinity_policy != "Ignore",
        honor_taints=stated.node_taints_policy == "Honor",
    )


# Which nodes count


def _left_out(pod: PodRecord, constraint: Constraint) -> bool:
    """Whether some nodes may not count, by the constraint's inclusion policies."""
    if constraint.honor_taints:
        return True
    return constraint.honor_affinity and (bool(pod.shape.node_selector) or required_terms(pod.shape) is not None)


def _included(table: NodeTable, pod: PodRecord, constraint: Constraint) -> Bools:
    """bool[high]: nodes whose pods count, by the constraint's inclusion policies."""
    every = slice(0, table.high)
    mask = table.live[every]
    if constraint.honor_affinity and (pod.shape.node_selector or required_terms(pod.shape) is not None):
        mask = mask & node_mask(table, pod.shape, every)
    if constraint.honor_taints:
        mask = mask & (UNTOLERATED.per_node(table, pod.shape, every) == 0)
    return mask


def _counted_by_domain(table: NodeTable, constraint: Constraint, ids: Ids, counted: Bools) -> Ints:
    """Matching pods per domain id: int64[texts]."""
    counts = table.count_of(constraint.group)[: table.high]
    size = len(table.label(constraint.key).texts)
    return np.bincount(ids[counted], weights=counts[counted], minlength=size).astype(np.int64)


def _all_keys(table: NodeTable, chosen: Sequence[Constraint]) -> Bools:
    mask = table.live[: table.high].copy()
    for constraint in chosen:
        mask &= table.label(constraint.key).ids[: table.high] != ABSENT
    return mask


def _everywhere(table: NodeTable, chosen: Sequence[Constraint]) -> bool:
    return all(table.spread_of(constraint.key).everywhere for constraint in chosen)


# Filter


def _allowed(table: NodeTable, pod: PodRecord, constraint: Constraint, labelled: Bools | None) -> Bools:
    """bool[texts + 1]: the domains that may take the pod; the last entry stands for nodes without the label.

    `labelled`: the nodes that have all constraints' labels; None when every node has.
    """
    if labelled is None and not _left_out(pod, constraint):
        spread = table.spread_of(constraint.key)
        counts = table.domains_of(constraint.group, constraint.key).counts[:-1]
        known, domains = spread.used, spread.domains
    else:
        ids = table.label(constraint.key).ids[: table.high]
        counted = _included(table, pod, constraint)
        if labelled is not None:
            counted = counted & labelled
        counts = _counted_by_domain(table, constraint, ids, counted)
        known = np.zeros(len(counts), dtype=np.bool_)
        known[ids[counted]] = True
        domains = int(np.count_nonzero(known))
    smallest = int(counts[known].min()) if domains and domains >= constraint.domains_min else 0
    most = constraint.max_skew + smallest - int(constraint.group.matches(pod.labels))
    return np.append(counts <= most, False)


def _labelled(table: NodeTable, hard: Sequence[Constraint]) -> Bools | None:
    return None if _everywhere(table, hard) else _all_keys(table, hard)


def _passed(table: NodeTable, pod: PodRecord, hard: Sequence[Constraint]) -> Bools | None:
    labelled = _labelled(table, hard)
    passed: Bools | None = None
    for constraint in hard:
        allowed = _allowed(table, pod, constraint, labelled)
        if allowed[:-1].all() and labelled is None:
            continue
        here = allowed[table.label(constraint.key).ids[: table.high]]
        passed = here if passed is None else passed & here
    return passed


def _passed_row(table: NodeTable, pod: PodRecord, row: int, hard: Sequence[Constraint]) -> bool:
    labelled = _labelled(table, hard)
    return all(_allowed(table, pod, constraint, labelled)[table.label(constraint.key).ids[row]] for constraint in hard)


# Score


def _scores(
    table: NodeTable, pod: PodRecord, feasible: Bools, soft: Sequence[Constraint], *, all_labels: bool
) -> Ints | None:
    """int64[high] in 0..100: fewer of the group's pods in the node's domains is better."""
    labelled: Bools | None = None
    candidates = feasible
    if all_labels and not _everywhere(table, soft):  # only nodes with all labels count
        labelled = _all_keys(table, soft)
        candidates = feasible & labelled
    total = np.zeros(table.high, dtype=np.float64)
    for constraint in soft:
        _add_score(table, pod, constraint, candidates, labelled, total)
    return _normalized(np.floor(total + 0.5).astype(np.int64), candidates)


def _add_score(
    table: NodeTable,
    pod: PodRecord,
    constraint: Constraint,
    candidates: Bools,
    labelled: Bools | None,
    total: npt.NDArray[np.float64],
) -> None:
    ids = table.label(constraint.key).ids[: table.high]
    spread = table.spread_of(constraint.key)
    if constraint.key == HOSTNAME:
        counts = table.count_of(constraint.group)[: table.high]
        credit = counts * math.log(int(np.count_nonzero(candidates)) + 2) + (constraint.max_skew - 1)
        total += credit if spread.everywhere else np.where(ids != ABSENT, credit, 0.0)
        return
    if labelled is None and not _left_out(pod, constraint):
        by_domain = table.domains_of(constraint.group, constraint.key).counts
    else:
        counted = _included(table, pod, constraint) & (ids != ABSENT)
        if labelled is not None:
            counted &= labelled
        by_domain = np.append(_counted_by_domain(table, constraint, ids, counted), 0)
    credit = by_domain * math.log(_domains_of(ids, candidates, spread) + 2) + (constraint.max_skew - 1)
    credit[-1] = 0.0
    total += credit[ids]


def _domains_of(ids: Ids, candidates: Bools, spread: Spread) -> int:
    """In how many domains there is a candidate; nodes without the label form one of their own."""
    if candidates.all():
        return spread.domains + (not spread.everywhere)
    seen = np.zeros(len(spread.used) + 1, dtype=np.bool_)
    seen[ids[candidates]] = True
    return int(np.count_nonzero(seen))


def _normalized(raw: Ints, candidates: Bools) -> Ints | None:
    """None: the same for every candidate, and there are no other rows to tell them from."""
    scored = raw if candidates.all() else raw[candidates]
    if not len(scored):
        return None
    low, high = int(scored.min()), int(scored.max())
    points = SCORE_MAX if high == 0 else SCORE_MAX * (high + low - raw) // high
    return np.where(candidates, points, 0)


# The plugin


def build(args: PodTopologySpreadArgs) -> PluginSpec:
    listed = args.defaulting_type == "List"
    defaults = Defaults(args.default_constraints, system=False) if listed else SYSTEM
    hard_by_default = any(c.when_unsatisfiable == HARD for c in defaults.stated)

    def hard(pod: PodRecord) -> Sequence[Constraint]:
        return constraints(pod, HARD, defaults)

    def applies(pod: PodRecord) -> bool:
        if pod.shape.spread:
            return any(stated.when_unsatisfiable == HARD for stated in pod.shape.spread)
        return hard_by_default and pod.group is not None

    def scores(pod: PodRecord) -> bool:
        if pod.shape.spread:
            return any(stated.when_unsatisfiable == SOFT for stated in pod.shape.spread)
        return pod.group is not None

    def filter_among(table: NodeTable, pod: PodRecord, _feasible: Bools) -> Bools | None:
        """bool[high]: putting the pod there keeps every hard constraint's skew within bounds. O(N) per constraint."""
        return _passed(table, pod, hard(pod))

    def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
        return _passed_row(table, pod, row, hard(pod))

    def explain(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Mapping[str, int]:
        """The first constraint that fails is the one that is told."""
        missing = _missing_first(table, pod, rows, hard(pod))
        return {LABEL_MISSING: missing, MISMATCH: len(rows) - missing}

    def resolvable(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Bools:
        return _all_keys(table, hard(pod))[rows]

    def score_among(table: NodeTable, pod: PodRecord, feasible: Bools) -> Ints | None:
        """int64[high] in 0..100. O(N) per constraint."""
        all_labels = bool(pod.shape.spread) or not defaults.system
        return _scores(table, pod, feasible, constraints(pod, SOFT, defaults), all_labels=all_labels)

    def same_group(pod: PodRecord, change: Change) -> bool:
        other = change.pod
        return other is None or any(
            other.namespace == c.group.namespace and c.group.matches(other.labels) for c in hard(pod)
        )

    def in_domains(pod: PodRecord, change: Change) -> bool:
        node = change.node
        return node is None or (
            all(c.key in node.metadata.labels for c in hard(pod))
            and node_matches(pod.shape, node.metadata.name, node.metadata.labels)
        )

    return PluginSpec(
        name=NAME,
        reason=MISMATCH,
        applies=applies,
        filter_among=filter_among,
        filter_row=filter_row,
        explain=explain,
        resolvable=resolvable,
        scores=scores,
        score_among=score_among,
        weight=2,
        wakes={
            Wake.NODE_ADDED: in_domains,
            Wake.NODE_REMOVED: None,
            Wake.NODE_LABELS: None,
            Wake.NODE_TAINTS: None,
            Wake.POD_ADDED: same_group,
            Wake.POD_REMOVED: same_group,
            Wake.POD_CHANGED: None,
        },
    )


def _missing_first(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp], hard: Sequence[Constraint]) -> int:
    """How many of `rows` fail for want of a label, no earlier constraint having failed otherwise."""
    labelled = _labelled(table, hard)
    undecided = np.ones(len(rows), dtype=np.bool_)
    missing = 0
    for constraint in hard:
        ids = table.label(constraint.key).ids[rows]
        absent = undecided & (ids == ABSENT)
        missing += int(np.count_nonzero(absent))
        undecided &= ~absent & _allowed(table, pod, constraint, labelled)[ids]
    return missing


SPEC = build(PodTopologySpreadArgs())
