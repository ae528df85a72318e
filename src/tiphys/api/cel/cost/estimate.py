"""Arithmetic of estimates, in 64 bits that stick at the top. Source: cel-go checker/cost.go."""

from __future__ import annotations

import math

from tiphys.api.cel.interface import UNLIMITED, Estimate

UNKNOWN_SIZE = Estimate(0, UNLIMITED)
NOTHING = Estimate(0, 0)
_TWO_TO_64 = 2.0**64


def fixed(value: int) -> Estimate:
    return Estimate(value, value)


ONE = fixed(1)


def add(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(min(one.min + other.min, UNLIMITED), min(one.max + other.max, UNLIMITED))


def multiply(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(min(one.min * other.min, UNLIMITED), min(one.max * other.max, UNLIMITED))


def scaled(size: Estimate, factor: float) -> Estimate:
    return Estimate(scale(size.min, factor), scale(size.max, factor))


def scale(size: int, factor: float) -> int:
    """A size times a cost per unit, rounded up; computed in doubles, as upstream does."""
    product = math.ceil(float(size) * factor) if size else 0
    return UNLIMITED if product >= _TWO_TO_64 else product


def union(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(min(one.min, other.min), max(one.max, other.max))
