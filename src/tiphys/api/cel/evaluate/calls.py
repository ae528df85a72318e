"""Calls of functions: which overload values fit, what it costs, what it says when none fits.

Where the checker left one overload and knows the types, it is called at once; else values are looked at.
Source: cel-go common/decls (matchesRuntimeSignature), common/types (IsAssignableRuntimeType).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tiphys.api.cel.ast import Call, Node
from tiphys.api.cel.cost.calls import CONSTANT, CallCost, size_of, traversed
from tiphys.api.cel.errors import CostExceeded, EvaluationError
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
_PLAIN: dict[TypeKind, type] = {**_EXACT, TypeKind.STRING: str, TypeKind.TIMESTAMP: datetime}
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
        return _unchecked(closures, first, first.cost if len(overloads) == 1 else CONSTANT)
    _compile_pattern(planner, first, nodes)
    if len(overloads) == 1 and all(wanted.kind in _PLAIN for wanted in first.types):
        return _checked(node.function, closures, first)
    return _dispatched(node.function, closures, overloads)


def _compile_pattern(planner: Planner, overload: Overload, nodes: list[Node]) -> None:
    """A constant regular expression is compiled now, so that a bad one is refused at once."""
    from tiphys.api.cel.library.regex import WITH_PATTERN, compiled

    if overload.function in WITH_PATTERN:
        pattern = planner.constant(nodes[1])
        if isinstance(pattern, str):
            compiled(pattern)


def _unchecked(closures: list[Closure], overload: Overload, cost: CallCost) -> Closure:
    """Operators look at their values themselves."""
    apply, price = overload.apply, cost.run
    fixed = price is CONSTANT.run
    if len(closures) == 1:
        only = closures[0]

        def unary(frame: Frame) -> Any:
            try:
                value = only(frame)
            finally:
                frame.cost += 1
            return apply(value)

        return unary
    left, right = closures

    def binary(frame: Frame) -> Any:
        try:
            one = left(frame)
        except EvaluationError as error:
            raise _failed(error, frame, right) from None
        try:
            other = right(frame)
        except EvaluationError:
            frame.cost += 1
            raise
        if fixed:
            frame.cost += 1
        else:
            frame.charge(price((one, other), None))
        return apply(one, other)

    return binary


def _failed(error: EvaluationError, frame: Frame, other: Closure) -> EvaluationError:
    """The left side failed: the right one is still evaluated, and both count, as upstream has it."""
    if not isinstance(error, CostExceeded):
        with suppress(EvaluationError):
            other(frame)
        frame.charge(1)
    return error


def _checked(function: str, closures: list[Closure], overload: Overload) -> Closure:
    """One overload of plain values: their types are compared, and only where they differ looked at closely."""
    apply, price, after = overload.apply, overload.cost.run, overload.cost.run in _AFTER
    if after or not 0 < len(closures) < 3:
        return _dispatched(function, closures, [overload])
    first, second = _PLAIN[overload.types[0].kind], _PLAIN[overload.types[-1].kind]
    left, right = closures[0], closures[-1]
    if len(closures) == 1:

        def unary(frame: Frame) -> Any:
            try:
                value = left(frame)
            except EvaluationError:
                frame.cost += 1
                raise
            frame.charge(price((value,), None))
            if type(value) is first:
                return apply(value)
            return dispatch(function, (overload,), (value,))[0]

        return unary

    def binary(frame: Frame) -> Any:
        try:
            one = left(frame)
        except EvaluationError as error:
            raise _failed(error, frame, right) from None
        try:
            other = right(frame)
        except EvaluationError:
            frame.cost += 1
            raise
        frame.charge(price((one, other), None))
        if type(one) is first and type(other) is second:
            return apply(one, other)
        return dispatch(function, (overload,), (one, other))[0]

    return binary


_AFTER: set[object] = set()
"""Costs that look at the result."""


def counted_after(cost: CallCost) -> CallCost:
    """Declares that a cost depends on the result."""
    _AFTER.add(cost.run)
    return cost


def _values(closures: list[Closure], frame: Frame) -> tuple[Any, ...]:
    try:
        return tuple([closure(frame) for closure in closures])
    except EvaluationError:
        frame.cost += 1 if len(closures) < 3 else 0
        raise


def _dispatched(function: str, closures: list[Closure], overloads: list[Overload]) -> Closure:
    several = len(overloads) > 1

    def run(frame: Frame) -> Any:
        values = _values(closures, frame)
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
        try:
            one = left(frame)
        except EvaluationError as error:
            raise _failed(error, frame, right) from None
        try:
            other = right(frame)
        except EvaluationError:
            frame.cost += 1
            raise
        if isinstance(one, Opaque):
            frame.cost += 1
        else:
            frame.charge(traversed(min(size_of(one), size_of(other))))
        return equal(one, other) is not negated

    return run
