"""One evaluation: its variables, its folds' variables, and what it has cost so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.api.cel.errors import CostExceeded, EvaluationError
from tiphys.api.cel.evaluate.access import adapted

Closure = Callable[["Frame"], Any]
"""A planned node: reads the frame, adds to its cost, returns the value or raises EvaluationError."""


class Frame:
    """Not shared by threads. `slots` holds the variables of folds, by the number the planner gave them."""

    __slots__ = ("_read", "bindings", "cost", "limit", "slots")

    def __init__(self, bindings: Mapping[str, Any], slots: int, limit: int) -> None:
        self.bindings = bindings
        self.slots: list[Any] = [None] * slots
        self.cost = 0
        self.limit = limit
        self._read: dict[str, Any] | None = None

    def variable(self, name: str) -> Any:
        """A declared variable; one that is bound to a function is computed when first read."""
        try:
            value = self.bindings[name]
        except KeyError:
            raise EvaluationError(f"no such attribute(s): {name}") from None
        if not callable(value):
            return value
        if self._read is None:
            self._read = {}
        if name not in self._read:
            self._read[name] = adapted(value())
        return self._read[name]

    def charge(self, cost: int) -> None:
        self.cost += cost
        if self.cost > self.limit:
            raise CostExceeded
