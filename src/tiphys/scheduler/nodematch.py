"""Node selectors and node affinity, for one node and for whole columns.

Terms are ORed, requirements within a term are ANDed. An empty term, or one that does not parse, matches no node.
Source: staging/src/k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tiphys.api.kinds.core.references import NodeSelectorRequirement, NodeSelectorTerm
from tiphys.scheduler.columns import ABSENT, Bools, LabelColumn, Rows
from tiphys.scheduler.pods import Shape

if TYPE_CHECKING:
    from tiphys.scheduler.table import NodeTable

NAME_FIELD = "metadata.name"
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_INT64_MAX = 2**63 - 1


def integer(text: str) -> int | None:
    """What Go's ParseInt(text, 10, 64) reads; None where it fails."""
    if not _INTEGER.match(text):
        return None
    number = int(text)
    return number if -_INT64_MAX - 1 <= number <= _INT64_MAX else None


def parses(requirement: NodeSelectorRequirement) -> bool:
    """Whether operator and values go together."""
    operator, values = requirement.operator, requirement.values
    if operator in ("In", "NotIn"):
        return bool(values)
    if operator in ("Exists", "DoesNotExist"):
        return not values
    if operator in ("Gt", "Lt"):
        return len(values) == 1 and integer(values[0]) is not None
    return False


def field_parses(requirement: NodeSelectorRequirement) -> bool:
    return requirement.operator in ("In", "NotIn") and len(requirement.values) == 1


def term_parses(term: NodeSelectorTerm) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    return all(map(parses, term.match_expressions)) and all(map(field_parses, term.match_fields))


def required_terms(shape: Shape) -> Sequence[NodeSelectorTerm] | None:
    """The required affinity's terms; None when the pod states none."""
    affinity = shape.node_affinity
    if affinity is None:
        return None
    required = affinity.required_during_scheduling_ignored_during_execution
    return None if required is None else required.node_selector_terms


# One node


def label_matches(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    text = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return text is not None and text in requirement.values
        case "NotIn":
            return text is None or text not in requirement.values
        case "Exists":
            return text is not None
        case "DoesNotExist":
            return text is None
    number, bound = integer(text) if text is not None else None, integer(requirement.values[0])
    if number is None or bound is None:
        return False
    return number > bound if requirement.operator == "Gt" else number < bound


def field_matches(requirement: NodeSelectorRequirement, name: str) -> bool:
    value = name if requirement.key == NAME_FIELD else ""
    return (value == requirement.values[0]) == (requirement.operator == "In")


def term_matches(term: NodeSelectorTerm, name: str, labels: Mapping[str, str]) -> bool:
    return (
        term_parses(term)
        and all(label_matches(r, labels) for r in term.match_expressions)
        and all(field_matches(r, name) for r in term.match_fields)
    )


def node_matches(shape: Shape, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a node satisfies the pod's nodeSelector and required affinity."""
    if any(labels.get(key) != value for key, value in shape.node_selector.items()):
        return False
    terms = required_terms(shape)
    return terms is None or any(term_matches(term, name, labels) for term in terms)


# Columns


def _size(table: NodeTable, rows: Rows) -> int:
    return len(table.live[rows])


def label_mask(table: NodeTable, requirement: NodeSelectorRequirement, rows: Rows) -> Bools:
    column = table.label(requirement.key)
    ids = column.ids[rows]
    match requirement.operator:
        case "Exists":
            found: Bools = ids != ABSENT
        case "DoesNotExist":
            found = ids == ABSENT
        case "In":
            found = np.isin(ids, [column.id_of(v) for v in requirement.values])
        case "NotIn":
            found = ~np.isin(ids, [column.id_of(v) for v in requirement.values])
        case _:
            found = _compared(column, requirement)[ids]
    return found


def _compared(column: LabelColumn, requirement: NodeSelectorRequirement) -> Bools:
    """Gt and Lt: bool per known text, and one False at the end, which is where -1 (absent) looks."""
    holds = [label_matches(requirement, {requirement.key: text}) for text in column.texts]
    return np.array([*holds, False], dtype=np.bool_)


def field_mask(table: NodeTable, requirement: NodeSelectorRequirement, rows: Rows) -> Bools:
    wanted = requirement.operator == "In"
    if requirement.key != NAME_FIELD:
        return np.full(_size(table, rows), (requirement.values[0] == "") == wanted, dtype=np.bool_)
    mask = np.full(table.capacity, not wanted, dtype=np.bool_)
    row = table.rows.get(requirement.values[0])
    if row is not None:
        mask[row] = wanted
    named: Bools = mask[rows]
    return named


def term_mask(table: NodeTable, term: NodeSelectorTerm, rows: Rows) -> Bools:
    if not term_parses(term):
        return np.zeros(_size(table, rows), dtype=np.bool_)
    mask = np.ones(_size(table, rows), dtype=np.bool_)
    for requirement in term.match_expressions:
        mask &= label_mask(table, requirement, rows)
    for requirement in term.match_fields:
        mask &= field_mask(table, requirement, rows)
    return mask


def terms_mask(table: NodeTable, terms: Sequence[NodeSelectorTerm], rows: Rows) -> Bools:
    """bool[rows]: nodes that any of `terms` matches."""
    anyone = np.zeros(_size(table, rows), dtype=np.bool_)
    for term in terms:
        anyone |= term_mask(table, term, rows)
    return anyone


def node_mask(table: NodeTable, shape: Shape, rows: Rows) -> Bools:
    """bool[rows]: `node_matches` for every node. Cost O(rows) per requirement."""
    mask = np.ones(_size(table, rows), dtype=np.bool_)
    for key, value in shape.node_selector.items():
        column = table.label(key)
        mask &= column.ids[rows] == column.id_of(value)
    terms = required_terms(shape)
    if terms is not None:
        mask &= terms_mask(table, terms, rows)
    return mask
