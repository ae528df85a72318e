"""What the operators do: equality, order, arithmetic. Numbers have 64 bits; overflow is an error.

Source: cel-go common/types: equality across types is false, order across types an error, save between numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.evaluate.access import MISSING, adapted, find, is_list, is_map
from tiphys.api.cel.types import Type
from tiphys.api.cel.values import INT_MAX, INT_MIN, UINT_MAX, Opaque, Optional, Uint

_PLAIN = frozenset((str, int, bool, bytes, float, type(None)))
_NUMBERS = frozenset((int, Uint, float))
_DURATION_MAX = timedelta(microseconds=INT_MAX // 1000)
YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


def no_overload(function: str = "") -> EvaluationError:
    return EvaluationError(f"no such overload: {function}" if function else "no such overload")


def equal(one: Any, other: Any) -> bool:
    kind, other_kind = type(one), type(other)
    if kind is other_kind and kind in _PLAIN:
        return bool(one == other)
    if kind in _NUMBERS:
        return other_kind in _NUMBERS and bool(one == other)
    if is_list(one):
        return is_list(other) and _lists_equal(one, other)
    if is_map(one):
        return is_map(other) and _maps_equal(one, other)
    if isinstance(one, Opaque):
        return one.cel_equals(other)
    if kind is Optional:
        if other_kind is not Optional or one.present != other.present:
            return False
        return not one.present or equal(one.value, other.value)
    if isinstance(one, Type):
        return isinstance(other, Type) and one.name == other.name
    if isinstance(one, str):
        return isinstance(other, str) and str(one) == str(other)
    return isinstance(other, kind) and bool(one == other)


def _lists_equal(one: Any, other: Any) -> bool:
    compare = getattr(one, "cel_equals", None) or getattr(other, "cel_equals", None)
    if compare is not None:
        return bool(compare(other if getattr(one, "cel_equals", None) else one))
    return len(one) == len(other) and all(equal(adapted(a), adapted(b)) for a, b in zip(one, other, strict=True))


def _maps_equal(one: Any, other: Any) -> bool:
    if len(one) != len(other):
        return False
    for key in one:
        found = find(other, key)
        if found is MISSING or not equal(find(one, key), found):
            return False
    return True


def _order(one: Any, other: Any) -> int:
    return int(one > other) - int(one < other)


def compare(one: Any, other: Any) -> int:
    """-1, 0 or 1."""
    kind, other_kind = type(one), type(other)
    if kind in _NUMBERS and other_kind in _NUMBERS:
        if (kind is float and math.isnan(one)) or (other_kind is float and math.isnan(other)):
            raise EvaluationError("NaN values cannot be ordered")
        return _order(one, other)
    if kind in _ORDERED or isinstance(one, str | datetime):
        alike = kind is other_kind or any(isinstance(one, own) and isinstance(other, own) for own in (str, datetime))
        if alike:
            return _order(one, other)
        raise no_overload()
    if kind in _NUMBERS:
        raise no_overload()
    raise no_overload("_<_")


_ORDERED = frozenset((bool, str, bytes, datetime, timedelta))


def ordering(function: str, accepts: Callable[[int], bool]) -> Callable[[Any, Any], bool]:
    """`_<_` and its like."""

    def apply(one: Any, other: Any) -> bool:
        kind = type(one)
        if kind is type(other) and (kind is int or kind is str):
            return accepts((one > other) - (one < other))
        if kind not in _NUMBERS and kind not in _ORDERED and not isinstance(one, str | datetime):
            raise no_overload(function)
        return accepts(compare(one, other))

    return apply


def checked_int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def checked_uint(value: int) -> Uint:
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise EvaluationError("unsigned integer overflow")


def checked_duration(value: timedelta) -> timedelta:
    if -_DURATION_MAX <= value <= _DURATION_MAX:
        return value
    raise EvaluationError("integer overflow")


def shifted(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None


def between(one: datetime, other: datetime) -> timedelta:
    return checked_duration(one - other)


def add(one: Any, other: Any) -> Any:
    kind = type(one)
    if kind is type(other):
        if kind is int:
            return checked_int(one + other)
        if kind is str or kind is float or kind is bytes or kind is list:
            return one + other
        if kind is Uint:
            return checked_uint(int(one) + int(other))
        if kind is timedelta:
            return checked_duration(one + other)
    if isinstance(one, datetime) and isinstance(other, timedelta):
        return shifted(one, other)
    if isinstance(one, timedelta) and isinstance(other, datetime):
        return shifted(other, one)
    if is_list(one) and is_list(other):
        merged = getattr(one, "cel_add", None)
        return merged(other) if merged is not None else [*one, *other]
    if is_map(one):
        merged = getattr(one, "cel_add", None)
        if merged is None:
            raise no_overload("_+_")
    if kind is bool or one is None:
        raise no_overload("_+_")
    raise no_overload()


def subtract(one: Any, other: Any) -> Any:
    kind = type(one)
    if kind is type(other):
        if kind is int:
            return checked_int(one - other)
        if kind is float:
            return one - other
        if kind is Uint:
            return checked_uint(int(one) - int(other))
        if kind is timedelta:
            return checked_duration(one - other)
    if isinstance(one, datetime):
        if isinstance(other, timedelta):
            return shifted(one, -other)
        if isinstance(other, datetime):
            return between(one, other)
    raise no_overload() if kind in _NUMBERS or isinstance(one, datetime | timedelta) else no_overload("_-_")


def multiply(one: Any, other: Any) -> Any:
    kind = type(one)
    if kind is type(other):
        if kind is int:
            return checked_int(one * other)
        if kind is float:
            return one * other
        if kind is Uint:
            return checked_uint(int(one) * int(other))
    raise no_overload() if kind in _NUMBERS else no_overload("_*_")


def divide(one: Any, other: Any) -> Any:
    kind = type(one)
    if kind is not type(other) or kind not in _NUMBERS:
        raise no_overload() if kind in _NUMBERS else no_overload("_/_")
    if kind is float:
        return _divide_doubles(one, other)
    if other == 0:
        raise EvaluationError("division by zero")
    if kind is Uint:
        return Uint(int(one) // int(other))
    return checked_int(_truncated(one, other))


def _truncated(one: int, other: int) -> int:
    quotient = abs(one) // abs(other)
    return quotient if (one < 0) == (other < 0) else -quotient


def _divide_doubles(one: float, other: float) -> float:
    if other:
        return one / other
    if one == 0 or math.isnan(one):
        return math.nan
    return math.copysign(math.inf, one) * math.copysign(1, other)


def modulo(one: Any, other: Any) -> Any:
    kind = type(one)
    if kind is not type(other) or kind is float or kind not in _NUMBERS:
        raise no_overload() if kind in (int, Uint) else no_overload("_%_")
    if other == 0:
        raise EvaluationError("modulus by zero")
    if kind is Uint:
        return Uint(int(one) % int(other))
    if one == INT_MIN and other == -1:
        raise EvaluationError("integer overflow")
    return one - other * _truncated(one, other)


def negate(value: Any) -> Any:
    if type(value) is int:
        return checked_int(-value)
    if type(value) is float:
        return -value
    raise no_overload("-_")


def logical_not(value: Any) -> bool:
    if value is True:
        return False
    if value is False:
        return True
    raise no_overload()


def contained(value: Any, container: Any) -> bool:
    """`value in container`."""
    if is_list(container):
        return any(equal(value, adapted(item)) for item in container)
    if is_map(container):
        return find(container, value) is not MISSING
    raise no_overload()
