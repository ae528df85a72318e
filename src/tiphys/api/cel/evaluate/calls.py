"""Calls of functions: which overload values fit, what it costs, what it says when none fits.

Where the checker left one overload and knows the types, it is called at once; else values are looked at.
Source: cel-go common/decls (matchesRuntimeSignature), common/types (IsAssignableRuntimeType).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tiphys.api.cel.ast import Call, Node
from tiphys.api.cel.cost.calls import CONSTANT, CallCost, size_of, traversed
from tiphys.api.cel.evaluate.access import adapted, is_list, is_map
from tiphys.api.cel.evaluate.frame import Closure, Frame
from tiphys.api.cel.evaluate.operators import equal, no_overload
from tiphys.api.cel.evaluate.shown import kind_name
from tiphys.api.cel.types import Type, TypeKind
from tiphys.api.cel.values import Opaque, Optional, Uint

if TYPE_CHECKING:
    from tiphys.api.cel.declarations import Overload
    from tiphys.api.cel.evaluate.plan import Planner

_EXACT = {
    TypeKind.BOOL: bool, TypeKind.INT: int, TypeKind.UINT: Uint, TypeKind.DOUBLE: float, TypeKind.BYTES: bytes,
    TypeKind.NULL: type(None), TypeKind.DURATION: timedelta,
}  # fmt: skip
_SILENT = frozenset(("startsWith", "endsWith", "contains", "matches"))
_NAMED = frozenset(("size",))
_SURE = frozenset((*_EXACT, TypeKind.STRING, TypeKind.TIMESTAMP))
_SELF_CHECKING = frozenset(("_+_", "_-_", "_*_", "_/_", "_%_", "-_", "!_", "_<_", "_<=_", "_>_", "_>=_", "@in"))


def fits(value: Any, wanted: Type) -> bool:
    """Whether a value may be passed; of lists and maps the first entry is looked at."""
    kind = wanted.kind
    exact = _EXACT.get(kind)
    if exact is not None:
        return type(value) is exact
    if kind is TypeKind.STRING:
        return isinstance(value, str)
    if kind in (TypeKind.DYN, TypeKind.PARAMETER):
        return True
    if kind is TypeKind.LIST:
        return is_list(value) and (not value or fits(adapted(value[0]), wanted.parameters[0]))
    if kind is TypeKind.MAP:
        return is_map(value)
    if kind is TypeKind.TIMESTAMP:
        return isinstance(value, datetime)
    if kind is TypeKind.OPAQUE:
        if wanted.name == "optional_type":
            return type(value) is Optional
        return isinstance(value, Opaque) and value.cel_type.name == wanted.name
    return kind is TypeKind.TYPE and isinstance(value, Type)


def dispatch(function: str, overloads: Sequence[Overload], values: tuple[Any, ...]) -> tuple[Any, Overload]:
    """The result of the first overload that the values fit. Raises EvaluationError."""
    for overload in overloads:
        if all(fits(value, wanted) for value, wanted in zip(values, overload.types, strict=True)):
            return overload.apply(*values), overload
    if function in _SILENT:
        raise no_overload()
    if function in _NAMED:
        raise no_overload(function)
    raise no_overload(f"{function}({', '.join(kind_name(value) for value in values)})")


def plan(planner: Planner, node: Call) -> Closure:
    nodes: list[Node] = ([node.target] if node.target is not None else []) + node.arguments
    closures = [planner.plan(argument) for argument in nodes]
    overloads = node.overloads
    first = overloads[0]
    if node.function in _SELF_CHECKING:
        return _direct(closures, first, first.cost if len(overloads) == 1 else CONSTANT)
    if len(overloads) == 1 and all(argument.type.kind in _SURE for argument in nodes):
        return _direct(closures, _with_pattern(planner, first, nodes), first.cost)
    return _dispatched(node.function, closures, overloads)


def _with_pattern(planner: Planner, overload: Overload, nodes: list[Node]) -> Overload:
    """A constant regular expression is compiled now, so that a bad one is refused at once."""
    from tiphys.api.cel.library.regex import WITH_PATTERN, compiled

    if overload.function in WITH_PATTERN:
        pattern = planner.constant(nodes[1])
        if isinstance(pattern, str):
            compiled(pattern)
    return overload


def _direct(closures: list[Closure], overload: Overload, cost: CallCost) -> Closure:
    apply = overload.apply
    fixed = 1 if cost.run is CONSTANT.run else 0
    run_cost = cost.run
    if run_cost in _AFTER:
        return _any_arity(closures, overload, cost)
    if len(closures) == 1:
        only = closures[0]

        def unary(frame: Frame) -> Any:
            value = only(frame)
            if fixed:
                frame.cost += 1
            else:
                frame.charge(run_cost((value,), None))
            return apply(value)

        return unary
    if len(closures) == 2:
        left, right = closures

        def binary(frame: Frame) -> Any:
            one = left(frame)
            other = right(frame)
            if fixed:
                frame.cost += 1
                return apply(one, other)
            frame.charge(run_cost((one, other), None))
            return apply(one, other)

        return binary
    return _any_arity(closures, overload, cost)


_AFTER: set[object] = set()
"""Costs that look at the result."""


def counted_after(cost: CallCost) -> CallCost:
    """Declares that a cost depends on the result."""
    _AFTER.add(cost.run)
    return cost


def _any_arity(closures: list[Closure], overload: Overload, cost: CallCost) -> Closure:
    def run(frame: Frame) -> Any:
        values = tuple(closure(frame) for closure in closures)
        result = None
        try:
            result = overload.apply(*values)
        finally:
            frame.charge(cost.run(values, result))
        return result

    return run


def _dispatched(function: str, closures: list[Closure], overloads: list[Overload]) -> Closure:
    several = len(overloads) > 1

    def run(frame: Frame) -> Any:
        values = tuple(closure(frame) for closure in closures)
        result = None
        cost = overloads[0].cost if not several or overloads[0].cost.by_function else CONSTANT
        try:
            result, chosen = dispatch(function, overloads, values)
            cost = chosen.cost if not several or chosen.cost.by_function else CONSTANT
        finally:
            frame.charge(cost.run(values, result))
        return result

    return run


def equality(left: Closure, right: Closure, negated: bool) -> Closure:
    """`==` and `!=`: as long as the shorter side; opaque values count 1."""

    def run(frame: Frame) -> bool:
        one, other = left(frame), right(frame)
        if isinstance(one, Opaque):
            frame.cost += 1
        else:
            frame.charge(traversed(min(size_of(one), size_of(other))))
        return equal(one, other) is not negated

    return run
