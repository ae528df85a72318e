"""The operators, `in`, size(). Source: cel-go common/stdlib/standard.go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tiphys.api.cel.cost import calls as cost
from tiphys.api.cel.cost.calls import COMPARED, CONSTANT, CallCost
from tiphys.api.cel.declarations import Overload, overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.evaluate import operators


def _special(*_values: Any) -> Any:
    """Operators that the planner takes apart itself never get here."""
    raise EvaluationError("no such overload")


_ARITHMETIC: dict[str, tuple[str, Callable[..., Any], tuple[str, ...]]] = {
    "_-_": (
        "subtract",
        operators.subtract,
        ("double", "duration", "int", "timestamp,duration", "timestamp,timestamp->duration", "uint"),
    ),
    "_*_": ("multiply", operators.multiply, ("double", "int", "uint")),
    "_/_": ("divide", operators.divide, ("double", "int", "uint")),
    "_%_": ("modulo", operators.modulo, ("int", "uint")),
}
_COMPARABLE = (
    ("bool", "bool"), ("int", "int"), ("int", "double"), ("int", "uint"), ("uint", "uint"), ("uint", "double"),
    ("uint", "int"), ("double", "double"), ("double", "int"), ("double", "uint"), ("string", "string"),
    ("bytes", "bytes"), ("timestamp", "timestamp"), ("duration", "duration"),
)  # fmt: skip
_ORDERS: dict[str, tuple[str, Callable[[int], bool]]] = {
    "_<_": ("less", lambda order: order < 0),
    "_<=_": ("less_equals", lambda order: order <= 0),
    "_>_": ("greater", lambda order: order > 0),
    "_>=_": ("greater_equals", lambda order: order >= 0),
}


def _operator(id_: str, function: str, types: str, result: str, apply: Any, price: CallCost = CONSTANT) -> Overload:
    return overload(id_, f"{function}({types}) -> {result}", apply, price)


def _arithmetic() -> Iterator[Overload]:
    for function, (word, apply, forms) in _ARITHMETIC.items():
        for form in forms:
            operands, _, result = form.partition("->")
            first, _, second = operands.partition(",")
            yield _operator(f"{word}_{operands}", function, f"{first}, {second or first}", result or first, apply)


def _orders() -> Iterator[Overload]:
    for function, (word, accepts) in _ORDERS.items():
        apply = operators.ordering(function, accepts)
        for one, other in _COMPARABLE:
            price = COMPARED if one in ("string", "bytes") else CONSTANT
            yield _operator(f"{word}_{one}_{other}", function, f"{one}, {other}", "bool", apply, price)


def _sizes() -> Iterator[Overload]:
    for kind, form in (("bytes", "bytes"), ("list", "list(A)"), ("map", "map(A, B)"), ("string", "string")):
        yield overload(f"size_{kind}", f"size({form}) -> int", len)
        yield overload(f"{kind}_size", f"{form}.size() -> int", len)


OVERLOADS = (
    _operator("conditional", "_?_:_", "bool, A, A", "A", _special),
    _operator("logical_and", "_&&_", "bool, bool", "bool", _special),
    _operator("logical_or", "_||_", "bool, bool", "bool", _special),
    _operator("logical_not", "!_", "bool", "bool", operators.logical_not),
    _operator("not_strictly_false", "@not_strictly_false", "bool", "bool", _special),
    _operator("equals", "_==_", "A, A", "bool", operators.equal, COMPARED),
    _operator("not_equals", "_!=_", "A, A", "bool", operators.equal, COMPARED),
    _operator("add_bytes", "_+_", "bytes, bytes", "bytes", operators.add, cost.JOINED),
    _operator("add_double", "_+_", "double, double", "double", operators.add),
    _operator("add_duration_duration", "_+_", "duration, duration", "duration", operators.add),
    _operator("add_duration_timestamp", "_+_", "duration, timestamp", "timestamp", operators.add),
    _operator("add_timestamp_duration", "_+_", "timestamp, duration", "timestamp", operators.add),
    _operator("add_int64", "_+_", "int, int", "int", operators.add),
    _operator("add_list", "_+_", "list(A), list(A)", "list(A)", operators.add, cost.LISTS_JOINED),
    _operator("add_string", "_+_", "string, string", "string", operators.add, cost.JOINED),
    _operator("add_uint64", "_+_", "uint, uint", "uint", operators.add),
    *_arithmetic(),
    _operator("negate_double", "-_", "double", "double", operators.negate),
    _operator("negate_int64", "-_", "int", "int", operators.negate),
    *_orders(),
    _operator("index_list", "_[_]", "list(A), int", "A", _special),
    _operator("index_map", "_[_]", "map(A, B), A", "B", _special),
    _operator("in_list", "@in", "A, list(A)", "bool", operators.contained, cost.IN_LIST),
    _operator("in_map", "@in", "A, map(A, B)", "bool", operators.contained),
    *_sizes(),
)
