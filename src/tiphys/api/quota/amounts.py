"""Quantities of a quota as whole numbers: thousandths for CPU, units (bytes, objects) for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tiphys.api.meta.schema import Quantity
from tiphys.base import quantity

Amounts = dict[str, int]
_MILLI = frozenset({"cpu", "requests.cpu", "limits.cpu"})
_MI = 1 << 20


def read(name: str, text: str) -> int:
    return quantity.milli(text) if name in _MILLI else quantity.value(text)


def write(name: str, number: int) -> Quantity:
    """The canonical text; multiples of 2^20 are written with binary suffixes."""
    if name in _MILLI:
        return Quantity(quantity.from_milli(number))
    return Quantity(quantity.from_value(number, binary=number % _MI == 0))


def read_all(texts: Mapping[str, str]) -> Amounts:
    return {name: read(name, text) for name, text in texts.items()}


def write_all(amounts: Mapping[str, int]) -> dict[str, Quantity]:
    return {name: write(name, amounts[name]) for name in sorted(amounts)}


def masked(amounts: Mapping[str, int], names: Iterable[str]) -> Amounts:
    """Only what `names` has."""
    return {name: amounts[name] for name in names if name in amounts}


def add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number


def shown(amounts: Mapping[str, int]) -> str:
    """`pods=1,requests.cpu=500m`: sorted, for messages."""
    return ",".join(f"{name}={write(name, amounts[name])}" for name in sorted(amounts))
