"""CEL, the Common Expression Language, as Kubernetes speaks it. Start at `interface`.

`parse` makes a tree, `check` gives it types, `cost` bounds what it may cost, `evaluate` makes closures of it;
`library` has one file per group of functions. No I/O, no clock.
"""

from tiphys.api.cel.environment import Environment
from tiphys.api.cel.errors import BudgetExceeded, CelError, CostExceeded, EvaluationError
from tiphys.api.cel.interface import Budget, Estimate, Program

__all__ = [
    "Budget",
    "BudgetExceeded",
    "CelError",
    "CostExceeded",
    "Environment",
    "Estimate",
    "EvaluationError",
    "Program",
]
