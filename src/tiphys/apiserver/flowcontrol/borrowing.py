"""Seats that a level does not need serve others: current limits, set anew every ten seconds.

Every level gets the same fraction of what it wants, within its own bounds, so that the sum stays the server's.
Source: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/{apf_controller.go,conc_alloc.go}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiphys.apiserver.flowcontrol.level import Level

PERIOD_S = 10.0
_SMOOTHING = 0.977


def fair_limits(wanted: Sequence[tuple[int, float, int]], total: int) -> list[int]:
    """For levels of (lower, target, upper): `clamp(fraction * target)`, whose sum is as near to `total` as can be."""

    def at(fraction: float) -> list[float]:
        return [min(max(fraction * target, lower), upper) for lower, target, upper in wanted]

    low, high = 0.0, 1.0
    while sum(at(high)) < total and high < 1e9:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if sum(at(middle)) < total:
            low = middle
        else:
            high = middle
    return [round(value) for value in at(high)]


def adjust(levels: Iterable[Level], total: int) -> None:
    """Move the limits to where the demand was in the period that ends now."""
    limited = [level for level in levels if not level.exempt]
    wanted = []
    for level in limited:
        high = float(level.demand_high)
        level.demand_smoothed = max(high, _SMOOTHING * level.demand_smoothed + (1 - _SMOOTHING) * high)
        level.demand_high = level.seats + level.waiting_seats
        target = max(level.demand_smoothed, float(level.limits.lower), 1.0)
        wanted.append((level.limits.lower, target, max(level.limits.upper, level.limits.lower)))
    for level, limit in zip(limited, fair_limits(wanted, total), strict=True):
        level.limit = max(limit, level.limits.lower, 1 if level.limits.nominal else 0)
        level.dispatch()
