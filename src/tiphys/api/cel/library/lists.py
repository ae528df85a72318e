"""Functions of lists and sets. Source: .../cel/library/lists.go; cel-go ext/lists.go, ext/sets.go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cmp_to_key
from typing import Any

from tiphys.api.cel.cost.calls import LIST_CREATE, TRAVERSAL, WHOLE_LIST, CallCost, Guess, Parts, size_of
from tiphys.api.cel.cost.estimate import add, fixed, multiply, scaled
from tiphys.api.cel.declarations import Overload, overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.evaluate import operators
from tiphys.api.cel.evaluate.access import adapted, is_list
from tiphys.api.cel.evaluate.calls import counted_after
from tiphys.api.cel.evaluate.operators import compare, equal
from tiphys.api.cel.evaluate.shown import kind_name
from tiphys.api.cel.interface import UNLIMITED, Estimate
from tiphys.api.cel.values import Uint

_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_ZEROS: dict[str, Any] = {"int": 0, "uint": Uint(0), "double": 0.0, "duration": timedelta()}
_RANGE_MAX = 1_000_000
"""A longer range costs more than any evaluation may, so it is refused before it is made."""


def _is_sorted(items: Any) -> bool:
    previous: list[Any] = []
    for item in items:
        if previous and compare(previous[0], item) > 0:
            return False
        previous = [item]
    return True


def _sum(zero: Any) -> Callable[[Any], Any]:
    def apply(items: Any) -> Any:
        total = zero
        for item in items:
            total = operators.add(total, item)
        return total

    return apply


def _best(name: str, wanted: int) -> Callable[[Any], Any]:
    def apply(items: Any) -> Any:
        if not items:
            raise EvaluationError(f"{name} called on empty list")
        best = items[0]
        for item in items:
            if compare(item, best) == wanted:
                best = item
        return best

    return apply


def _index(items: Any, wanted: Any) -> int:
    return next((index for index, item in enumerate(items) if equal(adapted(item), wanted)), -1)


def _last_index(items: Any, wanted: Any) -> int:
    return next((index for index in range(len(items) - 1, -1, -1) if equal(adapted(items[index]), wanted)), -1)


def _kubernetes() -> Iterator[Overload]:
    for name in _COMPARABLE:
        yield overload(f"list_{name}_is_sorted_bool", f"list({name}).isSorted() -> bool", _is_sorted, WHOLE_LIST)
    for name, zero in _ZEROS.items():
        yield overload(f"list_{name}_sum_{name}", f"list({name}).sum() -> {name}", _sum(zero), WHOLE_LIST)
    for name in _COMPARABLE:
        yield overload(f"list_{name}_max_{name}", f"list({name}).max() -> {name}", _best("max", 1), WHOLE_LIST)
    for name in _COMPARABLE:
        yield overload(f"list_{name}_min_{name}", f"list({name}).min() -> {name}", _best("min", -1), WHOLE_LIST)
    yield overload("list_a_index_of_int", "list(A).indexOf(A) -> int", _index, WHOLE_LIST)
    yield overload("list_a_last_index_of_int", "list(A).lastIndexOf(A) -> int", _last_index, WHOLE_LIST)


KUBERNETES = tuple(_kubernetes())

# -- sets


def _set_cost(factor: float) -> CallCost:
    def guess(parts: Parts) -> Guess:
        return Guess(add(scaled(multiply(parts.size(0), parts.size(1)), factor), fixed(1)))

    return CallCost(lambda values, _: 1 + int(size_of(values[0]) * size_of(values[1]) * factor), guess)


def _contains(items: Any, wanted: Any) -> bool:
    return all(operators.contained(adapted(item), items) for item in wanted)


def _equivalent(one: Any, other: Any) -> bool:
    return _contains(one, other) and _contains(other, one)


def _intersects(one: Any, other: Any) -> bool:
    return any(operators.contained(adapted(item), other) for item in one)


SETS = (
    overload("list_sets_contains_list", "sets.contains(list(T), list(T)) -> bool", _contains, _set_cost(1)),
    overload("list_sets_equivalent_list", "sets.equivalent(list(T), list(T)) -> bool", _equivalent, _set_cost(2)),
    overload("list_sets_intersects_list", "sets.intersects(list(T), list(T)) -> bool", _intersects, _set_cost(1)),
)

# -- the lists extension


def _made(size: Estimate, factor: float = 1) -> Guess:
    return Guess(add(scaled(size, factor), fixed(1 + LIST_CREATE)), size)


def _list_cost(count: Callable[[Any, Any], float], guess: Callable[[Parts], Guess]) -> CallCost:
    return counted_after(CallCost(lambda values, result: int(count(values, result)) + 1 + LIST_CREATE, guess))


def _number(parts: Parts, index: int, otherwise: int) -> int:
    value = parts.literal(index)
    return max(value, 0) if type(value) is int else otherwise


def _guess_slice(parts: Parts) -> Guess:
    length = (_number(parts, 2, parts.size(0).max) - _number(parts, 1, 0)) % (UNLIMITED + 1)
    return _made(fixed(length))


def _compared(items: Any) -> float:
    size = len(items)
    if not size:
        return 0
    return size * size * (2 + TRAVERSAL if isinstance(items[0], str | bytes) else 2)


def _guess_sort(index: int, texts: bool) -> Callable[[Parts], Guess]:
    def guess(parts: Parts) -> Guess:
        size = parts.size(index)
        return _made(multiply(size, size), 2 + TRAVERSAL if texts else 2)

    return guess


def _slice(items: Any, start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvaluationError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if len(items) < end:
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return list(items[start:end])


def _flatten(items: Any, depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    flat: list[Any] = []
    for item in items:
        if is_list(item) and depth > 0:
            flat.extend(_flatten(item, depth - 1))
        else:
            flat.append(item)
    return flat


def _sort_by(items: Any, keys: Any) -> list[Any]:
    if len({kind_name(key) for key in keys}) > 1:
        raise EvaluationError("list elements must have the same type")
    order = sorted(range(len(items)), key=cmp_to_key(lambda one, other: compare(keys[one], keys[other])))
    return [items[index] for index in order]


def _sort(items: Any) -> list[Any]:
    return _sort_by(items, items)


def _range(count: int) -> list[int]:
    if count > _RANGE_MAX:
        from tiphys.api.cel.errors import CostExceeded

        raise CostExceeded
    return list(range(count))


def _distinct(items: Any) -> list[Any]:
    kept: list[Any] = []
    for item in map(adapted, items):
        if not any(equal(item, other) for other in kept):
            kept.append(item)
    return kept


def _square(parts: Parts) -> Guess:
    return _made(multiply(parts.size(0), parts.size(0)), 2)


_OUTPUT = _list_cost(lambda values, result: size_of(result), lambda parts: _made(parts.size(0)))
_FLATTEN = _list_cost(
    lambda values, _: len(values[0]) * (values[1] if len(values) == 2 else 1.0),
    lambda parts: _made(parts.size(0), _number(parts, 1, UNLIMITED) if len(parts) == 2 else 1),
)


def _extension() -> Iterator[Overload]:
    slice_cost = _list_cost(lambda values, result: size_of(result), _guess_slice)
    yield overload("list_slice", "list(T).slice(int, int) -> list(T)", _slice, slice_cost)
    yield overload("list_flatten", "list(list(T)).flatten() -> list(T)", _flatten, _FLATTEN)
    yield overload("list_flatten_int", "list(dyn).flatten(int) -> list(dyn)", _flatten, _FLATTEN)
    for name in _COMPARABLE:
        price = _list_cost(lambda values, _: _compared(values[0]), _guess_sort(0, name in ("string", "bytes")))
        yield overload(f"list_{name}_sort", f"list({name}).sort() -> list({name})", _sort, price)
    for name in _COMPARABLE:
        price = _list_cost(lambda values, _: _compared(values[1]), _guess_sort(1, name in ("string", "bytes")))
        signature = f"list(T).@sortByAssociatedKeys(list({name})) -> list(T)"
        yield overload(f"list_{name}_sortByAssociatedKeys", signature, _sort_by, price)
    range_cost = _list_cost(
        lambda values, result: size_of(result), lambda parts: _made(fixed(_number(parts, 0, UNLIMITED)))
    )
    yield overload("lists_range", "lists.range(int) -> list(int)", _range, range_cost)
    yield overload("list_reverse", "list(T).reverse() -> list(T)", lambda items: list(items)[::-1], _OUTPUT)
    distinct = _list_cost(lambda values, _: _compared(values[0]), _square)
    yield overload("list_distinct", "list(T).distinct() -> list(T)", _distinct, distinct)


EXTENSION = tuple(_extension())
