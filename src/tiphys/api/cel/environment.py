"""Environments and programs: the concrete side of `interface`.

env = Environment({"self": types.DYN})
env.compile("self.replicas > 0", types.BOOL).evaluate({"self": {"replicas": 1}})
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tiphys.api.cel.ast import Node
from tiphys.api.cel.check.checker import Checker
from tiphys.api.cel.check.literals import validate
from tiphys.api.cel.cost.static import StaticCost
from tiphys.api.cel.declarations import Functions, Version
from tiphys.api.cel.errors import PER_CALL_LIMIT, CelError, CostExceeded, EvaluationError
from tiphys.api.cel.evaluate.frame import Closure, Frame
from tiphys.api.cel.evaluate.plan import Planner
from tiphys.api.cel.interface import Budget, Estimate
from tiphys.api.cel.library import all as library
from tiphys.api.cel.parse import macros
from tiphys.api.cel.parse.parser import DEPTH, parse
from tiphys.api.cel.patch_types import ObjectTypes, PatchTypes
from tiphys.api.cel.source import Issues
from tiphys.api.cel.types import ObjectType, Type
from tiphys.api.cel.views import converter

CURRENT: Version = (1, 36)
_DEEPEST_FRAMES = 10 * DEPTH
V = TypeVar("V")


class Environment:
    """Declared variables and types, and the functions of one version. Immutable; make once and keep."""

    def __init__(
        self,
        variables: Mapping[str, Type],
        version: Version = CURRENT,
        types: Sequence[Type] = (),
        patches: bool = False,
        bind: bool = False,
    ) -> None:
        """`types` are those that expressions may construct; `patches` adds what only mutating policies have: the types
        `Object`, `Object.<field>...` and `JSONPatch`, and `jsonpatch`; `bind` adds `cel.bind()`."""
        self.variables: Mapping[str, Type] = dict(variables)
        self.version = version
        self._patches = patches
        self._bind = bind
        self._functions: Functions = library.functions(version, patches)
        self._constructed = tuple(types)
        named: dict[str, Type] = {name: item for each in types for name, item in _named(each)}
        self._objects: ObjectTypes = PatchTypes(named) if patches else named
        self._macros = dict(macros.MACROS)
        if version >= library.OPTIONALS_SINCE:
            self._macros |= macros.OPTIONAL_MACROS
        if version >= library.TWO_VARIABLES_SINCE:
            self._macros |= macros.TWO_VARIABLE_MACROS
        if version >= library.SORT_BY_SINCE:
            self._macros |= macros.SORT_MACROS
        if bind:
            self._macros |= macros.BIND_MACROS

    def extend(self, variables: Mapping[str, Type], types: Sequence[Type] = ()) -> Environment:
        """The same with more variables and types."""
        declared = {**self.variables, **variables}
        return Environment(declared, self.version, (*self._constructed, *types), self._patches, self._bind)

    def compile(self, expression: str, *result: Type) -> CompiledProgram:
        """Parses and checks. With `result`, the value must have one of these types. Raises CelError."""
        try:
            return self._compile(expression, *result)
        except RecursionError:
            return deeper(lambda: self._compile(expression, *result))

    def _compile(self, expression: str, *result: Type) -> CompiledProgram:
        issues = Issues(expression)
        tree = parse(expression, issues, self._macros)
        if tree is None:
            raise CelError(f"compilation failed: {issues}", str(issues))
        checker = Checker(self.variables, self._functions, self._objects, issues)
        checker.check(tree)
        if not issues and self.version >= library.LITERALS_CHECKED_SINCE:
            validate(tree, issues)
        if issues:
            raise CelError(f"compilation failed: {issues}", str(issues))
        if result and not any(tree.type == wanted for wanted in result):
            raise CelError(_wrong_result(result, tree.type))
        try:
            return CompiledProgram(expression, tree, self.variables, frozenset(checker.read))
        except EvaluationError as error:
            raise CelError(f"program instantiation failed: {error.message}") from None


def deeper(run: Callable[[], V]) -> V:
    """Runs with room for the deepest expression. Expressions may nest 250 levels, each of several Python frames; the
    few that need them get them for the moment, so that everybody else keeps the usual limit."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(usual + _DEEPEST_FRAMES)
    try:
        return run()
    finally:
        sys.setrecursionlimit(usual)


def _wrong_result(wanted: Sequence[Type], got: Type) -> str:
    if len(wanted) == 1:
        return f"must evaluate to {wanted[0]} but got {_go_name(got)}"
    return f"must evaluate to one of [{' '.join(map(_go_name, wanted))}] but got {_go_name(got)}"


def _go_name(item: Type) -> str:
    """As Go prints types: without the short names of messages."""
    return item.name if not item.parameters else f"{item.name}({', '.join(map(_go_name, item.parameters))})"


def _named(item: Type) -> list[tuple[str, Type]]:
    """The type itself and object types in its fields, by name."""
    found: dict[str, Type] = {}
    pending = [item]
    while pending:
        current = pending.pop()
        if current.name in found and isinstance(current, ObjectType):
            continue
        if isinstance(current, ObjectType):
            found[current.name] = current
            pending.extend(field.type for field in current.fields.values())
        pending.extend(current.parameters)
    return list(found.items())


class CompiledProgram:
    """A checked expression; its closures are made when first needed."""

    def __init__(self, expression: str, tree: Node, variables: Mapping[str, Type], read: frozenset[str]) -> None:
        self.expression = expression
        self.result_type = tree.type
        self.variables = read
        self._declared = variables
        self._tree = tree
        self._cost: Estimate | None = None
        planner = Planner(converter)
        self._run: Closure = planner.plan(tree)
        self._slots = planner.slots

    @property
    def cost(self) -> Estimate:
        """Static: over all values that the declared types allow."""
        if self._cost is None:
            try:
                self._cost = StaticCost(self._declared).of(self._tree)
            except RecursionError:
                self._cost = deeper(lambda: StaticCost(self._declared).of(self._tree))
        return self._cost

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget | None = None, limit: int = PER_CALL_LIMIT) -> Any:
        """The expression's value. Raises EvaluationError; CostExceeded where it cost more than `limit`; BudgetExceeded
        where it cost more than `budget` holds. The cost is taken from `budget` in every case."""
        return self.measure(bindings, budget, limit)[0]

    def measure(
        self, bindings: Mapping[str, Any], budget: Budget | None = None, limit: int = PER_CALL_LIMIT
    ) -> tuple[Any, int]:
        """The value and what it cost."""
        frame = Frame(bindings, self._slots, limit)
        try:
            try:
                value = self._run(frame)
            except RecursionError:
                frame = Frame(bindings, self._slots, limit)
                value = deeper(lambda: self._run(frame))
            if frame.cost > limit:
                raise CostExceeded
        finally:
            if budget is not None:
                budget.spend(frame.cost)
        return value, frame.cost

    def __repr__(self) -> str:
        return f"<Program {self.expression!r}>"
