"""What is refused although its types fit: bad literals, mixed lists and maps, format() with wrong arguments.

Source: cel-go cel/validator.go, ext/formatting.go.
"""

from __future__ import annotations

import re

from tiphys.api.cel.ast import Call, ListNode, Literal, MapNode, Node
from tiphys.api.cel.check.traverse import children, descendants
from tiphys.api.cel.check.unify import is_dyn, is_optional
from tiphys.api.cel.source import Issues
from tiphys.api.cel.types import Type, TypeKind
from tiphys.base import regexp

_CLAUSE = re.compile(r"%(?:\.[0-9]*)?(.)?", re.DOTALL)
_NUMBERS = (TypeKind.INT, TypeKind.UINT)
_TEXTS = (
    TypeKind.LIST, TypeKind.MAP, TypeKind.INT, TypeKind.UINT, TypeKind.DOUBLE, TypeKind.BOOL, TypeKind.STRING,
    TypeKind.TIMESTAMP, TypeKind.BYTES, TypeKind.DURATION, TypeKind.TYPE, TypeKind.NULL,
)  # fmt: skip
_CLAUSES: dict[str, tuple[tuple[TypeKind, ...], str]] = {
    "d": (_NUMBERS, "decimal clause can only be used on integers"),
    "f": ((TypeKind.DOUBLE, TypeKind.STRING), "fixed-point clause can only be used on doubles"),
    "e": ((TypeKind.DOUBLE, TypeKind.STRING), "scientific clause can only be used on doubles"),
    "b": ((*_NUMBERS, TypeKind.BOOL), "only integers and bools can be formatted as binary"),
    "x": ((*_NUMBERS, TypeKind.STRING, TypeKind.BYTES),
          "only integers, byte buffers, and strings can be formatted as hex"),
    "X": ((*_NUMBERS, TypeKind.STRING, TypeKind.BYTES),
          "only integers, byte buffers, and strings can be formatted as hex"),
    "o": (_NUMBERS, "octal clause can only be used on integers"),
    "s": (_TEXTS, "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, "
                  "durations, and timestamps"),
}  # fmt: skip


def validate(tree: Node, issues: Issues) -> None:
    """Reports into `issues`."""
    for node in descendants(tree):
        if isinstance(node, Call):
            _argument(node, issues)
            if (
                node.function == "format"
                and isinstance(node.target, Literal)
                and isinstance(node.arguments[0], ListNode)
            ):
                _format(node, str(node.target.value), node.arguments[0].elements, issues)
    _homogeneous(tree, issues)


def _argument(node: Call, issues: Issues) -> None:
    if node.function in ("duration", "timestamp") and len(node.arguments) == 1:
        literal = node.arguments[0]
        if isinstance(literal, Literal) and isinstance(literal.value, str) and not _reads(node, literal.value):
            issues.report(literal.offset, f"invalid {node.function} argument")
    elif node.function == "matches" and node.arguments:
        literal = node.arguments[-1]
        if isinstance(literal, Literal) and isinstance(literal.value, str):
            try:
                regexp.compiled(literal.value)
            except regexp.BadPattern:
                issues.report(literal.offset, "invalid matches argument")


def _reads(node: Call, text: str) -> bool:
    from tiphys.api.cel.errors import EvaluationError
    from tiphys.api.cel.library.conversions import parse_duration, parse_timestamp

    try:
        (parse_duration if node.function == "duration" else parse_timestamp)(text)
    except (ValueError, EvaluationError):
        return False
    return True


def _homogeneous(tree: Node, issues: Issues) -> None:
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, Call) and node.function == "format":
            continue
        if isinstance(node, ListNode):
            _same_types([(element, index in node.optional) for index, element in enumerate(node.elements)], issues)
        elif isinstance(node, MapNode):
            _same_types([(entry.key, False) for entry in node.entries], issues)
            _same_types([(entry.value, entry.optional) for entry in node.entries], issues)
        pending.extend(children(node))


def _same_types(nodes: list[tuple[Node, bool]], issues: Issues) -> None:
    first: Type | None = None
    for node, optional in nodes:
        found = node.type.parameters[0] if optional and is_optional(node.type) else node.type
        if first is None:
            first = found
        elif not _equivalent(first, found):
            issues.report(node.offset, f"expected type '{first}' but found '{found}'")
            return


def _equivalent(one: Type, other: Type) -> bool:
    return one.kind is other.kind and one.name == other.name and all(map(_equivalent, one.parameters, other.parameters))


def _format(node: Call, template: str, arguments: list[Node], issues: Issues) -> None:
    used = 0
    for match in _CLAUSE.finditer(template):
        verb = match.group(1)
        if verb == "%":
            continue
        accepted, complaint = _CLAUSES.get(verb or "", ((), ""))
        if not accepted:
            text = "unexpected end of string" if verb is None else f'unrecognized formatting clause "{verb}"'
            issues.report(node.offset, text if verb is None else f"could not parse formatting clause: {text}")
            return
        if used >= len(arguments):
            issues.report(node.offset, f"index {used} out of range")
            return
        argument = arguments[used]
        used += 1
        if not is_dyn(argument.type) and argument.type.kind not in accepted:
            issues.report(argument.offset, f"error during formatting: {complaint}, was given {argument.type.name}")
            return
    if len(arguments) > used:
        issues.report(
            node.offset, f"too many arguments supplied to string.format (expected {used}, got {len(arguments)})"
        )
