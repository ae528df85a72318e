"""NodeAffinity: nodeSelector and required affinity must match; preferred terms that match add their weight.

A profile may add an affinity that holds for all its pods.
Source: pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tiphys.api.kinds.core.pod.placement import NodeAffinity, PreferredSchedulingTerm
from tiphys.api.kinds.core.references import NodeSelectorTerm
from tiphys.scheduler.columns import Bools, Ints, Rows
from tiphys.scheduler.config.args import NodeAffinityArgs
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.nodematch import (
    NAME_FIELD,
    node_mask,
    node_matches,
    required_terms,
    term_mask,
    term_matches,
    terms_mask,
)
from tiphys.scheduler.plugin import Normalize, PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable

REASON = "node(s) didn't match Pod's node affinity/selector"
ADDED_REASON = "node(s) didn't match scheduler-enforced node affinity"


def narrow(pod: PodRecord) -> frozenset[str] | None:
    """The nodes that every required term names by `metadata.name`, as DaemonSet pods do; None when one names none."""
    terms = required_terms(pod.shape)
    if not terms:
        return None
    names: frozenset[str] = frozenset()
    for term in terms:
        named = [set(r.values) for r in term.match_fields if r.key == NAME_FIELD and r.operator == "In"]
        if not named:
            return None
        names |= frozenset.intersection(*map(frozenset, named))
    return names


def build(args: NodeAffinityArgs) -> PluginSpec:
    added = args.added_affinity or NodeAffinity()
    required = added.required_during_scheduling_ignored_during_execution
    added_terms = None if required is None else required.node_selector_terms
    added_preferences = added.preferred_during_scheduling_ignored_during_execution

    def applies(pod: PodRecord) -> bool:
        return added_terms is not None or bool(pod.shape.node_selector) or required_terms(pod.shape) is not None

    def filter(table: NodeTable, pod: PodRecord, rows: Rows) -> Bools:  # noqa: A001 - the extension point's name
        """bool[rows]: nodeSelector and required affinity match. O(rows) per requirement."""
        mask = node_mask(table, pod.shape, rows)
        return mask if added_terms is None else mask & terms_mask(table, added_terms, rows)

    def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
        name, labels = table.names[row], table.labels_of(row)
        return node_matches(pod.shape, name, labels) and (added_terms is None or _any(added_terms, name, labels))

    def explain(table: NodeTable, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Mapping[str, int]:
        enforced = 0 if added_terms is None else int(np.count_nonzero(~terms_mask(table, added_terms, rows)))
        return {ADDED_REASON: enforced, REASON: len(rows) - enforced}

    def preferences(pod: PodRecord) -> Sequence[PreferredSchedulingTerm]:
        affinity = pod.shape.node_affinity
        own = () if affinity is None else affinity.preferred_during_scheduling_ignored_during_execution
        return [*own, *added_preferences]

    def scores(pod: PodRecord) -> bool:
        return bool(preferences(pod))

    def score(table: NodeTable, pod: PodRecord, rows: Rows) -> Ints:
        """int64[rows]: sum of the weights of matching preferences, before normalisation. O(rows) per requirement."""
        total = np.zeros(len(table.live[rows]), dtype=np.int64)
        for preference in preferences(pod):
            if preference.weight:
                total[term_mask(table, preference.preference, rows)] += preference.weight
        return total

    def score_row(table: NodeTable, pod: PodRecord, row: int) -> int:
        name, labels = table.names[row], table.labels_of(row)
        return sum(p.weight for p in preferences(pod) if p.weight and term_matches(p.preference, name, labels))

    return PluginSpec(
        name="NodeAffinity",
        reason=REASON,
        applies=applies,
        filter=filter,
        filter_row=filter_row,
        explain=explain if added_terms is not None else None,
        narrow=narrow,
        conflict="pod affinity terms conflict",
        scores=scores,
        score=score,
        score_row=score_row,
        normalize=Normalize.SHARE,
        weight=2,
        wakes={Wake.NODE_ADDED: _began_to_match, Wake.NODE_LABELS: _began_to_match},
    )


def _any(terms: Sequence[NodeSelectorTerm], name: str, labels: Mapping[str, str]) -> bool:
    return any(term_matches(term, name, labels) for term in terms)


def _began_to_match(pod: PodRecord, change: Change) -> bool:
    node, old = change.node, change.old_node
    if node is None or not node_matches(pod.shape, node.metadata.name, node.metadata.labels):
        return False
    return old is None or not node_matches(pod.shape, old.metadata.name, old.metadata.labels)


SPEC = build(NodeAffinityArgs())
