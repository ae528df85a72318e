"""What compiling and evaluating may raise; the texts are those that upstream's clients see."""

from __future__ import annotations

PER_CALL_LIMIT = 1_000_000
"""Greatest run-time cost of one evaluation. Source: staging/src/k8s.io/apiserver/pkg/apis/cel/config.go."""
REQUEST_BUDGET = 10_000_000
"""Greatest run-time cost of all rules of one object, or of all validations of one policy, in one request."""
MATCH_CONDITIONS_BUDGET = 2_500_000
"""Greatest run-time cost of the match conditions of one webhook, policy or authorizer in one request."""
STATIC_COST_LIMIT = 10_000_000
"""Greatest estimated cost of one rule of a custom resource's schema."""
STATIC_COST_LIMIT_SCHEMA = 100_000_000
"""Greatest estimated cost of all rules of one schema."""


class CelError(Exception):
    """An expression that does not compile: `compilation failed: ERROR: <input>:1:1: ...`.

    `issues` is the same without the lead; `internal` says that the fault is not in the expression.
    """

    def __init__(self, message: str, issues: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.issues = issues or message


class EvaluationError(Exception):
    """An expression that failed on these values: `no such key: x`, `division by zero`."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CostExceeded(EvaluationError):
    """One evaluation cost more than its limit. Neither `||` nor `&&` swallow it."""

    def __init__(self, message: str = "operation cancelled: actual cost limit exceeded") -> None:
        super().__init__(message)


class BudgetExceeded(CostExceeded):
    """The evaluations of one request together cost more than their budget; the caller words it."""
