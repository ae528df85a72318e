"""NodeAffinity: nodeSelector and required affinity must match; preferred terms that match add their weight.

Source: pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiphys.api.kinds.core.pod.placement import PreferredSchedulingTerm
from tiphys.scheduler.columns import Bools, Ints, Rows
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.nodematch import NAME_FIELD, node_mask, node_matches, required_terms, term_mask, term_matches
from tiphys.scheduler.plugin import Normalize, PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable


def applies(pod: PodRecord) -> bool:
    return bool(pod.shape.node_selector) or required_terms(pod.shape) is not None


def filter(table: NodeTable, pod: PodRecord, rows: Rows) -> Bools:  # noqa: A001 - the extension point's name
    """bool[rows]: nodeSelector and required affinity match. O(rows) per requirement."""
    return node_mask(table, pod.shape, rows)


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


def _preferences(pod: PodRecord) -> Sequence[PreferredSchedulingTerm]:
    affinity = pod.shape.node_affinity
    return () if affinity is None else affinity.preferred_during_scheduling_ignored_during_execution


def scores(pod: PodRecord) -> bool:
    return bool(_preferences(pod))


def score(table: NodeTable, pod: PodRecord, rows: Rows) -> Ints:
    """int64[rows]: sum of the weights of matching preferences, before normalisation. O(rows) per requirement."""
    total = np.zeros(len(table.live[rows]), dtype=np.int64)
    for preference in _preferences(pod):
        if preference.weight:
            total[term_mask(table, preference.preference, rows)] += preference.weight
    return total


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    return node_matches(pod.shape, table.names[row], table.labels_of(row))


def score_row(table: NodeTable, pod: PodRecord, row: int) -> int:
    name, labels = table.names[row], table.labels_of(row)
    return sum(p.weight for p in _preferences(pod) if p.weight and term_matches(p.preference, name, labels))


def _began_to_match(pod: PodRecord, change: Change) -> bool:
    node, old = change.node, change.old_node
    if node is None or not node_matches(pod.shape, node.metadata.name, node.metadata.labels):
        return False
    return old is None or not node_matches(pod.shape, old.metadata.name, old.metadata.labels)


SPEC = PluginSpec(
    name="NodeAffinity",
    reason="node(s) didn't match Pod's node affinity/selector",
    applies=applies,
    filter=filter,
    filter_row=filter_row,
    narrow=narrow,
    conflict="pod affinity terms conflict",
    scores=scores,
    score=score,
    score_row=score_row,
    normalize=Normalize.SHARE,
    weight=2,
    wakes={Wake.NODE_ADDED: _began_to_match, Wake.NODE_LABELS: _began_to_match},
)
