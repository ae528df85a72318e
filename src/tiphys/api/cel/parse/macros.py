"""Macros: calls that stand for a fold or a test. They are expanded while parsing.

A macro is found by name, number of arguments and whether it has a target. It returns the expanded node, or reports
what is wrong with its arguments.

Source: cel-go parser/macro.go, ext/comprehensions.go, cel/library.go.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from tiphys.api.cel.ast import (
    ACCUMULATOR,
    ADD,
    AND,
    CONDITIONAL,
    EQUALS,
    MAP_INSERT,
    NOT,
    NOT_STRICTLY_FALSE,
    OR,
    UNUSED,
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
)

Report = Callable[[int, str], None]
Macro = Callable[[int, Node, list[Node], Report], Node]
"""(offset of the call, target or the first argument of a global macro, arguments, report) -> node."""


def _fold(at: int, over: Node, names: tuple[str, str], initial: Node, condition: Node, step: Node) -> Comprehension:
    return Comprehension(at, over, names, initial, condition, step, Ident(at, ACCUMULATOR))


def _names(arguments: list[Node], count: int, message: str, report: Report) -> tuple[str, str] | None:
    """The iteration variables; the second is empty where there is one."""
    names: list[str] = []
    for argument in arguments[:count]:
        if not isinstance(argument, Ident):
            report(argument.offset, message)
            return None
        if argument.name in (ACCUMULATOR, "__result__"):
            report(argument.offset, "iteration variable overwrites accumulator variable")
            return None
        if argument.name in names:
            report(argument.offset, f"duplicate variable name: {argument.name}")
            return None
        names.append(argument.name)
    return names[0], names[1] if count == 2 else ""


def _quantifier(kind: str, variables: int) -> Macro:
    def expand(at: int, target: Node, arguments: list[Node], report: Report) -> Node:
        names = _names(arguments, variables, "argument must be a simple name", report)
        if names is None:
            return target
        predicate = arguments[variables]
        accumulated = Ident(at, ACCUMULATOR)
        if kind == "all":
            condition = Call(at, NOT_STRICTLY_FALSE, [accumulated])
            step = Call(at, AND, [Ident(at, ACCUMULATOR), predicate])
            return _fold(at, target, names, Literal(at, True), condition, step)
        if kind == "exists":
            condition = Call(at, NOT_STRICTLY_FALSE, [Call(at, NOT, [accumulated])])
            step = Call(at, OR, [Ident(at, ACCUMULATOR), predicate])
            return _fold(at, target, names, Literal(at, False), condition, step)
        counted = Call(at, ADD, [accumulated, Literal(at, 1)])
        step = Call(at, CONDITIONAL, [predicate, counted, Ident(at, ACCUMULATOR)])
        fold = _fold(at, target, names, Literal(at, 0), Literal(at, True), step)
        fold.result = Call(at, EQUALS, [Ident(at, ACCUMULATOR), Literal(at, 1)])
        return fold

    return expand


def _collecting(at: int, over: Node, names: tuple[str, str], step: Node, keep: Node | None, initial: Node) -> Node:
    if keep is not None:
        step = Call(at, CONDITIONAL, [keep, step, Ident(at, ACCUMULATOR)])
    return _fold(at, over, names, initial, Literal(at, True), step)


def _listing(variables: int, message: str) -> Macro:
    """map, transformList: a list of what the last argument yields, for elements that pass the middle one."""

    def expand(at: int, target: Node, arguments: list[Node], report: Report) -> Node:
        names = _names(arguments, variables, message, report)
        if names is None:
            return target
        keep = arguments[variables] if len(arguments) == variables + 2 else None
        step = Call(at, ADD, [Ident(at, ACCUMULATOR), ListNode(at, [arguments[-1]])])
        return _collecting(at, target, names, step, keep, ListNode(at, []))

    return expand


def _filter(at: int, target: Node, arguments: list[Node], report: Report) -> Node:
    names = _names(arguments, 1, "argument is not an identifier", report)
    if names is None:
        return target
    step = Call(at, ADD, [Ident(at, ACCUMULATOR), ListNode(at, [arguments[0]])])
    return _collecting(at, target, names, step, arguments[1], ListNode(at, []))


def _mapping(entries: bool) -> Macro:
    """transformMap (key kept), transformMapEntry (each step yields a map to be merged)."""

    def expand(at: int, target: Node, arguments: list[Node], report: Report) -> Node:
        names = _names(arguments, 2, "argument must be a simple name", report)
        if names is None:
            return target
        keep = arguments[2] if len(arguments) == 4 else None
        key: list[Node] = [] if entries else [Ident(at, names[0])]
        step = Call(at, MAP_INSERT, [Ident(at, ACCUMULATOR), *key, arguments[-1]])
        return _collecting(at, target, names, step, keep, MapNode(at, []))

    return expand


def _optional_map(flat: bool) -> Macro:
    def expand(at: int, target: Node, arguments: list[Node], report: Report) -> Node:
        name, body = arguments
        if not isinstance(name, Ident):
            macro = "optFlatMap" if flat else "optMap"
            report(name.offset, f"{macro}() variable name must be a simple identifier")
            return target
        value = Call(at, "value", [], deepcopy(target))
        bound: Node = Comprehension(
            at, ListNode(at, []), (UNUSED, ""), value, Literal(at, False), Ident(at, name.name), body, name.name
        )
        if not flat:
            bound = Call(at, "optional.of", [bound])
        return Call(at, CONDITIONAL, [Call(at, "hasValue", [], target), bound, Call(at, "optional.none", [])])

    return expand


def _sort_by(at: int, target: Node, arguments: list[Node], report: Report) -> Node:
    """`list.sortBy(x, key)`: the list is bound to a name, then sorted by the keys of its items."""
    keys = _listing(1, "argument is not an identifier")(at, Ident(at, _SORTED), arguments, report)
    ordered = Call(at, "@sortByAssociatedKeys", [keys], Ident(at, _SORTED))
    return Comprehension(
        at, ListNode(at, []), (UNUSED, ""), target, Literal(at, False), Ident(at, _SORTED), ordered, _SORTED
    )


def _bind(at: int, target: Node, arguments: list[Node], report: Report) -> Node:
    """`cel.bind(name, value, body)`; anything else of this name is a method."""
    if not isinstance(target, Ident) or target.name != "cel":
        return Call(at, "bind", arguments, target)
    name, value, body = arguments
    if not isinstance(name, Ident):
        report(name.offset, "cel.bind() variable names must be simple identifiers")
        return target
    return Comprehension(
        at, ListNode(at, []), (UNUSED, ""), value, Literal(at, False), Ident(at, name.name), body, name.name
    )


def _has(at: int, target: Node, _arguments: list[Node], report: Report) -> Node:
    if isinstance(target, Select) and not target.test:
        return Select(at, target.operand, target.field, test=True)
    report(target.offset, "invalid argument to has() macro")
    return target


_SORTED = "@__sortBy_input__"
GLOBAL_MACROS: dict[tuple[str, int], Macro] = {("has", 1): _has}
MACROS: dict[tuple[str, int], Macro] = {
    ("all", 2): _quantifier("all", 1),
    ("exists", 2): _quantifier("exists", 1),
    ("exists_one", 2): _quantifier("one", 1),
    ("existsOne", 2): _quantifier("one", 1),
    ("map", 2): _listing(1, "argument is not an identifier"),
    ("map", 3): _listing(1, "argument is not an identifier"),
    ("filter", 2): _filter,
}
OPTIONAL_MACROS: dict[tuple[str, int], Macro] = {
    ("optMap", 2): _optional_map(flat=False),
    ("optFlatMap", 2): _optional_map(flat=True),
}
SORT_MACROS: dict[tuple[str, int], Macro] = {("sortBy", 2): _sort_by}
BIND_MACROS: dict[tuple[str, int], Macro] = {("bind", 3): _bind}
TWO_VARIABLE_MACROS: dict[tuple[str, int], Macro] = {
    ("all", 3): _quantifier("all", 2),
    ("exists", 3): _quantifier("exists", 2),
    ("exists_one", 3): _quantifier("one", 2),
    ("existsOne", 3): _quantifier("one", 2),
    ("transformList", 3): _listing(2, "argument must be a simple name"),
    ("transformList", 4): _listing(2, "argument must be a simple name"),
    ("transformMap", 3): _mapping(entries=False),
    ("transformMap", 4): _mapping(entries=False),
    ("transformMapEntry", 3): _mapping(entries=True),
    ("transformMapEntry", 4): _mapping(entries=True),
}
