"""What expressions of admission see: `object`, `oldObject`, `request`, `namespaceObject`, `params`, `authorizer`,
`variables`.

    policy = Composition(params=True)
    policy.declare("name", "object.metadata.name")              # raises CelError
    policy.compile("variables.name != 'x'", BOOL)               # raises CelError

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/cel/{compile,composition,activation}.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tiphys.api.cel import types
from tiphys.api.cel.environment import CompiledProgram, Environment
from tiphys.api.cel.errors import BudgetExceeded, CelError, EvaluationError
from tiphys.api.cel.evaluate.access import MISSING, adapted
from tiphys.api.cel.interface import Budget
from tiphys.api.cel.library.authorizer import AUTHORIZER, RESOURCE_CHECK
from tiphys.api.cel.types import BOOL, DYN, INT, STRING, TIMESTAMP, Field, ObjectType, Type, list_of, map_of

OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
REQUEST_RESOURCE = "authorizer.requestResource"
_TEXTS = list_of(STRING)
_LABELS = map_of(STRING, STRING)


def _object(title: str, /, **fields: Type) -> ObjectType:
    made = {field.rstrip("_"): Field(field.rstrip("_"), type_) for field, type_ in fields.items()}
    return ObjectType(f"kubernetes.{title}", lambda: made)


_KIND = _object("GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_RESOURCE = _object("GroupVersionResource", group=STRING, version=STRING, resource=STRING)
_USER = _object("UserInfo", username=STRING, uid=STRING, groups=_TEXTS, extra=map_of(STRING, _TEXTS))
REQUEST = _object(
    "AdmissionRequest", kind=_KIND, resource=_RESOURCE, subResource=STRING, requestKind=_KIND,
    requestResource=_RESOURCE, requestSubResource=STRING, name=STRING, namespace=STRING, operation=STRING,
    userInfo=_USER, dryRun=BOOL, options=DYN,
)  # fmt: skip
_METADATA = _object(
    "NamespaceMetadata", name=STRING, generateName=STRING, namespace=STRING, labels=_LABELS, annotations=_LABELS,
    UID=STRING, creationTimestamp=TIMESTAMP, deletionGracePeriodSeconds=INT, deletionTimestamp=TIMESTAMP,
    generation=INT, resourceVersion=STRING, finalizers=_TEXTS,
)  # fmt: skip
_CONDITION = _object(
    "NamespaceCondition", status=STRING, type_=STRING, lastTransitionTime=TIMESTAMP, message=STRING, reason=STRING
)
NAMESPACE = _object(
    "Namespace",
    metadata=_METADATA,
    spec=_object("NamespaceSpec", finalizers=_TEXTS),
    status=_object("NamespaceStatus", conditions=list_of(_CONDITION), phase=STRING),
)


@cache
def environment(params: bool, authorizer: bool = True, patches: bool = False) -> Environment:
    """Without variables; the declared object is of any type."""
    declared: dict[str, Type] = {
        "object": DYN, "oldObject": DYN, "namespaceObject": NAMESPACE, "request": REQUEST,
    }  # fmt: skip
    if params:
        declared["params"] = DYN
    if authorizer:
        declared |= {"authorizer": AUTHORIZER, REQUEST_RESOURCE: RESOURCE_CHECK}
    return Environment(declared, types=(NAMESPACE, REQUEST), patches=patches)


class Composition:
    """A policy's variables, and expressions that may read them. Declare variables in order, then compile."""

    def __init__(self, params: bool, environments: Mapping[tuple[bool, bool], Environment] | None = None) -> None:
        """`environments`, by (authorizer, patches), where objects have other types than dyn."""
        self._params = params
        self._given = environments or {}
        self._fields: dict[str, Field] = {}
        self._type = ObjectType("kubernetes.variables", lambda: self._fields)
        self._made: dict[tuple[bool, bool], Environment] = {}
        self.programs: dict[str, CompiledProgram | CelError] = {}
        """The variables; those that did not compile with the reason."""

    def _environment(self, authorizer: bool, patches: bool) -> Environment:
        key = (authorizer, patches)
        if key not in self._made:
            base = self._given.get(key) or environment(self._params, authorizer, patches)
            self._made[key] = base.extend({"variables": self._type})
        return self._made[key]

    def declare(self, name: str, expression: str) -> CompiledProgram:
        """A variable. Raises CelError, and the variable is then of any type."""
        try:
            program = self.compile(expression)
        except CelError as error:
            self.programs[name] = error
            self._fields[name] = Field(name, DYN)
            raise
        self.programs[name] = program
        self._fields[name] = Field(name, _declared(program.result_type))
        return program

    def compile(
        self, expression: str, *result: Type, authorizer: bool = True, patches: bool = False
    ) -> CompiledProgram:
        """Raises CelError."""
        return self._environment(authorizer, patches).compile(expression, *result)


_KEPT = frozenset(
    (types.TypeKind.BOOL, types.TypeKind.BYTES, types.TypeKind.DOUBLE, types.TypeKind.DURATION, types.TypeKind.INT,
     types.TypeKind.NULL, types.TypeKind.STRING, types.TypeKind.TIMESTAMP, types.TypeKind.UINT)
)  # fmt: skip


def _declared(found: Type) -> Type:
    """The type that a variable has for those who read it: scalars, lists and maps of them keep theirs."""
    if found.kind in _KEPT:
        return found
    if found.kind is types.TypeKind.LIST:
        return list_of(_declared(found.parameters[0]))
    if found.kind is types.TypeKind.MAP:
        return map_of(_declared(found.parameters[0]), _declared(found.parameters[1]))
    return DYN


class Variables(Mapping[str, Any]):
    """`variables` of one evaluation: each is computed when first read, and once."""

    def __init__(self, programs: Mapping[str, CompiledProgram | CelError], bindings: Mapping[str, Any]) -> None:
        self._programs = programs
        self._bindings = bindings
        self._known: dict[str, Any] = {}
        self._cost = 0

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self._programs:
            return default
        if key not in self._known:
            self._known[key] = self._computed(key)
        found = self._known[key]
        if isinstance(found, EvaluationError):
            raise EvaluationError(found.message)
        return found

    def _computed(self, key: str) -> Any:
        program = self._programs[key]
        if isinstance(program, CelError):
            return EvaluationError(f'composited variable "{key}" fails to compile: {program.message}')
        spent = Budget(2**62)
        try:
            return program.evaluate(self._bindings, spent)
        except EvaluationError as error:
            return EvaluationError(f'composited variable "{key}" fails to evaluate: {error.message}')
        finally:
            self._cost += 2**62 - spent.remaining

    def take_cost(self) -> int:
        """What computing variables cost since the last call."""
        cost, self._cost = self._cost, 0
        return cost

    def __getitem__(self, key: str) -> Any:
        found = self.get(key, MISSING)
        if found is MISSING:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._programs)

    def __len__(self) -> int:
        return len(self._programs)


class Evaluation:
    """The values of one request for one policy, and the budget that its expressions share."""

    def __init__(
        self, bindings: Mapping[str, Any], programs: Mapping[str, CompiledProgram | CelError] | None = None
    ) -> None:
        self.bindings = {name: adapted(value) for name, value in bindings.items()}
        self._variables = Variables(programs or {}, self.bindings)
        self.bindings["variables"] = self._variables

    def of(self, program: CompiledProgram | CelError, budget: Budget) -> Any:
        """The value. Raises EvaluationError in upstream's words, BudgetExceeded where the budget is spent."""
        if isinstance(program, CelError):
            raise EvaluationError(f"compilation error: {program.message}")
        try:
            found = program.evaluate(self.bindings, budget)
        except BudgetExceeded:
            raise BudgetExceeded(OUT_OF_BUDGET) from None
        except EvaluationError as error:
            self._settle(budget)
            raise EvaluationError(f"expression '{program.expression}' resulted in error: {error.message}") from None
        self._settle(budget)
        return found

    def _settle(self, budget: Budget) -> None:
        try:
            budget.spend(self._variables.take_cost())
        except BudgetExceeded:
            raise BudgetExceeded(OUT_OF_BUDGET) from None
