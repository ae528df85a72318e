"""Resource quantities. Source: .../cel/library/quantity.go, apimachinery/pkg/api/resource."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

from tiphys.api.cel.cost.calls import NOMINAL, PARSED
from tiphys.api.cel.declarations import opaque_type, overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.values import INT_MAX, INT_MIN, Opaque
from tiphys.base import quantity as amounts

QUANTITY = opaque_type("kubernetes.Quantity")


class QuantityValue(Opaque):
    """An exact amount, and the text it came from."""

    __slots__ = ("amount", "scale", "text")
    cel_type = QUANTITY

    def __init__(self, amount: Fraction, scale: int | None, text: str = "") -> None:
        self.amount = amount
        self.scale = scale
        """Power of ten that upstream keeps beside a whole number; None where it keeps a decimal. Only what has a scale
        of 0 or more counts as an integer there, so `1.0` does not."""
        self.text = text

    def cel_equals(self, other: Any) -> bool:
        return isinstance(other, QuantityValue) and self.amount == other.amount

    def __str__(self) -> str:
        return self.text or str(self.amount)


def _scale(text: str) -> int | None:
    number = _NUMBER.match(text)
    digits = number.group() if number else ""
    suffix = text[len(digits) :]
    fraction = len(digits.partition(".")[2])
    if suffix.endswith("i"):
        return None if fraction or len(digits) + _POWERS[suffix[0]] * 3 > 14 else 0
    exponent = int(suffix[1:]) if suffix[:1] in ("e", "E") and len(suffix) > 1 else _DECIMAL[suffix]
    return exponent - fraction if len(digits) <= 18 else None


_NUMBER = re.compile(r"[+-]?[0-9.]*")
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


@lru_cache(maxsize=4096)
def quantity(text: str) -> QuantityValue:
    """Raises EvaluationError in upstream's words."""
    try:
        return QuantityValue(amounts.parse(text), _scale(text), text)
    except ValueError as problem:
        raise EvaluationError(str(problem)) from None


def _is_quantity(text: str) -> bool:
    try:
        amounts.parse(text)
    except ValueError:
        return False
    return True


def _is_integer(value: QuantityValue) -> bool:
    if value.scale is None or value.scale < 0:
        return False
    return value.amount.denominator == 1 and INT_MIN <= value.amount <= INT_MAX


def _as_integer(value: QuantityValue) -> int:
    if not _is_integer(value):
        raise EvaluationError("cannot convert value to integer")
    return int(value.amount)


def _order(one: QuantityValue, other: QuantityValue) -> int:
    return (one.amount > other.amount) - (one.amount < other.amount)


def _plus(one: QuantityValue, other: QuantityValue | int, sign: int) -> QuantityValue:
    if not isinstance(other, QuantityValue):
        other = QuantityValue(Fraction(other), 0)
    known = one.scale is not None and other.scale is not None
    scale = min(one.scale or 0, other.scale or 0) if known else None
    return QuantityValue(one.amount + sign * other.amount, scale)


def _add(one: QuantityValue, other: QuantityValue | int) -> QuantityValue:
    return _plus(one, other, 1)


def _sub(one: QuantityValue, other: QuantityValue | int) -> QuantityValue:
    return _plus(one, other, -1)


_Q = QUANTITY.name
OVERLOADS = (
    overload("string_to_quantity", f"quantity(string) -> {_Q}", quantity, PARSED),
    overload("is_quantity_string", "isQuantity(string) -> bool", _is_quantity, PARSED),
    overload("quantity_sign", f"sign({_Q}) -> int", lambda q: (q.amount > 0) - (q.amount < 0), NOMINAL),
    overload(
        "quantity_is_greater_than",
        f"{_Q}.isGreaterThan({_Q}) -> bool",
        lambda one, other: _order(one, other) > 0,
        NOMINAL,
    ),
    overload(
        "quantity_is_less_than", f"{_Q}.isLessThan({_Q}) -> bool", lambda one, other: _order(one, other) < 0, NOMINAL
    ),
    overload("quantity_compare_to", f"{_Q}.compareTo({_Q}) -> int", _order, NOMINAL),
    overload("quantity_get_float", f"{_Q}.asApproximateFloat() -> double", lambda q: float(q.amount), NOMINAL),
    overload("quantity_get_int", f"{_Q}.asInteger() -> int", _as_integer, NOMINAL),
    overload("quantity_is_integer", f"{_Q}.isInteger() -> bool", _is_integer, NOMINAL),
    overload("quantity_add", f"{_Q}.add({_Q}) -> {_Q}", _add, NOMINAL),
    overload("quantity_add_int", f"{_Q}.add(int) -> {_Q}", _add, NOMINAL),
    overload("quantity_sub", f"{_Q}.sub({_Q}) -> {_Q}", _sub, NOMINAL),
    overload("quantity_sub_int", f"{_Q}.sub(int) -> {_Q}", _sub, NOMINAL),
)
