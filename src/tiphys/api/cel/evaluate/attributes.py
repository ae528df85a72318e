"""Names with what follows them: `a.b[0].?c`, has(a.b), f(x).y.

A chain is read in one loop. Once an optional is met, what is missing makes the whole `optional.none()`.
Source: cel-go interpreter/attributes.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tiphys.api.cel.ast import CONDITIONAL, INDEX, OPTIONAL_INDEX, OPTIONAL_SELECT, Call, Ident, Literal, Node, Select
from tiphys.api.cel.check.unify import is_optional
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.evaluate.access import MISSING, adapted, find, select
from tiphys.api.cel.evaluate.frame import Closure, Frame
from tiphys.api.cel.types import ObjectType, Type
from tiphys.api.cel.values import NONE, Optional

if TYPE_CHECKING:
    from tiphys.api.cel.evaluate.plan import Planner


class _Step(NamedTuple):
    key: Any
    """A constant key, in the words of the data; MISSING where `compute` makes it."""
    compute: Closure | None
    optional: bool
    convert: Callable[[Any], Any] | None
    declared: bool = False
    """A field of an object with a schema: null there is the same as absent."""

    def find(self, value: Any, key: Any) -> Any:
        found = find(value, key)
        return MISSING if found is None and self.declared else found


def plan(planner: Planner, node: Node, branch: bool) -> Closure:
    test = isinstance(node, Select) and node.test and node.resolved is None
    steps: list[_Step] = []
    base = node
    while not isinstance(base, Ident):
        step = _step(planner, base)
        if step is None:
            break
        steps.append(step)
        base = base.operand if isinstance(base, Select) else base.arguments[0]  # type: ignore[attr-defined]
    steps.reverse()
    if isinstance(base, Select) and base.resolved is not None:
        base = base.resolved
    root = _root(planner, base)
    own = 0 if branch or test or (isinstance(base, Call) and base.function == CONDITIONAL) else 1
    if test:
        return _presence(root, steps)
    if not steps:
        return _plain(root, own)
    if all(step.compute is None and not step.optional for step in steps):
        return _constant_chain(root, steps, own)
    return _chain(root, steps, own)


def _step(planner: Planner, node: Node) -> _Step | None:
    if isinstance(node, Select):
        if node.resolved is not None:
            return None
        return _field(planner, node.operand.type, node.field, optional=False)
    if not isinstance(node, Call):
        return None
    if node.function == OPTIONAL_SELECT:
        operand, name = node.arguments
        assert isinstance(name, Literal)  # noqa: S101 - the parser makes nothing else
        return _field(planner, operand.type, name.value, optional=True)
    if node.function in (INDEX, OPTIONAL_INDEX):
        operand, index = node.arguments
        optional = node.function == OPTIONAL_INDEX
        key = planner.constant(index)
        if isinstance(key, str | int | float) or key is None:
            return _Step(key, None, optional, None)
        return _Step(MISSING, planner.plan(index, branch=True), optional, None)
    return None


def _field(planner: Planner, owner: Type, name: str, optional: bool) -> _Step:
    """By the key in the data, read as the owner's type says, where it has one."""
    if is_optional(owner):
        owner = owner.parameters[0]
    if not isinstance(owner, ObjectType) or name not in owner.fields:
        return _Step(name, None, optional, None)
    field = owner.fields[name]
    if planner.converter(owner) is not None:
        return _Step(name, None, optional, None, declared=owner.source is not None)
    convert = planner.converter(field.type)
    return _Step(field.json_name, None, optional, convert, declared=owner.source is not None)


def _root(planner: Planner, base: Node) -> Closure:
    if not isinstance(base, Ident):
        return planner.plan(base)
    slot = planner.slot(base.name)
    if slot is not None:
        return lambda frame: frame.slots[slot]
    name = base.name.removeprefix(".")
    convert = planner.converter(base.type)

    def run(frame: Frame) -> Any:
        value = frame.variable(name)
        return adapted(value) if convert is None else convert(value)

    return run


def _plain(root: Closure, own: int) -> Closure:
    def run(frame: Frame) -> Any:
        frame.cost += own
        return root(frame)

    return run if own else root


def _constant_chain(root: Closure, steps: list[_Step], own: int) -> Closure:
    path = [(step.key, step.convert, step.declared, len(steps) - index - 1) for index, step in enumerate(steps)]
    cost = len(path) + own

    def run(frame: Frame) -> Any:
        frame.cost += cost
        value = root(frame)
        if type(value) is Optional:
            return _through_optional(value, steps, frame)
        for key, convert, declared, left in path:
            if type(value) is dict and type(key) is str:
                found = value.get(key, MISSING)
                if found is MISSING or (found is None and declared):
                    frame.cost -= left
                    raise EvaluationError(f"no such key: {key}")
                value = found
            else:
                try:
                    value = select(value, key)
                except EvaluationError:
                    frame.cost -= left
                    raise
            if convert is not None:
                value = convert(value)
        return value

    return run


def _through_optional(value: Optional, steps: list[_Step], frame: Frame) -> Optional:
    """The rest of a chain that began with an optional; the caller has counted every step."""
    if not value.present:
        frame.cost -= len(steps)
        return NONE
    found = value.value
    for index, step in enumerate(steps):
        found = step.find(found, step.key)
        if found is MISSING:
            frame.cost -= len(steps) - index
            return NONE
        if step.convert is not None:
            found = step.convert(found)
    return Optional(found)


def _chain(root: Closure, steps: list[_Step], own: int) -> Closure:
    def run(frame: Frame) -> Any:
        frame.cost += own
        value = root(frame)
        wrapped = type(value) is Optional
        if wrapped:
            if not value.present:
                return value
            value = value.value
        for step in steps:
            key = step.key if step.compute is None else step.compute(frame)
            wrapped = wrapped or step.optional
            if wrapped:
                value = step.find(value, key)
                if value is MISSING:
                    return NONE
                frame.cost += 1
            else:
                frame.cost += 1
                value = select(value, key)
            if step.convert is not None:
                value = step.convert(value)
        return Optional(value) if wrapped else value

    return run


def _presence(root: Closure, steps: list[_Step]) -> Closure:
    """has(): all but the last step must be there, save behind an optional."""
    *before, last = steps

    def run(frame: Frame) -> bool:
        value = root(frame)
        wrapped = type(value) is Optional
        if wrapped:
            if not value.present:
                return False
            value = value.value
        for step in before:
            key = step.key if step.compute is None else step.compute(frame)
            wrapped = wrapped or step.optional
            found = step.find(value, key)
            if found is MISSING:
                if wrapped:
                    return False
                frame.cost += 1
                select(value, key)
                raise EvaluationError(f"no such key: {key}")
            frame.cost += 1
            value = found if step.convert is None else step.convert(found)
        frame.cost += 1
        return last.find(value, last.key) is not MISSING

    return run
