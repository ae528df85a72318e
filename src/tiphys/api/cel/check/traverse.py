"""Walking a tree."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api.cel.ast import Call, Comprehension, ListNode, MapNode, Node, ObjectNode, Select


def children(node: Node) -> list[Node]:
    """The nodes directly below, in reading order."""
    if isinstance(node, Select):
        return [] if node.resolved is not None else [node.operand]
    if isinstance(node, Call):
        return ([node.target] if node.target is not None else []) + node.arguments
    if isinstance(node, ListNode):
        return node.elements
    if isinstance(node, MapNode):
        return [part for entry in node.entries for part in (entry.key, entry.value)]
    if isinstance(node, ObjectNode):
        return [entry.value for entry in node.entries]
    if isinstance(node, Comprehension):
        return [node.over, node.initial, node.condition, node.step, node.result]
    return []


def descendants(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(children(current))
