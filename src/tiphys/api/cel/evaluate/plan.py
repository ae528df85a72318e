"""Checked trees to closures. What can be computed beforehand is: constants, patterns, sets of constants.

A closure counts run-time cost exactly as upstream's observer of its interpreter does; the figures beside `frame.cost`
are those of cel-go interpreter/runtimecost.go (an identifier or selection 1, a list 10, a map 30, an object 40).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api.cel.ast import (
    ACCUMULATOR,
    ADD,
    AND,
    CONDITIONAL,
    EQUALS,
    IN,
    INDEX,
    NOT_EQUALS,
    NOT_STRICTLY_FALSE,
    OPTIONAL_INDEX,
    OPTIONAL_SELECT,
    OR,
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    ObjectNode,
    Select,
)
from tiphys.api.cel.cost.calls import LIST_CREATE, MAP_CREATE, OBJECT_CREATE
from tiphys.api.cel.errors import CostExceeded, EvaluationError
from tiphys.api.cel.evaluate import attributes, calls, folds
from tiphys.api.cel.evaluate.access import MISSING
from tiphys.api.cel.evaluate.frame import Closure, Frame
from tiphys.api.cel.evaluate.operators import no_overload
from tiphys.api.cel.evaluate.shown import shown
from tiphys.api.cel.types import Type, TypeKind
from tiphys.api.cel.values import Optional

CONVERSIONS = frozenset(
    ("bool", "bytes", "double", "duration", "dyn", "int", "list", "map", "string", "timestamp", "type", "uint")
)
"""Functions whose value for a constant is computed when the program is made."""


class ObjectValue(dict[str, Any]):
    """What `Name{field: value}` makes: a map that knows its type."""

    def __init__(self, cel_type: Type, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.cel_type = cel_type


class Planner:
    """Makes the closures of one tree. `slots` is how many variables its folds need."""

    def __init__(self, convert: Callable[[Type], Callable[[Any], Any] | None]) -> None:
        self.slots = 0
        self._scopes: list[dict[str, int]] = []
        self.converter = convert
        """How a value of a declared type is read; None where it is read as it is."""

    def plan(self, node: Node, branch: bool = False) -> Closure:
        """`branch`: the node stands where upstream resolves a name without counting the look-up itself."""
        constant = self.constant(node)
        if constant is not MISSING:
            return lambda frame: constant
        if isinstance(node, Ident | Select):
            return attributes.plan(self, node, branch)
        if isinstance(node, Call):
            return self._call(node, branch)
        if isinstance(node, ListNode):
            return self._list(node)
        if isinstance(node, MapNode):
            return self._map(node)
        if isinstance(node, ObjectNode):
            return self._object(node)
        assert isinstance(node, Comprehension)  # noqa: S101 - there are no other nodes
        return folds.plan(self, node)

    def constant(self, node: Node) -> Any:
        """The node's value where it is known beforehand, else MISSING. Raises EvaluationError."""
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Ident) and node.constant is not None:
            return node.constant
        if isinstance(node, Select) and node.resolved is not None:
            return self.constant(node.resolved)
        if isinstance(node, ListNode) and not node.optional:
            items = [self.constant(element) for element in node.elements]
            return MISSING if any(item is MISSING for item in items) else items
        if isinstance(node, MapNode) and not any(entry.optional for entry in node.entries):
            return self._constant_map(node)
        if isinstance(node, Call) and node.function in CONVERSIONS and len(node.arguments) == 1 and node.target is None:
            value = self.constant(node.arguments[0])
            return MISSING if value is MISSING else calls.dispatch(node.function, node.overloads, (value,))[0]
        return MISSING

    def _constant_map(self, node: MapNode) -> Any:
        made: dict[Any, Any] = {}
        for entry in node.entries:
            key, value = self.constant(entry.key), self.constant(entry.value)
            if key is MISSING or value is MISSING:
                return MISSING
            insert(made, key, value)
        return made

    # -- names

    def slot(self, name: str) -> int | None:
        """The number of a fold's variable; None for a declared one."""
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return None

    def enter(self, *names: str) -> list[int]:
        numbers = list(range(self.slots, self.slots + len(names)))
        self.slots += len(names)
        self._scopes.append(dict(zip(names, numbers, strict=True)))
        return numbers

    def leave(self) -> None:
        self._scopes.pop()

    # -- calls

    def _call(self, node: Call, branch: bool) -> Closure:
        function = node.function
        if function in (INDEX, OPTIONAL_INDEX, OPTIONAL_SELECT):
            return attributes.plan(self, node, branch)
        if function in (AND, OR):
            return _logical([self.plan(term) for term in node.arguments], deciding=function == OR)
        if function == CONDITIONAL:
            return self._conditional(node)
        if function == NOT_STRICTLY_FALSE:
            return _not_strictly_false(self.plan(node.arguments[0]))
        if function in (EQUALS, NOT_EQUALS):
            left, right = (self.plan(argument) for argument in node.arguments)
            return calls.equality(left, right, negated=function == NOT_EQUALS)
        if function in ("or", "orValue") and node.target is not None and len(node.arguments) == 1:
            return _alternative(self.plan(node.target), self.plan(node.arguments[0]), unwrap=function == "orValue")
        if function == ADD and _collects(node):
            return self._collect(node)
        if function == IN:
            quick = self._membership(node)
            if quick is not None:
                return quick
        return calls.plan(self, node)

    def _conditional(self, node: Call) -> Closure:
        condition = self.plan(node.arguments[0])
        truthy, falsy = (self.plan(argument, branch=True) for argument in node.arguments[1:])

        def run(frame: Frame) -> Any:
            chosen = condition(frame)
            if chosen is True:
                return truthy(frame)
            if chosen is False:
                return falsy(frame)
            raise no_overload()

        return run

    def _collect(self, node: Call) -> Closure:
        """`accumulator + [item]`: the list belongs to the fold alone, so it grows in place."""
        slot = self.slot(ACCUMULATOR)
        assert slot is not None  # noqa: S101 - see _collects
        assert isinstance(node.arguments[1], ListNode)  # noqa: S101
        element = node.arguments[1].elements[0]
        item = self.plan(element)
        cost = 2 if self.constant(element) is not MISSING else 2 + LIST_CREATE

        def run(frame: Frame) -> Any:
            value = item(frame)
            frame.cost += cost
            collected = frame.slots[slot]
            collected.append(value)
            return collected

        return run

    def _membership(self, node: Call) -> Closure | None:
        """`x in [constants]` is a look-up, and free."""
        if [overload.id for overload in node.overloads] != ["in_list"]:
            return None
        items = self.constant(node.arguments[1])
        if items is MISSING or not all(isinstance(item, bool | int | float | str) for item in items):
            return None
        value = self.plan(node.arguments[0])
        if not items:
            return lambda frame: False
        if all(type(item) is str for item in items):
            texts = frozenset(items)

            def among_texts(frame: Frame) -> bool:
                found = value(frame)
                return isinstance(found, str) and found in texts

            return among_texts
        keys = frozenset((isinstance(item, bool), item) for item in items)

        def among(frame: Frame) -> bool:
            found = value(frame)
            plain = isinstance(found, bool | int | float | str)
            return plain and (isinstance(found, bool), found) in keys

        return among

    # -- aggregates

    def _list(self, node: ListNode) -> Closure:
        elements = [self.plan(element) for element in node.elements]
        optional = node.optional

        def run(frame: Frame) -> list[Any]:
            frame.cost += LIST_CREATE
            if not optional:
                return [element(frame) for element in elements]
            made: list[Any] = []
            for index, element in enumerate(elements):
                value = element(frame)
                if index in optional:
                    if type(value) is not Optional:
                        text = f"cannot initialize optional list element from non-optional value {shown(value)}"
                        raise EvaluationError(text)
                    if not value.present:
                        continue
                    value = value.value
                made.append(value)
            return made

        return run

    def _map(self, node: MapNode) -> Closure:
        entries = [(self.plan(entry.key), self.plan(entry.value), entry.optional) for entry in node.entries]

        def run(frame: Frame) -> dict[Any, Any]:
            frame.cost += MAP_CREATE
            made: dict[Any, Any] = {}
            for key, value, optional in entries:
                own = key(frame)
                found = _present(own, value(frame)) if optional else value(frame)
                if found is MISSING:
                    made.pop(own, None)
                else:
                    insert(made, own, found)
            return made

        return run

    def _object(self, node: ObjectNode) -> Closure:
        fields = [(entry.key, self.plan(entry.value), entry.optional) for entry in node.entries]
        made_type = node.type

        def run(frame: Frame) -> ObjectValue:
            frame.cost += OBJECT_CREATE
            made: dict[str, Any] = {}
            for name, value, optional in fields:
                found = _present(name, value(frame)) if optional else value(frame)
                if found is not MISSING:
                    made[name] = found
            return ObjectValue(made_type, made)

        return run


def insert(made: dict[Any, Any], key: Any, value: Any) -> None:
    """Raises EvaluationError for what cannot be a key."""
    if not isinstance(key, str | int | bool | float):
        raise EvaluationError(f"unsupported key type: {shown(key)}")
    made[key] = value


def _present(key: Any, value: Any) -> Any:
    if type(value) is not Optional:
        text = f"cannot initialize optional entry '{shown(key)}' from non-optional value {shown(value)}"
        raise EvaluationError(text)
    return value.value if value.present else MISSING


def _collects(node: Call) -> bool:
    first, second = node.arguments
    if not isinstance(first, Ident) or first.name != ACCUMULATOR or not isinstance(second, ListNode):
        return False
    return first.type.kind is TypeKind.LIST and len(second.elements) == 1


def _logical(terms: list[Closure], deciding: bool) -> Closure:
    """`&&` and `||`: a term that decides makes errors of the others vanish."""

    def run(frame: Frame) -> bool:
        failed: EvaluationError | None = None
        for term in terms:
            try:
                value = term(frame)
            except CostExceeded:
                raise
            except EvaluationError as error:
                failed = failed or error
                continue
            if value is deciding:
                return deciding is True
            if value is not (not deciding):
                failed = failed or no_overload()
        if failed is not None:
            raise failed
        return not deciding

    return run


def _not_strictly_false(inner: Closure) -> Closure:
    def run(frame: Frame) -> bool:
        try:
            value = inner(frame)
        except CostExceeded:
            raise
        except EvaluationError:
            value = True
        frame.cost += 1
        return bool(value is not False)

    return run


def _alternative(left: Closure, right: Closure, unwrap: bool) -> Closure:
    def run(frame: Frame) -> Any:
        value = left(frame)
        if type(value) is not Optional:
            return value
        if value.present:
            return value.value if unwrap else value
        return right(frame)

    return run
