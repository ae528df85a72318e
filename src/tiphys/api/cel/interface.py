"""The seam: what CRD rules, admission policies, match conditions, device selectors and configurations use of CEL.

    from tiphys.api.cel import Environment, Budget, CelError, EvaluationError, types
    from tiphys.api.cel.schema import schema_type

    env = Environment({"self": schema_type(schema), "oldSelf": schema_type(schema)})
    program = env.compile("self.replicas <= oldSelf.replicas + 1", types.BOOL)      # raises CelError
    program.cost.max                                                                # static estimate
    program.evaluate({"self": obj, "oldSelf": old}, Budget(REQUEST_BUDGET))         # raises EvaluationError

Environments and programs are immutable and may be shared by threads; make them once and keep them. Evaluation never
changes nor copies the values it is given: dicts, lists and Structs are read as far as the expression looks.
A binding may be a function without arguments: it is called when the expression first reads the variable, once per
evaluation (`variables.x` of policies). An unbound variable is `no such attribute(s): x`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from tiphys.api.cel.errors import PER_CALL_LIMIT, BudgetExceeded
from tiphys.api.cel.types import Type

UNLIMITED = 2**64 - 1
"""A cost or size that nothing bounds."""


class Estimate(NamedTuple):
    """Least and greatest cost (or size); `UNLIMITED` where nothing bounds it."""

    min: int
    max: int


class Budget:
    """Run-time cost that several evaluations share. Not for use by two threads at once."""

    __slots__ = ("remaining",)

    def __init__(self, remaining: int) -> None:
        self.remaining = remaining

    def spend(self, cost: int) -> None:
        """Raises BudgetExceeded when the cost does not fit; nothing fits from then on."""
        if cost > self.remaining:
            self.remaining = -1
            raise BudgetExceeded
        self.remaining -= cost


class Authorizer(Protocol):
    """Who answers `authorizer...check(verb)`. Called synchronously during evaluation."""

    def check(self, attributes: AuthorizationAttributes) -> AuthorizationDecision: ...


class AuthorizationAttributes(NamedTuple):
    """What an expression asks. `user` and `groups` are empty for the request's own user, else a service account's."""

    verb: str
    path: str = ""
    """A non-resource path; else the resource fields say what is asked."""
    group: str = ""
    version: str = "*"
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    service_account: tuple[str, str] | None = None
    """(namespace, name) of another requester than the request's own user."""
    field_selector: str = ""
    label_selector: str = ""


class AuthorizationDecision(NamedTuple):
    allowed: bool
    reason: str = ""
    error: str = ""


class Program(Protocol):
    """A compiled expression."""

    expression: str
    result_type: Type
    cost: Estimate
    """Static: over all values that the declared types allow."""
    variables: frozenset[str]
    """Declared variables that the expression reads."""

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget | None = None, limit: int = PER_CALL_LIMIT) -> Any:
        """The expression's value. Raises EvaluationError; CostExceeded where it cost more than `limit`;
        BudgetExceeded where it cost more than `budget` holds. The cost is taken from `budget` in every case."""


class EnvironmentInterface(Protocol):
    """Declared variables and the functions of one version. Concrete: `tiphys.api.cel.Environment`, made as
    `Environment(variables, version=(1, 36), types=())`: `types` are object types that expressions may construct."""

    variables: Mapping[str, Type]

    def compile(self, expression: str, *result: Type) -> Program:
        """Parses and checks. With `result`, the value must have one of these types (`must evaluate to bool`).
        Raises CelError."""

    def extend(self, variables: Mapping[str, Type], types: Sequence[Type] = ()) -> EnvironmentInterface:
        """The same with more variables and types."""


Binding = Any | Callable[[], Any]
